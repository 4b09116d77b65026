/* SPDX-License-Identifier: GPL-2.0 */
/* Maps whose values have a timer, and a lock */
#ifndef TIMERS_H
#define TIMERS_H

#include "moat_test.h"

struct timed {
	u64 fired;	/* how often its timer has called a function */
	u64 key;	/* what that was told, plus 1 */
	u64 again;	/* how often the function starts the timer again */
	s64 got;	/* what it was answered */
	struct bpf_timer timer;
	u32 lock;	/* struct bpf_spin_lock, if the map has locks */
	u32 pad;
};

#define FIRED_AT ((s16)offsetof(struct timed, fired))
#define KEY_AT ((s16)offsetof(struct timed, key))
#define AGAIN_AT ((s16)offsetof(struct timed, again))
#define GOT_AT ((s16)offsetof(struct timed, got))
#define TIMER_AT ((s16)offsetof(struct timed, timer))
#define TIMED_LOCK_AT ((s16)offsetof(struct timed, lock))

/* With keys of 4 bytes; -1 with errno if there is none. */
int timed_map(enum bpf_map_type type, u32 entries, u32 flags, bool locks);
/* Its value with this key; ends the test if there is none. */
struct timed timed_value(int map, u32 key);
/* A new value, with @again */
void timed_reset(int map, u32 key, u64 again);
/* Until a timer has called functions so often, or for some seconds: whether it has. */
bool timed_fires(int map, u32 key, u64 times);

#endif
