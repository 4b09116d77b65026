/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests here share: BPF instructions as the kernel's own filter.h
 * spells them, loading and running programs, the interfaces of MOAT and of the
 * test kernel, and TAP. The code is in lib_moat.c.
 */
#ifndef MOAT_TEST_H
#define MOAT_TEST_H

#include <linux/bpf.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Instructions; of classic filters: C(), CJ() */

#define C(CODE, K) ((struct sock_filter)BPF_STMT(CODE, K))
#define CJ(CODE, K, T, F) ((struct sock_filter)BPF_JUMP(CODE, K, T, F))

#define INSN(CODE, DST, SRC, OFF, IMM) \
	((struct bpf_insn){ .code = (CODE), .dst_reg = (DST), .src_reg = (SRC), \
			    .off = (OFF), .imm = (IMM) })
#define R0 BPF_REG_0
#define R1 BPF_REG_1
#define R2 BPF_REG_2
#define R3 BPF_REG_3
#define R4 BPF_REG_4
#define R5 BPF_REG_5
#define R6 BPF_REG_6
#define R7 BPF_REG_7
#define R8 BPF_REG_8
#define R9 BPF_REG_9
#define R10 BPF_REG_10

#define ALU64_REG(OP, DST, SRC) INSN(BPF_ALU64 | (OP) | BPF_X, DST, SRC, 0, 0)
#define ALU64_IMM(OP, DST, IMM) INSN(BPF_ALU64 | (OP) | BPF_K, DST, 0, 0, IMM)
#define ALU32_REG(OP, DST, SRC) INSN(BPF_ALU | (OP) | BPF_X, DST, SRC, 0, 0)
#define ALU32_IMM(OP, DST, IMM) INSN(BPF_ALU | (OP) | BPF_K, DST, 0, 0, IMM)
#define MOV_REG(DST, SRC) ALU64_REG(BPF_MOV, DST, SRC)
#define MOV_IMM(DST, IMM) ALU64_IMM(BPF_MOV, DST, IMM)
#define LD_IMM64_RAW(DST, SRC, LO, HI) \
	INSN(BPF_LD | BPF_DW | BPF_IMM, DST, SRC, 0, (s32)(LO)), \
	INSN(0, 0, 0, 0, (s32)(HI))
#define LD_IMM64(DST, VAL) LD_IMM64_RAW(DST, 0, (u64)(VAL), (u64)(VAL) >> 32)
#define LD_MAP_FD(DST, FD) LD_IMM64_RAW(DST, BPF_PSEUDO_MAP_FD, FD, 0)
#define LD_MAP_VALUE(DST, FD, OFF) LD_IMM64_RAW(DST, BPF_PSEUDO_MAP_VALUE, FD, OFF)
#define LDX(SIZE, DST, SRC, OFF) INSN(BPF_LDX | (SIZE) | BPF_MEM, DST, SRC, OFF, 0)
#define STX(SIZE, DST, SRC, OFF) INSN(BPF_STX | (SIZE) | BPF_MEM, DST, SRC, OFF, 0)
#define ST(SIZE, DST, OFF, IMM) INSN(BPF_ST | (SIZE) | BPF_MEM, DST, 0, OFF, IMM)
#define ATOMIC(SIZE, OP, DST, SRC, OFF) \
	INSN(BPF_STX | (SIZE) | BPF_ATOMIC, DST, SRC, OFF, OP)
#define LD_ABS(SIZE, IMM) INSN(BPF_LD | (SIZE) | BPF_ABS, 0, 0, 0, IMM)
#define LD_IND(SIZE, SRC, IMM) INSN(BPF_LD | (SIZE) | BPF_IND, 0, SRC, 0, IMM)
#define JMP_REG(OP, DST, SRC, OFF) INSN(BPF_JMP | (OP) | BPF_X, DST, SRC, OFF, 0)
#define JMP_IMM(OP, DST, IMM, OFF) INSN(BPF_JMP | (OP) | BPF_K, DST, 0, OFF, IMM)
#define JA(OFF) INSN(BPF_JMP | BPF_JA, 0, 0, OFF, 0)
#define CALL(FUNC) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##FUNC)
#define CALL_REL(OFF) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, OFF)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* Programs and maps. Each returns a file descriptor or -1 with errno. */

