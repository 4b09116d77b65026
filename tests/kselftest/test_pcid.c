// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 timeout=240 */
/*
 * What a CPU remembers of the window, from run to run: with a PCID of its own a view
 * keeps its translations, and with its key a page keeps them over writes of PKRS. What
 * was taken from a program must not be among them. The test kernel can leave out the
 * flushes: then the program still gets at it, if the CPU does remember.
 *
 * QEMU has no PCIDs, and forgets at each write of PKRS or CR3. Bochs has PCIDs, but
 * forgets at each write of CR3, whatever its bit 63 is; not at one of PKRS.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "moat_test.h"
#include "visitor.h"

#define SKIP_FLUSH "/sys/kernel/debug/moat_test/off/flush"
#define SECRET 0x7365637265742121ULL
#define TOUCHES 32
/* What else happens on the CPU may flush its TLB, or need the room in it. */
#define TRIES 4
/* How many views have a PCID of their own: moat/window/pcids.rs */
#define OWN 1024
#define FIRST (MOAT_SHARED_PCID + 1)
#define MORE 4

static bool pcids, keeps_over_cr3, keeps_over_pkrs;

static void what_the_cpu_does(void)
{
	const char *emulator = getenv("MOAT_EMULATOR") ?: "";

	pcids = command_fails("grep -w -m 1 -o pcid /proc/cpuinfo; false", "pcid");
	keeps_over_pkrs = strcmp(emulator, "qemu");
	keeps_over_cr3 = keeps_over_pkrs && strcmp(emulator, "bochs") && pcids;
}

static int program(const char *name)
{
	const struct bpf_insn insns[] = { MOV_IMM(R0, xdp.pass), EXIT() };
	int prog = PROG_LOAD(xdp.type, name, insns);

	if (prog < 0)
		bail("%s does not load: %s", name, strerror(errno));
	return prog;
}

/*
 * A map with the secret, not where its first page, or that of any other range of the
 * window, would take its place in a small TLB
 */
#define WORD (37 * 512)

static u64 value[64 * 512];
static const u32 zero;

static int secret_map(void)
{
	int map = map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(value), 1);

	memset(value, 0, sizeof(value));
	value[WORD] = SECRET;
	if (map < 0 || map_update(map, &zero, value))
		bail("map: %s", strerror(errno));
	return map;
}

/* Where its program has found that */
static u64 secret_of(int map)
{
	if (map_lookup(map, &zero, value) || !value[WORD + 1])
		bail("a program does not say where its map is");
	return value[WORD + 1];
}

/* Reads the secret of @map, and says where that is. */
static int toucher(int map)
{
	const struct bpf_insn insns[] = {
		LD_MAP_VALUE(R6, map, WORD * 8),
		LDX(BPF_DW, R1, R6, 0),
		STX(BPF_DW, R6, R6, 8),
		MOV_IMM(R0, xdp.pass),
		EXIT(),
	};
	int prog = PROG_LOAD(xdp.type, "toucher", insns);

	if (prog < 0)
		bail("a program does not load: %s", strerror(errno));
	return prog;
}

static void run_it(int prog, int times)
{
	u8 packet[64] = {};
	struct run run = { .data_in = packet, .data_in_size = sizeof(packet), .repeat = times };

	if (prog_run(prog, &run) || run.retval != xdp.pass)
		bail("a program does not run");
}

/* Flushes come back: the end of any program is one. */
static void flush_again(void)
{
	s64 loaded = moat_counter("loaded");

	write_file(SKIP_FLUSH, "0");
	close(program("last"));
	moat_wait_loaded(loaded);
}

/* Writes of CR3: two a run and two an interruption, of which one flushes without a PCID. */
static void counted(int prog, const char *whose)
{
	s64 runs = moat_counter("view_runs"), writes = moat_counter("cr3_writes");
	s64 resumes = moat_counter("resumes"), entries;
	int pcid = moat_pcid(prog);

	run_it(prog, 100);
	resumes = moat_counter("resumes") - resumes;
	runs = moat_counter("view_runs") - runs;
	writes = moat_counter("cr3_writes") - writes;
	entries = writes / 2;
	ok(runs == 100 && writes == 2 * (runs + resumes), "%s: two writes of CR3 a run", whose);
	diag("PCID %d: %lld runs, %lld resumed, %lld writes of CR3 with bit 63 set, %lld without",
	     pcid, (long long)runs, (long long)resumes,
	     (long long)(!pcids ? 0 : pcid == MOAT_SHARED_PCID ? entries : writes),
	     (long long)(!pcids ? writes : pcid == MOAT_SHARED_PCID ? entries : 0));
}

