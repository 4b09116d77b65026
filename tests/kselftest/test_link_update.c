// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 timeout=120 */
/*
 * Programs are replaced by link updates while packets come: isolated ones by isolated and
 * by plain ones, and the other way round. Each packet is seen by one program, and those that
 * are replaced go, with all they had.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "build.h"
#include "packets.h"

#define CGROUP "/sys/fs/cgroup/moat_update"
#define UPDATES 60
/* Packets that are on their way at once: fewer than a device queues */
#define BURST 16

/* How a program counts */
enum shape { IN_PLACE, BY_LOOKUP, BY_TAIL_CALL, NR_SHAPES };

struct path {
	const char *name;
	const struct prog_type *type;
	u32 attach_type;
	int link, counts, array;
	bool (*send)(const struct path *path);
	int socket;
	u64 sent;
	pthread_t sender;
};

static volatile bool done;
static s64 isolated;

static int load(const struct path *path, const char *name)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = path->attach_type,
		    .log_buf = prog_log, .log_size = sizeof(prog_log), .log_level = 1);
	int fd;

	E(MOV_IMM(R0, path->type->pass), EXIT());
	fd = bpf_prog_load(path->type->type, name, "GPL", insns, cnt, &opts);
	if (fd < 0)
		bail("%s: %s\n%s", name, strerror(errno), prog_log);
	isolated += moat_layer(fd) != NONE;
	return fd;
}

static int counting(const struct path *path, enum shape shape)
{
	cnt = 0;
	if (shape == IN_PLACE)
		E(LD_MAP_VALUE(R1, path->counts, 0));
	else if (shape == BY_LOOKUP)
		E(ST(BPF_W, R10, -4, 0), LD_MAP_FD(R1, path->counts), MOV_REG(R2, R10),
		  ALU64_IMM(BPF_ADD, R2, -4), CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 1),
		  EXIT(), MOV_REG(R1, R0));
	else
		E(LD_MAP_FD(R2, path->array), MOV_IMM(R3, 0), CALL(tail_call));
	if (shape != BY_TAIL_CALL)
		E(MOV_IMM(R2, 1), ATOMIC(BPF_DW, BPF_ADD, R1, R2, 0));
	return load(path, "counts");
}

/* At any level */
static int any(const struct path *path)
{
	int level = random() % 3, prog, tail;
	enum shape shape = random() % NR_SHAPES;
	u32 zero = 0;

	moat_set_level(level);
	if (shape == BY_TAIL_CALL) {
		tail = counting(path, random() % 2 ? IN_PLACE : BY_LOOKUP);
		if (map_update(path->array, &zero, &tail))
			bail("array: %s", strerror(errno));
		close(tail);
		moat_set_level(random() % 3);
	}
	prog = counting(path, shape);
	moat_set_level(2);
	return prog;
}

static bool send_frame(const struct path *path)
{
	static u8 frame[128];

	frame_fill(frame, sizeof(frame), path->sent);
	return frame_send(path->socket, frame, sizeof(frame), true);
}

static bool send_datagram(const struct path *path)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	/* Nobody is there: at times, the answer to the last one is what there is. */
	return sendto(path->socket, "x", 1, 0, (void *)&to, sizeof(to)) == 1 ||
	       errno == ECONNREFUSED;
}

/* Goes on until those it has sent were counted, or two seconds after. */
static void *sending(void *arg)
{
	struct path *path = arg;
	int i;

	pin_to_cpu(path->socket % 2 ? 1 : 2);
	while (!done) {
		for (i = 0; i < BURST; i++)
			path->sent += path->send(path);
		for (i = 0; i < 2000 && map_word(path->counts, 0) < path->sent; i++)
			usleep(1000);
		if (map_word(path->counts, 0) != path->sent)
			break;
	}
	return NULL;
}

static void updates(struct path *path, int on)
{
	s64 gone;
	int i, k, prog;
	u64 counted;
	u32 zero = 0;

	path->counts = map_of_words(0);
	/* The first load of all has libbpf load some to see what the kernel can. */
	close(counting(path, IN_PLACE));
	moat_wait_loaded(0);
	gone = moat_counter("freed");
	isolated = 0;
	path->array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);
	prog = any(path);
	path->link = bpf_link_create(prog, on, path->attach_type, NULL);
	if (path->array < 0 || path->link < 0)
		bail("%s: %s", path->name, strerror(errno));
	close(prog);
	done = false;
	pthread_create(&path->sender, NULL, sending, path);
	for (i = 0; i < UPDATES; i++) {
		u64 before = map_word(path->counts, 0);

		prog = any(path);
		if (bpf_link_update(path->link, prog, NULL))
			bail("%s: update: %s", path->name, strerror(errno));
		close(prog);
		/* It gets some. */
		for (k = 0; k < 2000 && map_word(path->counts, 0) == before; k++)
			usleep(1000);
	}
	done = true;
	pthread_join(path->sender, NULL);
	counted = map_word(path->counts, 0);
	ok(counted == path->sent && path->sent > UPDATES,
	   "%s: of %lu packets %lu were counted, over %d updates", path->name, path->sent, counted,
	   UPDATES);
	close(path->link);
	map_delete(path->array, &zero);
	close(path->array);
	close(path->counts);
	moat_wait_loaded(0);
	ok(isolated > UPDATES / 2 && moat_counter("freed") - gone == isolated,
	   "%s: %ld isolated programs were loaded, %ld are gone", path->name, isolated,
	   moat_counter("freed") - gone);
}

int main(void)
{
	struct path frames = { .name = "XDP", .type = &xdp, .attach_type = BPF_XDP,
			       .send = send_frame };
	struct path datagrams = { .name = "cgroup, egress", .type = &cgroup_skb,
				  .attach_type = BPF_CGROUP_INET_EGRESS, .send = send_datagram };
	int cgroup;

	if (!moat_present())
		skip_all("no MOAT");
	srandom(1);
	veth_create("luna", "lunb", 1500);
	frames.socket = frame_socket("lunb");
	updates(&frames, if_nametoindex("luna"));

	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		skip_all("no cgroups");
	cgroup = open(CGROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0 || write_file(CGROUP "/cgroup.procs", "%d", getpid()))
		bail("cgroup: %s", strerror(errno));
	datagrams.socket = socket(AF_INET, SOCK_DGRAM, 0);
	updates(&datagrams, cgroup);
	write_file("/sys/fs/cgroup/cgroup.procs", "%d", getpid());
	close(cgroup);
	rmdir(CGROUP);
	return finish();
}
