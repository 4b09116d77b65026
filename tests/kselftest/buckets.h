/* SPDX-License-Identifier: GPL-2.0 */
/* In which bucket of a hash map a key of four bytes is, if the map has BPF_F_ZERO_SEED. */
#ifndef BUCKETS_H
#define BUCKETS_H

#include "types.h"

static inline u32 rotated(u32 word, int by)
{
	return word << by | word >> (32 - by);
}

/* As jhash() of <linux/jhash.h>; of a power of two buckets */
static inline u32 bucket_of(u32 key, u32 buckets)
{
	u32 a = 0xdeadbeef + 4, b = a, c = a;

	a += key;
	c = (c ^ b) - rotated(b, 14);
	a = (a ^ c) - rotated(c, 11);
	b = (b ^ a) - rotated(a, 25);
	c = (c ^ b) - rotated(b, 16);
	a = (a ^ c) - rotated(c, 4);
	b = (b ^ a) - rotated(a, 14);
	c = (c ^ b) - rotated(b, 24);
	return c % buckets;
}

#endif
