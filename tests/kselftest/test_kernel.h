/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The test kernel's switches: a way past the verifier, addresses to attack, allocations that
 * fail, NMIs. The code is in lib_test_kernel.c.
 */
#ifndef TEST_KERNEL_H
#define TEST_KERNEL_H

#include "types.h"

bool test_kernel(void);
bool bypass_verifier(bool on);
/* Functions are called by helpers, through gates, where programs could have loops. */
bool without_loops(bool on);
bool can_fail_allocs(void);	/* the test kernel can */
/*
 * Of the allocations that this task makes from then on, the one after @n others fails;
 * @which: "", or "all": so do all after it, or "now": of those that may not wait. @n < 0: none.
 */
void fail_alloc(int n, const char *which);
int failed_allocs(void);	/* since then */
/* Puts code in the place of "movabs $SPOIL_ME" into an image: moat_test_image.c */
#define SPOIL "/sys/kernel/debug/moat_test/spoil"
#define SPOIL_ME 0x656d206c696f7073ULL	/* "spoil me" */
u64 target(const char *name);
u64 canary(const char *name);
void canary_reset(void);
/* NMIs come from the host from now on, or no more, if the test asks for any. */
void host_nmis(bool on);

#endif
