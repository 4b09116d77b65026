// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "locks.h"
#include "storages.h"

int describe_storage(u32 key, u32 value, bool lock, u32 *key_id, u32 *value_id)
{
	struct btf *btf = btf__new_empty();
	int word, number, byte;

	word = btf__add_int(btf, "unsigned int", 4, 0);
	number = btf__add_int(btf, "unsigned long", 8, 0);
	byte = btf__add_int(btf, "unsigned char", 1, 0);
	*key_id = key == 4 ? word : number;
	*value_id = lock ? locked_type(btf, word, number) : btf__add_array(btf, word, byte, value);
	return btf_load(btf);
}

int try_storage(enum bpf_map_type type, u32 key, u32 value, u32 flags, bool lock)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd;

	if (lock)
		value = sizeof(struct locked);
	/* The key of each way would be a structure. */
	if (key != EACH_WAY)
		opts.btf_fd = describe_storage(key, value, lock, &opts.btf_key_type_id,
					       &opts.btf_value_type_id);
	fd = bpf_map_create(type, "storage", key, value, 0, &opts);
	if (opts.btf_fd)
		close(opts.btf_fd);
	return fd;
}

int storage(enum bpf_map_type type, u32 key, u32 value)
{
	u32 flags = type == BPF_MAP_TYPE_SK_STORAGE ? BPF_F_NO_PREALLOC : 0;
	int fd = try_storage(type, key, value, flags, false);

	if (fd < 0)
		bail("storage: %s", strerror(errno));
	return fd;
}

struct bpf_cgroup_storage_key storage_key(u64 cgroup, u32 attach_type)
{
	struct bpf_cgroup_storage_key key;

	memset(&key, 0, sizeof(key));
	key.cgroup_inode_id = cgroup;
	key.attach_type = attach_type;
	return key;
}

u64 enter_cgroup(const char *name, int *fd)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), CGROUP "%s", name);
	if (mkdir(path, 0755) && errno != EEXIST)
		bail("%s: %s", path, strerror(errno));
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0 || fstat(*fd, &st))
		bail("%s: %s", path, strerror(errno));
	strcat(path, "/cgroup.procs");
	if (write_file(path, "%d", getpid()))
		bail("%s: %s", path, strerror(errno));
	return st.st_ino;
}

void leave_cgroup(const char *name, int fd)
{
	char path[128];

	close(fd);
	write_file("/sys/fs/cgroup/cgroup.procs", "%d", getpid());
	snprintf(path, sizeof(path), CGROUP "%s", name);
	rmdir(path);
}

int load_for(u32 attach_type, const char *name)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type,
		    .log_buf = prog_log, .log_size = sizeof(prog_log), .log_level = 1);
	int fd = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SKB, name, "GPL", insns, cnt, &opts);

	if (fd < 0)
		bail("%s: %s\n%s", name, strerror(errno), prog_log);
	if (read_number("/proc/sys/kernel/moat/cgroup_skb") > 0 && moat_layer(fd) == NONE)
		bail("%s is not isolated", name);
	return fd;
}

void attach_to(int cgroup, int prog, u32 attach_type)
{
	if (bpf_prog_attach(prog, cgroup, attach_type, BPF_F_ALLOW_MULTI))
		bail("attach: %s", strerror(errno));
}

void detach_from(int cgroup, int prog, u32 attach_type)
{
	if (bpf_prog_detach2(prog, cgroup, attach_type))
		bail("detach: %s", strerror(errno));
}

int sender(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

int receiver(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = sender();

	if (system("ip link set lo up") || bind(fd, (void *)&a, sizeof(a)))
		bail("bind: %s", strerror(errno));
	return fd;
}

void send_to(int from, int to, int n)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	getsockname(to, (void *)&a, &len);
	while (n--)
		if (sendto(from, "x", 1, 0, (void *)&a, sizeof(a)) < 0)
			bail("sendto: %s", strerror(errno));
}

void receive(int fd, int n)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char text[8];

	while (n--)
		if (poll(&p, 1, 5000) != 1 || recv(fd, text, sizeof(text), 0) != 1)
			bail("a datagram has not come in");
}

void count_here(int map)
{
	E(LD_MAP_FD(R1, map), MOV_IMM(R2, 0), CALL(get_local_storage), MOV_IMM(R1, 1),
	  ATOMIC(BPF_DW, BPF_ADD, R0, R1, 0));
}

/* Of the map in R8 */
static void find_value(bool create)
{
	E(LDX(BPF_DW, R1, R6, offsetof(struct __sk_buff, sk)), JMP_IMM(BPF_JNE, R1, 0, 2),
	  MOV_IMM(R0, 1), EXIT(), CALL(sk_fullsock), JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 1),
	  EXIT(), MOV_REG(R2, R0), MOV_REG(R1, R8), MOV_REG(R3, R9),
	  MOV_IMM(R4, create ? BPF_SK_STORAGE_GET_F_CREATE : 0), CALL(sk_storage_get),
	  JMP_IMM(BPF_JNE, R0, 0, 2), MOV_IMM(R0, 1), EXIT());
}

void of_socket(int map, bool create)
{
	E(LD_MAP_FD(R8, map));
	find_value(create);
}

void of_socket_inside(int outer, bool create)
{
	E(ST(BPF_W, R10, -20, 0), LD_MAP_FD(R1, outer), MOV_REG(R2, R10),
	  ALU64_IMM(BPF_ADD, R2, -20), CALL(map_lookup_elem), JMP_IMM(BPF_JNE, R0, 0, 2),
	  MOV_IMM(R0, 1), EXIT(), MOV_REG(R8, R0));
	find_value(create);
}
