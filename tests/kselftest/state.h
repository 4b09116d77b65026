/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What MOAT says and what it is told: levels, counters, keys, the time a run may take. The
 * code is in lib_state.c.
 */
#ifndef STATE_H
#define STATE_H

#include "types.h"

bool moat_present(void);
/* 0, or -1 with errno */
int moat_insmod(const char *path);
/*
 * Sets the level of all types, and strict, so that nothing runs plainly unseen.
 * At the end of the test they are what they were before. False where there is
 * no MOAT and @level is not 0.
 */
bool moat_set_level(int level);
/* The level that the test was started at is set, and returned. */
int moat_level_asked(void);
bool moat_set_strict(bool strict);
/* Whether classic filters that would be isolated are left confined. Put back, too. */
void moat_set_confined(bool confined);
s64 moat_counter(const char *name);	/* -1: no such counter */
/* Where an isolated program runs, from its fdinfo. */
enum moat_layer { NONE, KEYED, VIEW };
extern const char *const moat_layer_name[];
enum moat_layer moat_layer(int prog);
/*
 * The PCID that its view has, from its fdinfo; several may have MOAT_SHARED_PCID, and
 * start without translations each time. -1: no view, or no PCIDs.
 */
#define MOAT_SHARED_PCID 63
int moat_pcid(int prog);
int moat_keys_free(void);
/*
 * Until so many are, or for five seconds: programs and maps that are closed give
 * theirs back after a grace period.
 */
void moat_wait_for_keys(int keys);
/*
 * Until no more than @programs are isolated that are not freed yet, anybody's, which comes
 * after they are not listed any more; gives up after ten seconds. Those of the test before
 * may be left as a test begins: who counts waits for 0 first.
 */
void moat_wait_loaded(s64 programs);
/* How many keys programs may use; waits until it is so. */
void moat_set_keys(int keys);

/* How long a run may go on, in seconds; returns what it was before. */
int moat_set_budget(int seconds);

#endif
