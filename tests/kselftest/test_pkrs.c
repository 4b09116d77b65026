// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 timeout=60 */
/*
 * What of PKRS the SDM promises and MOAT relies on: Vol. 3A, 4.6.2 and 4.7, Vol. 2D, WRMSR.
 * A CPU, or what stands for one, that fails here is none for MOAT.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "moat_test.h"

#define PKRS 0x6e1
/* All but key 0, which is the kernel's, and key 1, which is on the IDT. */
#define OTHER_KEYS 0xfffffff0ULL
/* Of CPU 0: arch/x86/include/asm/moat.h, MOAT_RESUME_BASE; nothing is this far into it. */
#define RESUME_WORD (0xfffffe8000000000ULL + 2048)

static int msr = -1;
static bool bochs;

static bool wrmsr(u64 value)
{
	return pwrite(msr, &value, sizeof(value), PKRS) == sizeof(value);
}

static u64 rdmsr(void)
{
	u64 value = ~0ULL;

	if (pread(msr, &value, sizeof(value), PKRS) != sizeof(value))
		bail("RDMSR of PKRS: %s", strerror(errno));
	return value;
}

static void the_register(void)
{
	int bit, refused = 0, kept = 0, written = 0;

	ok(rdmsr() == 0, "it is 0 while the kernel runs");
	for (bit = 4; bit < 32; bit++)
		written += wrmsr(1ULL << bit) && rdmsr() == 1ULL << bit;
	ok(written == 28, "each bit of a key can be set, and is read back");
	ok(wrmsr(OTHER_KEYS) && rdmsr() == OTHER_KEYS, "and all of them");
	for (bit = 32; bit < 64; bit++) {
		errno = 0;
		refused += !wrmsr(1ULL << bit | 0x10) && errno == EIO;
		kept += rdmsr() == OTHER_KEYS;
	}
	if (!refused && bochs)
		skip("Bochs takes them", "#GP for each bit above 31, and it stays what it was");
	else
		ok(refused == 32 && kept == 32,
		   "#GP for each bit above 31, and it stays what it was");
	diag("%d refused, %d times it stayed so; %llx", refused, kept, (unsigned long long)rdmsr());
	ok(wrmsr(0) && rdmsr() == 0, "it is 0 again");
}

/* A run leaves it open, whatever it was before. */
static void a_run(void)
{
	const struct bpf_insn insns[] = { MOV_IMM(R0, xdp.pass), EXIT() };
	int prog = PROG_LOAD(xdp.type, "nothing", insns);

	ok(wrmsr(OTHER_KEYS) && prog_run_once(prog) == xdp.pass && rdmsr() == 0,
	   "a run ends with all keys open");
	wrmsr(0);
	close(prog);
}

/*
 * Interrupts read the IDT, the TSS, and by IRET the GDT, with the rights of what they
 * interrupt: these have key 1, which is open for reading.
 */
static void implicit_accesses(void)
{
	const struct bpf_insn insns[] = {
		LD_IMM64(R1, 200000),
		ALU64_IMM(BPF_SUB, R1, 1),
		JMP_IMM(BPF_JNE, R1, 0, -2),
		MOV_IMM(R0, xdp.pass),
		EXIT(),
	};
	s64 violations = moat_counter("violations"), resumes = moat_counter("resumes");
	bool passed = true;
	int prog, i;

	bypass_verifier(true);
	prog = PROG_LOAD(xdp.type, "loop", insns);
	bypass_verifier(false);
	if (prog < 0)
		bail("a loop does not load: %s", strerror(errno));
	for (i = 0; i < 200 && moat_counter("resumes") < resumes + 20; i++)
		passed &= prog_run_once(prog) == xdp.pass;
	ok(passed && moat_counter("violations") == violations &&
	   moat_counter("resumes") >= resumes + 20,
	   "implicit accesses: a program is interrupted, and goes on");
	close(prog);
}

/* Where a program goes that may touch keys of its own only; what the fault is for. */
static void explicit_access(const char *what, u64 where, bool write, const char *why,
			    const char *unless)
{
	struct rogue rogue = rogue_load(&xdp, write, -1);
	char said[40];
	const char *line;
	s64 verdict;

	snprintf(said, sizeof(said), "%s of 0x%016llx (", write ? "write" : "read",
		 (unsigned long long)where);
	kmsg_mark();
	verdict = rogue_attack(&rogue, where);
	line = kmsg_find("moat: rogue", said);
	ok(verdict == xdp.safe && !rogue_got(&rogue, NULL) && line, "%s: a fault", what);
	if (unless)
		skip(unless, "%s: its reason is %s", what, why);
	else if (!ok(line && !strncmp(strstr(line, said) + strlen(said), why, strlen(why)),
		     "%s: its reason is %s", what, why))
		diag("%s", line ?: "not reported");
	rogue_close(&rogue);
}

