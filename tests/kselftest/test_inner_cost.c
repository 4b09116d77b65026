// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 icount=1 mem=3G alone=guest keys=13 full=1,0 timeout=300 */
/*
 * Does it matter how many entries a map of maps has? A change of one of them, and the
 * load of a program that uses it, cost what they cost in a small one. One instruction is
 * one nanosecond here; what is beside it are grace periods.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "moat_test.h"
#include "visitor.h"

#define SMALL 4
/* Looked through, one entry after the other, they take half a second. */
#define LARGE (1U << 23)
/* What kvmalloc() does not give pointers for, and warns */
#define HUGE (1U << 28)
/* Grace periods more or less */
#define SLACK 30000000ULL

static const struct {
	enum bpf_map_type type;
	u32 flags;
	const char *name;
} kinds[] = {
	{ BPF_MAP_TYPE_ARRAY_OF_MAPS, 0, "array of maps" },
	{ BPF_MAP_TYPE_HASH_OF_MAPS, BPF_F_NO_PREALLOC, "hash of maps" },
};

struct cost {
	u64 load, change;
};

static struct cost cost_of(size_t kind, u32 entries)
{
	int a = inner_create(BPF_MAP_TYPE_ARRAY, 0), b = inner_create(BPF_MAP_TYPE_ARRAY, 0);
	int outer = outer_of(kinds[kind].type, a, entries, kinds[kind].flags);
	int own = map_of_words(0), prog, i;
	struct cost cost = { .change = -1 };
	u64 begin;

	if (outer < 0 || put(outer, a))
		bail("%s of %u: %s", kinds[kind].name, entries, strerror(errno));
	begin = now_ns();
	prog = visitor(&xdp, own, outer);
	cost.load = now_ns() - begin;
	/* The least of some: a timer may come between. */
	for (i = 0; i < 4; i++) {
		begin = now_ns();
		if (put(outer, i % 2 ? a : b))
			bail("%s of %u: %s", kinds[kind].name, entries, strerror(errno));
		begin = now_ns() - begin;
		if (begin < cost.change)
			cost.change = begin;
	}
	ok(prog_run_once(prog) == xdp.pass && inner_word(a) == 1, "%s of %u: is used",
	   kinds[kind].name, entries);
	close(prog);
	close(own);
	close(outer);
	close(a);
	close(b);
	/* Until it is freed. */
	usleep(300000);
	return cost;
}

static void by_size(int level, size_t kind)
{
	struct cost small = cost_of(kind, SMALL), large = cost_of(kind, LARGE);

	diag("%d: %s: load %llu and %llu, change %llu and %llu ns", level, kinds[kind].name,
	     (unsigned long long)small.load, (unsigned long long)large.load,
	     (unsigned long long)small.change, (unsigned long long)large.change);
	ok(large.load < small.load + SLACK, "%d: %s: a load costs the same", level,
	   kinds[kind].name);
	ok(large.change < small.change + SLACK, "%d: %s: so does a change", level,
	   kinds[kind].name);
}

static void huge(void)
{
	int a = inner_create(BPF_MAP_TYPE_ARRAY, 0), b = inner_create(BPF_MAP_TYPE_ARRAY, 0);
	int outer = outer_of(BPF_MAP_TYPE_ARRAY_OF_MAPS, a, HUGE, 0);
	int own = map_of_words(0), prog;

	if (outer < 0)
		bail("%u entries: %s", HUGE, strerror(errno));
	if (put(outer, a))
		bail("%u entries: %s", HUGE, strerror(errno));
	kmsg_mark();
	prog = visitor_load(&xdp, own, outer);
	if (ok(prog >= 0, "a map of maps of %u entries can be used", HUGE)) {
		ok(prog_run_once(prog) == xdp.pass && inner_word(a) == 1 && !put(outer, b) &&
		   prog_run_once(prog) == xdp.pass && inner_word(b) == 1, "and is");
		close(prog);
	} else {
		diag("%s\n%s", strerror(errno), prog_log);
	}
	ok(!kmsg_find("WARNING", NULL), "the kernel has no complaint");
	close(own);
	close(outer);
	close(a);
	close(b);
}

int main(void)
{
	int level;

	if (!test_kernel())
		skip_all("needs the test kernel");
	for (level = 0; level <= 2; level += 2) {
		if (!moat_set_level(level))
			skip_all("no moat.ko");
		by_size(level, 0);
		by_size(level, 1);
	}
	huge();
	return finish();
}
