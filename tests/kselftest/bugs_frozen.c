// SPDX-License-Identifier: GPL-2.0
/*
 * A map is frozen while somebody still changes it.
 *
 * What is in a frozen map that programs may only read is constant to the verifier. Who
 * has begun to change one before it was frozen was let go on. Here that is a thread whose
 * new value is not there yet: the kernel waits for it until the program is loaded.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/unistd.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "bugs.h"

#define PAGE 4096

static int map = -1, faults = -1;
static u8 *value;
static pthread_t writer;

static void *change(void *arg)
{
	u32 zero = 0;

	if (map_update(map, &zero, value))
		bail("frozen map: %s", strerror(errno));
	return NULL;
}

static void handle_faults_of_value(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register area = {
		.range = { .len = PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	value = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	area.range.start = (uintptr_t)value;
	faults = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (value == MAP_FAILED || faults < 0 || ioctl(faults, UFFDIO_API, &api) ||
	    ioctl(faults, UFFDIO_REGISTER, &area))
		bail("userfaultfd: %s", strerror(errno));
}

void freeze_too_early(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4, .value_size = 8, .max_entries = 1,
		.map_flags = BPF_F_RDONLY_PROG,
	};
	struct uffd_msg fault;

	map = syscall(__NR_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
	if (map < 0)
		bail("map: %s", strerror(errno));
	handle_faults_of_value();
	errno = pthread_create(&writer, NULL, change, NULL);
	if (errno || read(faults, &fault, sizeof(fault)) != sizeof(fault))
		bail("writer: %s", strerror(errno));
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = map;
	/* Without the bug this fails. */
	syscall(__NR_bpf, BPF_MAP_FREEZE, &attr, sizeof(attr));
}

void constant(void)
{
	E(LD_MAP_VALUE(R2, map, 0),
	  LDX(BPF_DW, R6, R2, 0));
}

void change_frozen(void)
{
	static u64 one[PAGE / 8] = { 1 };
	struct uffdio_copy copy = {
		.dst = (uintptr_t)value, .src = (uintptr_t)one, .len = PAGE,
	};

	if (ioctl(faults, UFFDIO_COPY, &copy))
		bail("userfaultfd: %s", strerror(errno));
	pthread_join(writer, NULL);
	close(faults);
	munmap(value, PAGE);
	close(map);
}