static void table(void)
{
	const char *unlike = bochs ? "Bochs holds PKRS against user pages, too" : NULL;
	u64 *user = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*user = 1;
	explicit_access("key 0, read", target("data"), false, "key", NULL);
	explicit_access("key 0, write", target("data"), true, "key", NULL);
	explicit_access("key 1, write", target("idt"), true, "key", NULL);
	explicit_access("kernel text, write", target("wrmsr"), true, "key", NULL);
	/* PKRS is for supervisor pages: 4.6.2. */
	explicit_access("SMAP, read", (u64)user, false, "protection", unlike);
	explicit_access("SMAP, write", (u64)user, true, "protection", unlike);
	explicit_access("nothing there", 0xffffff0000000000ULL, false, "not mapped", NULL);
	munmap(user, 4096);
}

/* The verdict of a run with interrupts off, or in another context; -1: none */
static s64 verdict_in(const char *context, int prog)
{
	int fd = open("/sys/kernel/debug/moat_test/run_in", O_RDWR | O_CLOEXEC);
	char text[96] = {};
	unsigned long runs = 0, verdict;

	if (fd < 0)
		bail("run_in: %s", strerror(errno));
	if (dprintf(fd, "%d %s 0 1", prog, context) < 0 ||
	    pread(fd, text, sizeof(text) - 1, 0) <= 0 ||
	    sscanf(text, "%lu %lu", &runs, &verdict) != 2 || runs != 1) {
		diag("in %s: %s: '%s'", context, strerror(errno), text);
		verdict = -1;
	}
	close(fd);
	return verdict;
}

static u64 read_by_program(u64 where)
{
	struct rogue rogue = rogue_load(&xdp, false, -1);
	u64 word = 0;

	if (rogue_attack(&rogue, where) != xdp.pass || !rogue_got(&rogue, &word))
		bail("what all programs may read cannot be read");
	rogue_close(&rogue);
	return word;
}

/* What becomes of a write that PKRS allows to be read, or not even that */
static bool gets_there(const char *context, u64 where)
{
	struct rogue rogue = rogue_load(&xdp, true, -1);
	s64 verdict;
	bool there;

	rogue_aim(&rogue, where);
	verdict = verdict_in(context, rogue.prog);
	there = rogue_got(&rogue, NULL);
	if (verdict != (there ? xdp.pass : xdp.safe))
		bail("in %s: neither stopped nor successful", context);
	rogue_close(&rogue);
	return there;
}

/*
 * The write-disable bits of PKRS hold for the kernel only while CR0.WP is set, as the
 * write bit of page-table entries does; the access-disable bits always do. Linux has WP
 * set from the first instruction in C to kexec, and pins it. A kernel that did not would
 * have no read-only key, and programs could write the IDT.
 */
static void cr0_wp(void)
{
	u64 before = read_by_program(RESUME_WORD);

	canary_reset();
	ok(!gets_there("irqoff", RESUME_WORD) && read_by_program(RESUME_WORD) == before,
	   "CR0.WP: a key that is open for reading is not written");
	ok(gets_there("irqoff_wp", RESUME_WORD) &&
	   read_by_program(RESUME_WORD) == ROGUE_WRITES,
	   "CR0.WP clear: it is");
	ok(!gets_there("irqoff_wp", target("data")) && canary("data") != ROGUE_WRITES,
	   "CR0.WP clear: a key that is closed is not");
	ok(!gets_there("irqoff", RESUME_WORD), "CR0.WP is set again");
}

static int keys_before = 13;

static void restore(void)
{
	wrmsr(0);
	moat_set_keys(keys_before);
}

int main(void)
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	if (!moat_set_level(2))
		skip_all("no moat.ko");
	bochs = !strcmp(getenv("MOAT_EMULATOR") ?: "", "bochs");
	pin_to_cpu(0);
	msr = open("/dev/cpu/0/msr", O_RDWR | O_CLOEXEC);
	if (msr < 0)
		skip_all("no /dev/cpu/0/msr");
	/* In views user space is not mapped. */
	keys_before = read_number("/proc/sys/kernel/moat/keys");
	atexit(restore);
	moat_set_keys(13);
	the_register();
	a_run();
	implicit_accesses();
	table();
	cr0_wp();
	return finish();
}
