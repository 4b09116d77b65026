/* SPDX-License-Identifier: GPL-2.0 */
/* Connections for the SYN proxy. The code is in traffic_syn.c. */
#ifndef TRAFFIC_SYN_H
#define TRAFFIC_SYN_H

/* Sockets that listen at the ports of the services, from here on */
void syn_listen(void);
/* Segments into @dev: what wants to connect, and what comes back with a cookie, or another. */
void syn_send(const char *dev);

#endif
