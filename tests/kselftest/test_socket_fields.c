// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * Do programs see of sockets what they see plainly: fields, what helpers make of sockets, the
 * socket of the context, those in maps?
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "attack.h"
#include "socket_fields.h"
#include "sockets.h"

#define CGROUP "/sys/fs/cgroup/moat_sockets"

static struct ends ends, sender;
static u16 gone;		/* peer of a connection that waits */
static int sockmap, sockhash;

static void says(const struct prog_type *t, const char *what, struct told *was)
{
	int fd = load(t, "sockets", insns, cnt);
	s64 ret = -1;

	forget();
	if (fd >= 0)
		ret = prog_run_once(fd);
	if (level && fd >= 0 && moat_layer(fd) == NONE)
		ret = -2;
	close(fd);
	told(what, ret, was);
}

static void found(const struct prog_type *t, int func, u16 from, u16 to, const char *what,
		  struct told *was)
{
	begin_telling();
	socket_lookup(func, from, to);
	or_end();
	all_of_it(t != &xdp);
	if (func != BPF_FUNC_skc_lookup_tcp)
		full(R7);
	socket_release(R7);
	end_telling(1);
	says(t, what, was);
}

/* The one that was found is given back, the listener is there still. */
static void listens(struct told *was)
{
	int skip;

	begin_telling();
	socket_lookup(BPF_FUNC_sk_lookup_tcp, htons(1), ends.port);
	or_end();
	skip = made(BPF_FUNC_get_listener_sock);
	socket_release(R7);
	field(BPF_W, R9, SOCK(src_port));
	E(MOV_REG(R1, R9), CALL(sk_fullsock), MOV_IMM(R0, 2), EXIT());
	to_here(skip);
	socket_release(R7);
	end_telling(1);
	says(&sched_cls, "listener", was);
}

/* The context's, and another in its place */
static void of_context(const struct prog_type *t, const char *what, bool assign, struct told *was)
{
	begin_telling();
	if (assign) {
		socket_lookup(BPF_FUNC_sk_lookup_tcp, ends.peer, ends.port);
		or_end();
		E(MOV_REG(R1, R6), MOV_REG(R2, R7), MOV_IMM(R3, 0), CALL(sk_assign));
		take(R0);
		socket_release(R7);
	}
	E(LDX(BPF_DW, R0, R6, offsetof(struct __sk_buff, sk)));
	or_end();
	E(LDX(BPF_DW, R9, R6, offsetof(struct __sk_buff, sk)));
	is_same();
	all_of_it(t != &socket_filter);
	end_telling(1);
	says(t, what, was);
}

static void in_map(const struct prog_type *t, int map, const char *what, struct told *was)
{
	u32 zero = 0;
	u64 fd = ends.end;
	int skip;

	map_update(map, &zero, &fd);
	begin_telling();
	E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, map), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
	  CALL(map_lookup_elem));
	or_end();
	common(R7);
	full(R7);
	/* To another place, and from there */
	E(ST(BPF_W, R10, -4, 1), LD_MAP_FD(R1, map), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -4), MOV_REG(R3, R7), MOV_IMM(R4, 0), CALL(map_update_elem));
	take(R0);
	E(LD_MAP_FD(R1, map), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4), CALL(map_lookup_elem),
	  MOV_REG(R9, R0), JMP_IMM(BPF_JEQ, R9, 0, 0));
	skip = cnt - 1;
	is_same();
	socket_release(R9);
	to_here(skip);
	E(LD_MAP_FD(R1, map), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4), CALL(map_delete_elem));
	take(R0);
	E(ST(BPF_W, R10, -4, 2), LD_MAP_FD(R1, map), MOV_REG(R2, R10), ALU64_IMM(BPF_ADD, R2, -4),
	  CALL(map_lookup_elem), MOV_REG(R9, R0), JMP_IMM(BPF_JEQ, R9, 0, 0));
	skip = cnt - 1;
	socket_release(R9);
	to_here(skip);
	socket_release(R7);
	end_telling(1);
	says(t, what, was);
	map_delete(map, &zero);
}

/* As what is found is assigned; R0 says whether that worked. */
static void assign(void)
{
	socket_lookup(BPF_FUNC_sk_lookup_tcp, sender.peer, ends.port);
	or_end();
	E(MOV_REG(R1, R6), MOV_REG(R2, R7), MOV_IMM(R3, 0), CALL(sk_assign), MOV_REG(R9, R0));
	socket_release(R7);
	E(MOV_REG(R0, R9));
}

