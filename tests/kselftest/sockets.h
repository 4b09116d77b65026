/* SPDX-License-Identifier: GPL-2.0 */
/* Sockets for programs to find. The code is in sockets.c. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include "moat_test.h"

/* Of a TCP connection over lo, and a socket for datagrams; ports are in network order */
struct ends {
	int listener, udp, client, end;
	u16 port, peer, udp_port;
};

/* Ends the test if there are none. */
void socket_ends(struct ends *ends);
/* The parts of that, of any protocol of streams: a listener; a connection to it, not accepted */
void socket_listen(struct ends *ends, int protocol);
void socket_begin(struct ends *ends, int protocol);
/* One more connection to the listener of @to; only client, end, port, peer of @ends are set. */
void socket_connect(const struct ends *to, struct ends *ends);
/* References on the end that was accepted; -1: there is no such socket. */
int socket_references(const struct ends *ends);

/* Pieces of a program (build.h). R0 = the socket; clobbers the stack. R6: the context */
void socket_lookup(int func, u16 from, u16 to);
void socket_release(int reg);

/* The kernel's address of the end that was accepted: a plain program keeps a reference. */
u64 socket_keep(const struct ends *ends);
/* A plain program gives it back. */
void socket_give_back(u64 addr);

#endif
