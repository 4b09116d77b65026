/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of test_fuzz share.
 *
 * A sequence is a script of helper calls, a packet, and a way to run one on the other.
 * It follows from (seed, worker, number) alone. fuzz_programs.c has the programs that
 * play scripts, fuzz_scripts.c writes them, fuzz_packets.c makes packets and shapes, with
 * headers of fuzz_headers.c, fuzz_traffic.c devices and what goes through them.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "moat_test.h"
#include "fuzz_shape.h"
#include "rng.h"

#define STEPS	12
#define SEEN	128	/* bytes that a program shows of the packet after each step */
#define META	32	/* of which from the metadata */
#define OWN	512
#define SCRIPTS	64	/* in the map of programs on devices */
#define MOST	65575	/* bytes of a packet */
#define FUZZ_PORT 0x1301

enum op {
	LOOK, CHANGE_HEAD, CHANGE_TAIL, CHANGE_PROTO, CHANGE_TYPE, ADJUST_ROOM, VLAN_PUSH,
	VLAN_POP, PULL_DATA, STORE_BYTES, L3_CSUM, L4_CSUM, CLONE_REDIRECT, REDIRECT,
	REDIRECT_PEER, REDIRECT_NEIGH, SET_HASH, HASH_INVALID, HASH_RECALC, CSUM_LEVEL,
	CSUM_UPDATE, CSUM_DIFF, ECN_SET_CE, SET_TUNNEL_KEY, SET_TUNNEL_OPT, GET_TUNNEL_KEY,
	GET_TUNNEL_OPT, SET_TSTAMP, CHECK_MTU, LOAD_BYTES, LOAD_RELATIVE, WRITE, WRITE_CONTEXT,
	TC_OPS,
	ADJUST_HEAD = TC_OPS, ADJUST_META, ADJUST_TAIL, XDP_LOAD, XDP_STORE, BUFF_LEN,
	OPS,
};

struct step {
	u64 op, arg[4];
	s64 ret;
};

struct script {
	u64 todo;		/* steps, taken (0) by the program that plays it */
	u64 verdict;
	u64 as_told;		/* not 0: what the last redirect returned, instead */
	u64 done;		/* steps */
	struct step step[STEPS];
	u8 own[OWN];		/* what it stores, keys and parameters */
	u8 seen[STEPS][SEEN];
};

struct player {
	int prog, map;
	struct script *script;	/* SCRIPTS of them, or one */
};

/* Random numbers */
u64 seed_of(u64 seed, u64 worker, u64 n);

/* fuzz_programs.c: @writes, into the packet directly; @scripts, one or SCRIPTS. */
void player_load(struct player *p, const struct prog_type *type, bool writes, bool frags,
		 int scripts);
extern const char *const op_name[OPS];

/* fuzz_scripts.c: for a packet of @len bytes with @room before it, on @type */
void script_write(u64 *rng, struct script *s, const struct prog_type *type, bool writes,
		  u32 len, u32 room);
void script_tell(const struct script *s);
extern int ifindexes[16], nr_ifindexes;	/* where a redirect may lead */

/* fuzz_headers.c: each is put at @data; returns how long it is. */
u32 header_ethernet(u64 *rng, u8 *data, u32 proto);
u32 header_ip(u64 *rng, u8 *data, u32 len, u32 protocol, bool six);
u32 header_tcp(u64 *rng, u8 *data);
u32 header_udp(u64 *rng, u8 *data, u32 len, u32 port);
u32 header_sctp(u64 *rng, u8 *data);
void put16(u8 *at, u32 value);
/* Below 0x50, and no two alike side by side: nothing that the kernel leaves in memory */
void contents(u8 *data, u32 from, u32 to, u8 first);

/* fuzz_packets.c: the shape names one of @ways, and data the bytes. */
void packet_make(u64 *rng, struct moat_test_packet *p, u8 *data, bool xdp);
/* Fits into a test run, has no shape. */
u32 packet_plain(u64 *rng, u8 *data, u32 most);
void packet_tell(const struct moat_test_packet *p);

/* Words that neither packet nor program brought; @where is the first. */
u32 foreign(const u8 *bytes, u32 len, u32 *where);
void foreign_init(void);

/* fuzz_traffic.c */
extern u64 played, captured, sent, heard;	/* scripts, packets */
extern u64 strange;	/* of these, with foreign bytes */
void traffic_setup(u64 seed);
void traffic_start(void);
void traffic_stop(void);
void traffic_tell(void);	/* what was strange, if anything was */
int shaped_ifindex(u64 *rng);	/* a device without programs */
int hooked_ifindex(u64 *rng);	/* one with */

#endif
