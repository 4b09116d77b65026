/* SPDX-License-Identifier: GPL-2.0 */
/* A socket of AF_XDP that only receives, in copy mode. The code is in xsk.c. */
#ifndef XSK_H
#define XSK_H

#include <linux/if_xdp.h>
#include "moat_test.h"

struct xsk {
	int fd;
	u8 *umem;
	u32 *filled, *received;		/* their producers */
	u32 *received_to;		/* and how far we are */
	struct xdp_desc *descs;
	u32 at;
};

/* Ends the test if there is none. */
void xsk_open(struct xsk *xsk, const char *dev, u32 queue);
/* The next frame, which stays valid; NULL if there is none */
const void *xsk_next(struct xsk *xsk, u32 *len);
void xsk_close(struct xsk *xsk);

#endif
