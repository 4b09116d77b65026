/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Frames of any size on a real device, and programs on its hooks. The code is in
 * lib_packets.c.
 */
#ifndef PACKETS_H
#define PACKETS_H

#include "moat_test.h"

/* Of frames that no protocol takes: IEEE 802, for experiments */
#define ETH_P_TEST 0x88b5

enum hook { GENERIC_XDP, NATIVE_XDP, TC_INGRESS, TC_EGRESS };
extern const char *const hook_name[];

const struct prog_type *hook_type(enum hook hook);
/* Ends the test if it cannot be done; one program for each hook and device. */
void hook_attach(enum hook hook, const char *dev, int prog);
void hook_detach(enum hook hook, const char *dev);

/* A pair of devices, up and with @mtu; removed with the test, or if @dev is made again. */
void veth_create(const char *dev, const char *peer, int mtu);

/* A socket that gets the frames of ETH_P_TEST that @dev receives */
int frame_socket(const char *dev);
/* Broadcast, of @len bytes in all, which no two numbers @seed give the same */
void frame_fill(u8 *frame, size_t len, u32 seed);
/* @linear: in one piece, up to 65,535 bytes; otherwise only the header is sure to be */
bool frame_send(int s, const u8 *frame, size_t len, bool linear);
/* Its length, of which at most @size are in @frame; -1 if none comes in a second */
ssize_t frame_receive(int s, u8 *frame, size_t size);

#endif