#define LONG 500

/* Has @fd see a long packet to who was accepted come in. */
static void come_in(int fd)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = if_nametoindex("lo"),
		    .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = fd, .handle = 1, .priority = 1);
	u8 data[LONG] = {};

	if (bpf_tc_hook_create(&hook) || bpf_tc_attach(&hook, &opts))
		bail("lo: %s", strerror(errno));
	if (send(sender.client, data, LONG, 0) != LONG ||
	    recv(sender.end, data, LONG, MSG_WAITALL) != LONG)
		bail("to the end: %s", strerror(errno));
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	bpf_tc_hook_destroy(&hook);
}

/* A socket for the context that had none, here or @elsewhere, by a program gone on in */
static void assigned(const char *what, bool elsewhere, struct told *was)
{
	int array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1), other, call, fd;
	u32 zero = 0;

	cnt = 0;
	E(MOV_REG(R6, R1));
	assign();
	E(EXIT());
	other = load(&sched_cls, "assigns", insns, cnt);
	if (map_update(array, &zero, &other))
		bail("array of programs: %s", strerror(errno));

	begin_telling();
	E(LDX(BPF_W, R0, R6, offsetof(struct __sk_buff, len)), JMP_IMM(BPF_JGE, R0, LONG, 2),
	  MOV_IMM(R0, 0), EXIT(), LDX(BPF_DW, R0, R6, offsetof(struct __sk_buff, sk)),
	  JMP_IMM(BPF_JEQ, R0, 0, 1), MOV_IMM(R0, 1));
	take(R0);
	E(MOV_REG(R1, R6));
	call = cnt;
	if (elsewhere)
		E(CALL_REL(0));
	else
		assign();
	take(R0);
	E(LDX(BPF_DW, R0, R6, offsetof(struct __sk_buff, sk)));
	or_end();
	common(R7);
	end_telling(0);
	if (elsewhere) {
		insns[call].imm = cnt - call - 1;
		begin_function(1);
		E(LD_MAP_FD(R2, array), MOV_IMM(R3, 0), CALL(tail_call), MOV_IMM(R0, 0), EXIT());
	}
	fd = must_load(&sched_cls, "assigned", level);
	forget();
	come_in(fd);
	told(what, 0, was);
	ok(!was->word[0] && !was->word[1] && was->word[9] == ntohs(ends.port),
	   "%d: %s: it is there", level, what);
	close(fd);
	close(other);
	close(array);
}

/* What a program of a cgroup sees of the sender's socket */
static void live(struct told *was)
{
	int cgroup = open(CGROUP, O_DIRECTORY), fd, skip;

	begin_telling();
	E(LDX(BPF_DW, R0, R6, offsetof(struct __sk_buff, sk)), JMP_IMM(BPF_JNE, R0, 0, 2),
	  MOV_IMM(R0, 1), EXIT(), MOV_REG(R7, R0));
	common(R7);
	skip = made(BPF_FUNC_sk_fullsock);
	full(R9);
	E(MOV_REG(R1, R9), CALL(sk_cgroup_id));
	take(R0);
	E(MOV_REG(R1, R9), MOV_IMM(R2, 1), CALL(sk_ancestor_cgroup_id));
	take(R0);
	to_here(skip);
	skip = made(BPF_FUNC_tcp_sock);
	field(BPF_W, R9, TCP(mss_cache));
	to_here(skip);
	E(MOV_REG(R1, R6), CALL(get_socket_cookie));
	take(R0);
	E(MOV_REG(R1, R6), CALL(get_socket_uid));
	take(R0);
	end_telling(1);
	fd = must_load_for(&cgroup_skb, BPF_CGROUP_INET_EGRESS, "live", level);
	forget();
	if (bpf_prog_attach(fd, cgroup, BPF_CGROUP_INET_EGRESS, 0))
		bail("attach: %s", strerror(errno));
	if (send(sender.client, "x", 1, 0) != 1)
		diag("send: %s", strerror(errno));
	usleep(20 * 1000);
	bpf_prog_detach2(fd, cgroup, BPF_CGROUP_INET_EGRESS);
	close(fd);
	close(cgroup);
	told("a sender's socket", 1, was);
	ok(was->word[0] == 0 && was->word[1] == AF_INET && was->word[7] == ntohs(sender.peer) &&
	   was->word[2] == htonl(INADDR_LOOPBACK), "%d: it is the sender's", level);
}