/* What the view of a program has no more: the word of a map that was taken out. */
static void unmapped(bool flush)
{
	int inner = inner_create(BPF_MAP_TYPE_ARRAY, SECRET), own = map_of_words(0);
	int outer = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, inner);
	int prog = visitor(&xdp, own, outer);
	s64 verdict;

	if (put(outer, inner) || prog_run_once(prog) != xdp.pass)
		bail("a map put into a map: %s", strerror(errno));
	if (moat_layer(prog) != VIEW)
		bail("not in a view");
	write_file(SKIP_FLUSH, "%d", !flush);
	take_out(outer);
	set_mode(own, BY_VALUE);
	verdict = prog_run_once(prog);
	if (flush)
		ok(verdict == xdp.safe && !map_word(own, GOT),
		   "view: what is taken out of it is out of reach");
	else if (keeps_over_cr3)
		ok(verdict == xdp.pass && map_word(own, GOT) == SECRET + 1,
		   "view: without a flush its PCID keeps it, there and back");
	else
		skip("no PCIDs, or an emulator's, which keep nothing",
		     "view: without a flush its PCID keeps it, there and back");
	if (!flush)
		flush_again();
	close(prog);
	close(own);
	close(outer);
	close(inner);
}

/*
 * A page that a program has touched with its key, and who has the key now. Whether it
 * got at that, and was not stopped.
 */
static bool rebound(bool flush)
{
	int map = secret_map(), owner, i;
	struct rogue rogue;
	u64 got = 0, where;
	s64 verdict;
	bool there;

	moat_wait_for_keys(13);
	moat_set_keys(1);
	owner = toucher(map);
	rogue = rogue_load(&xdp, false, -1);
	run_it(owner, 1);
	where = secret_of(map);
	if (moat_layer(owner) != KEYED || moat_layer(rogue.prog) != VIEW)
		bail("the wrong program has the key");
	write_file(SKIP_FLUSH, "%d", !flush);
	/* The hotter one gets it, while nothing but the owner's page is touched. */
	for (i = 0; i < 100 && moat_layer(rogue.prog) != KEYED; i++) {
		run_it(rogue.prog, 200);
		for (int j = 0; j < TOUCHES / 8; j++)
			run_it(owner, 1);
		usleep(300000);
	}
	if (moat_layer(rogue.prog) != KEYED)
		bail("the hotter program gets no key");
	verdict = rogue_attack(&rogue, where);
	there = rogue_got(&rogue, &got);
	if (there ? got != SECRET : verdict != xdp.safe)
		bail("key: neither stopped nor successful");
	if (!flush)
		flush_again();
	rogue_close(&rogue);
	close(owner);
	close(map);
	moat_set_keys(0);
	return there;
}

static void rebound_both_ways(void)
{
	static const char without[] = "key: without a flush it opens what its last owner has";
	int tries = keeps_over_pkrs ? TRIES : 1, i, got = 0;

	for (i = 0; i < tries; i++)
		got += rebound(true);
	ok(!got, "key: what its last owner has is out of reach");
	if (!keeps_over_pkrs) {
		skip("this emulator forgets all at each write of PKRS", "%s", without);
		return;
	}
	for (i = 0; i < TRIES; i++)
		got += rebound(false);
	ok(got, "%s", without);
	diag("%d of %d times", got, TRIES);
}

/*
 * A view goes, another one gets its PCID. A load flushes all TLBs by itself, as Linux
 * makes memory read-only, so that the one that comes is loaded before, with a key.
 */
