// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "xsk.h"

#define CHUNK 2048
#define CHUNKS 512

static void *ring(int fd, u64 offset, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);

	if (p == MAP_FAILED)
		bail("AF_XDP ring: %s", strerror(errno));
	return p;
}

void xsk_open(struct xsk *xsk, const char *dev, u32 queue)
{
	struct xdp_umem_reg reg = { .len = CHUNK * CHUNKS, .chunk_size = CHUNK };
	struct sockaddr_xdp on = {
		.sxdp_family = AF_XDP, .sxdp_ifindex = if_nametoindex(dev),
		.sxdp_queue_id = queue, .sxdp_flags = XDP_COPY,
	};
	struct xdp_mmap_offsets at;
	socklen_t len = sizeof(at);
	int entries = CHUNKS, fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	u64 *fill;
	u8 *base;
	u32 i;

	memset(xsk, 0, sizeof(*xsk));
	xsk->fd = fd;
	xsk->umem = mmap(NULL, reg.len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	reg.addr = (uintptr_t)xsk->umem;
	if (fd < 0 || setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &entries, sizeof(entries)) ||
	    setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &entries, sizeof(entries)) ||
	    setsockopt(fd, SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)) ||
	    getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &len))
		bail("AF_XDP: %s", strerror(errno));

	base = ring(fd, XDP_UMEM_PGOFF_FILL_RING, at.fr.desc + CHUNKS * sizeof(u64));
	fill = (u64 *)(base + at.fr.desc);
	for (i = 0; i < CHUNKS; i++)
		fill[i] = (u64)i * CHUNK;
	xsk->filled = (u32 *)(base + at.fr.producer);
	__atomic_store_n(xsk->filled, CHUNKS, __ATOMIC_RELEASE);

	base = ring(fd, XDP_PGOFF_RX_RING, at.rx.desc + CHUNKS * sizeof(struct xdp_desc));
	xsk->descs = (struct xdp_desc *)(base + at.rx.desc);
	xsk->received = (u32 *)(base + at.rx.producer);
	xsk->received_to = (u32 *)(base + at.rx.consumer);
	if (bind(fd, (void *)&on, sizeof(on)))
		bail("AF_XDP on %s: %s", dev, strerror(errno));
}

const void *xsk_next(struct xsk *xsk, u32 *len)
{
	const struct xdp_desc *desc = &xsk->descs[xsk->at % CHUNKS];

	if (xsk->at == __atomic_load_n(xsk->received, __ATOMIC_ACQUIRE))
		return NULL;
	*len = desc->len;
	__atomic_store_n(xsk->received_to, ++xsk->at, __ATOMIC_RELEASE);
	return xsk->umem + desc->addr;
}

void xsk_close(struct xsk *xsk)
{
	close(xsk->fd);
	munmap(xsk->umem, CHUNK * CHUNKS);
}