static void same(void)
{
	static struct told was[24];
	static const struct prog_type *const types[] = { &xdp, &sched_cls };
	int refs = socket_references(&ends), n = 0;
	char what[64];

	for (int i = 0; i < 2; i++) {
		const struct prog_type *t = types[i];
		const struct {
			int func;
			u16 from, to;
			const char *what;
		} cases[] = {
			{ BPF_FUNC_sk_lookup_tcp, ends.peer, ends.port, "connection" },
			{ BPF_FUNC_sk_lookup_tcp, htons(1), ends.port, "who listens" },
			{ BPF_FUNC_sk_lookup_udp, htons(1), ends.udp_port, "datagrams" },
			{ BPF_FUNC_skc_lookup_tcp, ends.peer, ends.port, "any connection" },
			{ BPF_FUNC_skc_lookup_tcp, gone, ends.port, "one that waits" },
		};

		for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
			snprintf(what, sizeof(what), "%s: %s", t->name, cases[c].what);
			found(t, cases[c].func, cases[c].from, cases[c].to, what, &was[n]);
			ok(was[n].ret == 1 && was[n].word[1] == AF_INET, "%d: %s is found", level,
			   what);
			n++;
		}
		ok(was[n - 5].word[14] == 1 && was[n - 4].word[14] == 10 &&
		   was[n - 1].word[14] == 6 && was[n - 5].word[7] == ntohs(ends.port) &&
		   was[n - 5].word[8] == ends.peer, "%d: %s: states and ports", level, t->name);
		in_map(t, sockmap, i ? "sched_cls: sockmap" : "xdp: sockmap", &was[n]);
		ok(was[n++].word[1] == AF_INET, "%d: found there", level);
		in_map(t, sockhash, i ? "sched_cls: sockhash" : "xdp: sockhash", &was[n]);
		ok(was[n++].word[1] == AF_INET, "%d: found there", level);
	}
	listens(&was[n]);
	ok(was[n++].ret == 2, "%d: and used after its release", level);
	of_context(&sched_cls, "context, sched_cls", false, &was[n++]);
	of_context(&cgroup_skb, "context, cgroup_skb", false, &was[n++]);
	of_context(&socket_filter, "context, socket filter", false, &was[n++]);
	of_context(&sched_cls, "context, after sk_assign", true, &was[n++]);
	assigned("context, assigned at ingress", false, &was[n++]);
	assigned("context, assigned at ingress by what a function has gone on in", true,
		 &was[n++]);
	live(&was[n]);
	ok(socket_references(&ends) == refs, "%d: %d references, as before", level,
	   socket_references(&ends));
}

/* What is verified, by the verifier as it is */
static void each(void)
{
	bypass_verifier(false);
	same();
	bypass_verifier(true);
}

int main(void)
{
	int ret, i, one = 1, mark = 0x1234, priority = 5;
	char byte;
	struct ends other;

	socket_ends(&ends);
	setsockopt(ends.end, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	setsockopt(ends.end, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
	setsockopt(ends.listener, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
	/* Who closes first waits. */
	socket_connect(&ends, &other);
	gone = other.peer;
	close(other.end);
	usleep(20 * 1000);
	close(other.client);
	usleep(20 * 1000);
	out = array_of(8 * WORDS);
	sockmap = map_create(BPF_MAP_TYPE_SOCKMAP, 4, 8, 8);
	sockhash = map_create(BPF_MAP_TYPE_SOCKHASH, 4, 8, 8);
	if (sockmap < 0 || sockhash < 0)
		bail("sockmap: %s", strerror(errno));
	mkdir("/sys/fs/cgroup", 0755);
	if (access("/sys/fs/cgroup/cgroup.procs", F_OK) &&
	    system("mount -t cgroup2 none /sys/fs/cgroup"))
		diag("no cgroups");
	mkdir(CGROUP, 0755);
	write_file(CGROUP "/cgroup.procs", "0");
	/* A socket belongs to the cgroup that it was made in. */
	socket_connect(&ends, &sender);
	setsockopt(sender.client, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	setsockopt(sender.client, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
	/* What it knows of the path is the same from then on. */
	for (i = 0; i < 8; i++)
		if (send(sender.client, "x", 1, 0) != 1 || recv(sender.end, &byte, 1, 0) != 1)
			bail("send: %s", strerror(errno));
	ret = at_each_level(each);
	write_file("/sys/fs/cgroup/cgroup.procs", "0");
	rmdir(CGROUP);
	return ret;
}
