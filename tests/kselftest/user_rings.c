// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "user_rings.h"

#define PAGE 4096

struct user_ring user_ring_open(u32 size)
{
	struct user_ring ring = {
		.map = map_create(BPF_MAP_TYPE_USER_RINGBUF, 0, 0, size), .size = size,
	};
	void *consumer, *rest;

	if (ring.map < 0)
		bail("user ring buffer: %s", strerror(errno));
	consumer = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ring.map, 0);
	rest = mmap(NULL, PAGE + 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.map, PAGE);
	if (consumer == MAP_FAILED || rest == MAP_FAILED)
		bail("user ring buffer: mmap: %s", strerror(errno));
	ring.consumer = consumer;
	ring.producer = rest;
	ring.data = (u8 *)rest + PAGE;
	return ring;
}

void user_ring_close(const struct user_ring *ring)
{
	munmap((void *)ring->consumer, PAGE);
	munmap((void *)ring->producer, PAGE + 2 * ring->size);
	close(ring->map);
}

bool user_ring_put(const struct user_ring *ring, u32 header, u8 first)
{
	u64 at = *ring->producer, free = ring->size - (at - *ring->consumer);
	u8 *sample = ring->data + (at & (ring->size - 1));
	u32 len = header & ~(BUSY | DISCARDED);

	if (ring_step(header) > free)
		return false;
	for (u32 i = 0; i < len; i++)
		sample[HEADER + i] = first + i;
	__atomic_store_n((u32 *)sample, header, __ATOMIC_RELEASE);
	__atomic_store_n(ring->producer, at + ring_step(header), __ATOMIC_RELEASE);
	return true;
}
