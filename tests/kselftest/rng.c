// SPDX-License-Identifier: GPL-2.0
#include "rng.h"

u64 any(u64 *rng)
{
	u64 z = *rng += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

s64 below(u64 *rng, u64 n)
{
	return n ? (s64)(any(rng) % n) : 0;
}

bool one_in(u64 *rng, u32 n)
{
	return !below(rng, n);
}