static void reused(void)
{
	int map = secret_map(), other = secret_map(), gone, pcid;
	struct rogue rogue;
	s64 verdict;

	moat_wait_for_keys(13);
	moat_set_keys(1);
	rogue = rogue_load(&xdp, false, -1);
	gone = toucher(map);
	close(toucher(other));
	if (moat_layer(rogue.prog) != KEYED || moat_layer(gone) != VIEW)
		bail("the wrong program has the key");
	run_it(gone, TOUCHES);
	pcid = moat_pcid(gone);
	close(gone);
	/* Only that which attacks is left. */
	moat_wait_loaded(1);
	moat_set_keys(0);
	for (int i = 0; i < 200 && moat_layer(rogue.prog) != VIEW; i++)
		usleep(20000);
	if (pcids)
		ok(pcid >= FIRST && moat_pcid(rogue.prog) == pcid,
		   "PCID: a view gets that of one that is gone");
	else
		ok(pcid < 0 && moat_pcid(rogue.prog) < 0, "no PCIDs: views have none");
	verdict = rogue_attack(&rogue, secret_of(map));
	ok(verdict == xdp.safe && !rogue_got(&rogue, NULL), "and nothing that was in it");
	rogue_close(&rogue);
	close(map);
	close(other);
}

/* Two processes, whose memory differs at the same address, and whose programs run */
static void kernels_own(void)
{
	u64 *mine = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	int prog = program("between"), i, j, wrong = 0, status = 0;
	pid_t child = fork();

	for (i = 0; i < 64; i++)
		mine[i * 512] = (u64)getpid() << 32 | i;
	for (j = 0; j < 50; j++) {
		run_it(prog, 1);
		for (i = 0; i < 64; i++)
			wrong += mine[i * 512] != ((u64)getpid() << 32 | i);
		usleep(j % 4 ? 0 : 1000);
	}
	if (!child)
		_exit(wrong != 0);
	waitpid(child, &status, 0);
	ok(!wrong && !status, "kernel: each process has its own memory after runs in views");
	munmap(mine, 64 * 4096);
	close(prog);
}

/* Views beyond the last PCID */
static void more_views(void)
{
	static int prog[OWN + MORE];
	static bool seen[OWN];
	int i, own = 0, shared = 0, twice = 0, none = 0, strange = 0, ran = 0;
	int map = secret_map(), last;
	int views = pcids ? OWN + MORE : MORE;
	struct rogue rogue;
	s64 verdict;

	for (i = 0; i < views; i++) {
		int pcid;

		prog[i] = program("one_of_many");
		pcid = moat_pcid(prog[i]);
		none += pcid < 0;
		if (pcid == MOAT_SHARED_PCID) {
			shared++;
		} else if (pcid >= FIRST && pcid < FIRST + OWN) {
			twice += seen[pcid - FIRST];
			seen[pcid - FIRST] = true;
			own++;
		} else {
			strange += pcid >= 0;
		}
		ran += prog_run_once(prog[i]) == xdp.pass;
	}
	if (pcids)
		ok(own == OWN && shared == MORE && !twice && !strange,
		   "PCID: %d views have their own, %d share one", OWN, MORE);
	else
		ok(none == views, "no PCIDs: %d views have none", views);
	ok(ran == views, "all of them run");
	counted(prog[0], "the first view");
	counted(prog[views - 1], "the last view");

	/* Of two views that share one, one was just where the other goes. */
	last = toucher(map);
	rogue = rogue_load(&xdp, false, -1);
	ok(moat_pcid(last) == moat_pcid(rogue.prog) &&
	   (!pcids || moat_pcid(last) == MOAT_SHARED_PCID),
	   "two more: with the same PCID, or without");
	run_it(last, TOUCHES);
	verdict = rogue_attack(&rogue, secret_of(map));
	ok(verdict == xdp.safe && !rogue_got(&rogue, NULL), "one cannot reach what the other has");
	rogue_close(&rogue);
	close(last);
	close(map);
	for (i = 0; i < views; i++)
		close(prog[i]);
	moat_wait_loaded(0);
}

static void restore(void)
{
	write_file(SKIP_FLUSH, "0");
	moat_set_keys(13);
}

int main(void)
{
	struct rlimit files = { OWN + 200, OWN + 200 };

	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_set_level(2))
		skip_all("no moat.ko");
	if (setrlimit(RLIMIT_NOFILE, &files))
		bail("RLIMIT_NOFILE: %s", strerror(errno));
	what_the_cpu_does();
	atexit(restore);
	moat_wait_loaded(0);
	pin_to_cpu(0);
	moat_set_keys(0);
	unmapped(true);
	unmapped(false);
	rebound_both_ways();
	reused();
	moat_set_keys(0);
	kernels_own();
	more_views();
	return finish();
}
