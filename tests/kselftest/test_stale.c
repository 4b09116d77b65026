// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=2 alone=1 timeout=120 */
/*
 * Memory that goes from a program to somebody else while a CPU still has the old
 * translation, at every layer.
 *
 * CPU 1 hammers the addresses at which a program has its map values. CPU 0 unloads
 * the program, frees the map, and takes pages that come free: from then on none of
 * these addresses may lead anywhere, and least of all to those pages.
 *
 * The test kernel can leave out the flushes. Then they do. The hammer is a kernel
 * thread: QEMU flushes the TLB at each PKRS and CR3 write, so that under it no
 * program can hold on to a translation.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "moat_test.h"

#define SECRET 0x7365637265742121ULL
#define SKIP_FLUSH "/sys/kernel/debug/moat_test/skip_flush"
#define HAMMER "/sys/kernel/debug/moat_test/hammer"
#define FILLER (16UL << 20)
#define ROUNDS 10
/* As many as the hammer reads: some will stay in the TLB for a while. */
#define PAGES 64

/* A program that tells where its map value is; it has run. */
static int load(int map, u64 *where)
{
	const struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, map, 0),
		STX(BPF_DW, R6, R6, 0),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	int prog = PROG_LOAD(xdp.type, "gone", insns);
	static u64 value[PAGES * 512];
	u32 zero = 0;

	if (prog < 0 || prog_run_once(prog) != xdp.pass || map_lookup(map, &zero, value))
		bail("a program: %s", strerror(errno));
	*where = value[0];
	return prog;
}

/* In how many rounds the old address leads somewhere, or even to our pages. */
static int rounds(enum moat_layer layer)
{
	int round, i, bad = 0;

	for (round = 0; round < ROUNDS; round++) {
		int map = map_create(BPF_MAP_TYPE_ARRAY, 4, PAGES * 4096, 1), prog;
		unsigned long long faulted, hits;
		u64 where, *page;
		FILE *f;

		prog = load(map, &where);
		if (moat_layer(prog) != layer)
			bail("the program is in the wrong layer");
		write_file(HAMMER, "1 %llx %llx", (unsigned long long)where, SECRET);
		usleep(20000);
		close(prog);
		close(map);
		/* Programs and maps are freed by workers, after a grace period. */
		for (i = 0; i < 50 && moat_keys_free() < 13; i++)
			usleep(10000);
		usleep(150000);
		page = mmap(NULL, FILLER, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (page == MAP_FAILED)
			bail("mmap: %s", strerror(errno));
		for (size_t at = 0; at < FILLER / sizeof(*page); at++)
			page[at] = SECRET;
		usleep(20000);
		f = fopen(HAMMER, "r");
		if (!f || fscanf(f, "%llu %llu", &faulted, &hits) != 2)
			bail("the hammer: %s", strerror(errno));
		fclose(f);
		write_file(HAMMER, "stop");
		munmap(page, FILLER);
		bad += hits != 0 || faulted != PAGES;
	}
	return bad;
}

static void layer(enum moat_layer layer, const char *name)
{
	int bad;

	moat_set_keys(layer == VIEW ? 0 : 13);
	bad = rounds(layer);
	ok(!bad, "%s: the old addresses lead nowhere (%d of %d rounds)", name, ROUNDS - bad,
	   ROUNDS);
	write_file(SKIP_FLUSH, "1");
	bad = rounds(layer);
	write_file(SKIP_FLUSH, "0");
	ok(bad > 0, "%s: without flushes they lead to memory that is not the program's (%d of %d)",
	   name, bad, ROUNDS);
}

int main(void)
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_set_level(2))
		skip_all("no moat.ko");
	pin_to_cpu(0);
	layer(KEYED, "keyed");
	layer(VIEW, "viewed");
	moat_set_keys(13);
	return finish();
}
