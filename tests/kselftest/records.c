// SPDX-License-Identifier: GPL-2.0
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "attack.h"
#include "records.h"

#define PAGE 4096

struct ring ring_open(u32 size)
{
	int map = map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, size);

	if (map < 0)
		bail("ring buffer: %s", strerror(errno));
	return ring_of(map, size);
}

struct ring ring_of(int map, u32 size)
{
	struct ring ring = { .map = map, .size = size };
	void *consumer, *rest;

	consumer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring.map, 0);
	rest = mmap(NULL, PAGE + 2 * size, PROT_READ, MAP_SHARED, ring.map, PAGE);
	if (consumer == MAP_FAILED || rest == MAP_FAILED)
		bail("ring buffer: mmap: %s", strerror(errno));
	ring.consumer = consumer;
	ring.producer = rest;
	ring.data = (u8 *)rest + PAGE;
	return ring;
}

void ring_close(const struct ring *ring)
{
	munmap((void *)ring->consumer, PAGE);
	munmap((void *)ring->producer, PAGE + 2 * ring->size);
	close(ring->map);
}

int ring_in_map(const struct ring *ring)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = ring->map);
	int outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "outer", 4, 4, 2, &opts);
	u32 one = 1;

	if (outer < 0 || map_update(outer, &one, &ring->map))
		bail("map of rings: %s", strerror(errno));
	return outer;
}

u32 ring_header(const struct ring *ring, u64 pos)
{
	return __atomic_load_n((u32 *)&ring->data[pos & (ring->size - 1)], __ATOMIC_ACQUIRE);
}

u64 ring_word(const struct ring *ring, u64 pos)
{
	return *(u64 *)&ring->data[(pos & (ring->size - 1)) + HEADER];
}

u32 ring_step(u32 header)
{
	return ((header & ~(BUSY | DISCARDED)) + HEADER + 7) / 8 * 8;
}

u32 ring_consume(const struct ring *ring)
{
	u32 n = 0;

	while (*ring->consumer < __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE)) {
		u32 header = ring_header(ring, *ring->consumer);

		if (header & BUSY)
			break;
		if (!(header & DISCARDED))
			n++;
		__atomic_store_n(ring->consumer, *ring->consumer + ring_step(header),
				 __ATOMIC_RELEASE);
	}
	return n;
}

bool ring_gets_on(const struct ring *ring)
{
	const struct bpf_insn good[] = {
		LD_MAP_FD(R1, ring->map), MOV_IMM(R2, 16), MOV_IMM(R3, 0), CALL(ringbuf_reserve),
		JMP_IMM(BPF_JEQ, R0, 0, 4),
		ST(BPF_DW, R0, 0, 0x600d),
		MOV_REG(R1, R0), MOV_IMM(R2, BPF_RB_NO_WAKEUP), CALL(ringbuf_submit),
		MOV_IMM(R0, 2),
		EXIT(),
	};
	int fd = load(&xdp, "good_record", good, ARRAY_SIZE(good));
	bool got = fd >= 0 && prog_run_once(fd) == 2;

	ring_consume(ring);
	close(fd);
	return got && *ring->consumer == *ring->producer;
}
