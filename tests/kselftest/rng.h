/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers that follow from their seed alone. The code is in rng.c. */
#ifndef RNG_H
#define RNG_H

#include "moat_test.h"

/* splitmix64 */
u64 any(u64 *rng);
s64 below(u64 *rng, u64 n);
bool one_in(u64 *rng, u32 n);

#define PICK(RNG, ...) ({ \
		const s64 from_[] = { __VA_ARGS__ }; \
		from_[below(RNG, ARRAY_SIZE(from_))]; \
	})

#endif
