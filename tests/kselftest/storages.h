/* SPDX-License-Identifier: GPL-2.0 */
/* Maps whose values belong to cgroups and sockets, and who uses them. The code is in storages.c. */
#ifndef STORAGES_H
#define STORAGES_H

#include "build.h"

#define CGROUP "/sys/fs/cgroup/moat_storage"

/* Bytes of a key of cgroup storage: the cgroup alone, or with the attach type */
#define BOTH_WAYS sizeof(u64)
#define EACH_WAY sizeof(struct bpf_cgroup_storage_key)

/* What of keys and values the kernel has to know: a descriptor of types, and which they are */
int describe_storage(u32 key, u32 value, bool lock, u32 *key_id, u32 *value_id);
/* The keys of socket storage are descriptors. With a lock the value is a struct locked. */
int try_storage(enum bpf_map_type type, u32 key, u32 value, u32 flags, bool lock);
int storage(enum bpf_map_type type, u32 key, u32 value);	/* or it ends the test */
/* As cgroup storage has it */
struct bpf_cgroup_storage_key storage_key(u64 cgroup, u32 attach_type);

/* Makes CGROUP/@name, moves there, and gives its number and a descriptor in *@fd. */
u64 enter_cgroup(const char *name, int *fd);
/* Back to where the test began; the cgroup goes. */
void leave_cgroup(const char *name, int fd);

/* What was built, as a program of cgroups; isolated, if programs are. Ends the test if not. */
int load_for(u32 attach_type, const char *name);
void attach_to(int cgroup, int prog, u32 attach_type);
void detach_from(int cgroup, int prog, u32 attach_type);

/* A socket of the current cgroup for datagrams; one that takes them; @n from one to the other */
int sender(void);
int receiver(void);
void send_to(int from, int to, int n);
void receive(int fd, int n);	/* so many have come in */

/* R0 = the value of the cgroup, which it counts in, once */
void count_here(int map);
/*
 * R0 = the value of the socket of the packet, in R6 the context, or the end: with @create
 * it begins with what R9 points to, or with nothing if that is 0.
 */
void of_socket(int map, bool create);	/* R8 is lost. */
/* The same of the map that is in @outer at 0 */
void of_socket_inside(int outer, bool create);

#endif