extern char prog_log[1 << 16];

int map_create(enum bpf_map_type type, u32 key, u32 value, u32 entries);
int map_lookup(int fd, const void *key, void *value);
int map_update(int fd, const void *key, const void *value);
int map_delete(int fd, const void *key);
/* An array with one value of eight words; ends the test if there is none. */
int map_of_words(u64 first);
u64 map_word(int fd, u32 i);
int prog_load(enum bpf_prog_type type, const char *name,
	      const struct bpf_insn *insns, size_t cnt);
u32 prog_id(int fd);
/* Of what build.h builds: tells of its functions; the caller closes what it returns. -1: none. */
int build_functions(union bpf_attr *attr, struct bpf_func_info *info, u32 room);
#define PROG_LOAD(TYPE, NAME, INSNS) prog_load(TYPE, NAME, INSNS, ARRAY_SIZE(INSNS))

struct run {
	const void *data_in;
	void *data_out, *ctx_in, *ctx_out;
	u32 data_in_size, data_out_size, ctx_in_size, ctx_out_size;
	u32 repeat, retval, duration, flags;
};

int prog_run(int fd, struct run *run);
/* Runs on a packet of zeros; the return value, or -1 and a diagnostic. */
s64 prog_run_once(int fd);

/* The program types MOAT isolates: what lets a packet pass, what stops it. */
struct prog_type {
	enum bpf_prog_type type;
	const char *name;	/* of the sysctl */
	u32 pass, safe;
};
extern const struct prog_type xdp, sched_cls, sched_act, socket_filter, cgroup_skb;
/* Classic filters of system calls, which no program type is */
extern const struct prog_type seccomp;

/* MOAT */

bool moat_present(void);
/* 0, or -1 with errno */
int moat_insmod(const char *path);
/*
 * Sets the level of all types, and strict, so that nothing runs plainly unseen.
 * At the end of the test they are what they were before. False where there is
 * no MOAT and @level is not 0.
 */
bool moat_set_level(int level);
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
/* NMIs come from the host from now on, or no more, if the test asks for any. */
void host_nmis(bool on);

/* The test kernel */

bool test_kernel(void);
bool bypass_verifier(bool on);
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

/*
 * A program that goes after what is not its own, as soon as it is told where that
 * is. Until then its runs do nothing; that one it reads what it may share.
 */
#define ROGUE_WRITES 0x646f6e6520746861ULL

struct rogue {
	const struct prog_type *type;
	int prog, loot;
	bool write;
};

/* @shares: a map that it may read, or -1. */
struct rogue rogue_load(const struct prog_type *type, bool write, int shares);
/* Has its next run go there. */
void rogue_aim(const struct rogue *rogue, u64 where);
s64 rogue_attack(const struct rogue *rogue, u64 where);
/* Whether it got past the access, and what it read in it. */
bool rogue_got(const struct rogue *rogue, u64 *what);
/* The last it read of the map it shares */
u64 rogue_shared(const struct rogue *rogue);
void rogue_close(const struct rogue *rogue);

/* The kernel's log. kmsg_find() looks at what was logged after kmsg_mark(). */

void kmsg_mark(void);
/* The line with all of @a and @b, which may be NULL; in a static buffer. */
const char *kmsg_find(const char *a, const char *b);
/* How many lines there are with both. */
int kmsg_count(const char *a, const char *b);
int kmsg_said(void);
/* The line that says that program @fd was stopped. */
const char *kmsg_stopped(int fd, const char *name);
/* The same, if it comes within some seconds: of what does not run at once */
const char *kmsg_stopped_later(int fd, const char *name);

/* TAP */

void diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool ok(bool held, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void skip(const char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int finish(void);
void skip_all(const char *why) __attribute__((noreturn));
void bail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Odds and ends */

/* On a machine with fewer CPUs another one stands for it. */
void pin_to_cpu(int cpu);
int write_file(const char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
s64 read_number(const char *path);
s64 free_kb(void);	/* of memory, without what can be had again */
/* The shell command fails, and the first line it prints has @saying. */
bool command_fails(const char *command, const char *saying);
u64 now_ns(void);

#endif
