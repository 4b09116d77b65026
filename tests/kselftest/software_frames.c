// SPDX-License-Identifier: GPL-2.0
/* What software.h says are frames of all kinds. Nothing in them is left to chance. */
#include <arpa/inet.h>
#include <string.h>
#include "software.h"

#define MOST 80

static struct {
	u8 data[1514];
	size_t len;
} all[MOST], *at;
static int made;

static void put(const void *data, size_t len)
{
	if (at->len + len > sizeof(at->data))
		bail("frame %d is too long", made);
	memcpy(at->data + at->len, data, len);
	at->len += len;
}

#define PUT(...) put((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))
#define U16(X) (u8)((X) >> 8), (u8)(X)
#define U32(X) U16((X) >> 16), U16(X)
#define HOST(N) 0x0a000000 + (N)	/* 10.0.0.N */

static void text(const char *text)
{
	put(text, strlen(text));
}

static void fill(size_t len)
{
	while (at->len < len)
		PUT((u8)(7 * at->len + made));
}

/* The next one, to 02:00:00:00:00:01 */
static void ether(u16 type)
{
	if (made == MOST)
		bail("more than %d frames", MOST);
	at = &all[made++];
	PUT(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, U16(type));
}

static void to_group(u8 first, u8 rest)
{
	memset(at->data, rest, 6);
	at->data[0] = first;
}

static u16 sum(const u8 *p, size_t len)
{
	u32 all = 0;

	for (; len; len -= 2, p += 2)
		all += p[0] << 8 | p[1];
	while (all >> 16)
		all = (all & 0xffff) + (all >> 16);
	return ~all;
}

/* @words of options; @fragment: flags and offset; @len: of what follows */
static void ip_with(u8 words, u16 fragment, u8 ttl, u8 proto, u32 from, u32 to, u16 len)
{
	size_t start = at->len;
	u16 check;

	PUT(0x45 + words, 0, U16(20 + 4 * words + len), U16(made), U16(fragment), ttl, proto, 0, 0,
	    U32(from), U32(to));
	while (words--)
		PUT(1, 1, 1, 1);
	check = sum(at->data + start, at->len - start);
	at->data[start + 10] = check >> 8;
	at->data[start + 11] = check;
}

static void ip(u8 proto, u32 from, u32 to, u16 len)
{
	ip_with(0, 0x4000, 64, proto, from, to, len);
}

static void ip6(u8 next, u8 to, u16 len)
{
	PUT(0x60, 0, 0, made, U16(len), next, 64,
	    0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
	    0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, to);
}

static void udp(u16 from, u16 to, u16 len)
{
	PUT(U16(from), U16(to), U16(8 + len), 0, 0);
}

static void tcp(u16 from, u16 to, u8 words, u8 flags)
{
	PUT(U16(from), U16(to), U32(1000 + made), U32(2000), (5 + words) << 4, flags, U16(512), 0, 0,
	    0, 0);
	while (words--)
		PUT(1, 1, 1, 1);
}

#define A HOST(1)
#define B HOST(2)

static void arp(void)
{
	ether(0x0806);
	to_group(0xff, 0xff);
	PUT(U16(1), U16(0x800), 6, 4, U16(1), 2, 0, 0, 0, 0, 2, U32(A), 0, 0, 0, 0, 0, 0, U32(B));
	ether(0x0806);
	PUT(U16(1), U16(0x800), 6, 4, U16(2), 2, 0, 0, 0, 0, 2, U32(B), 2, 0, 0, 0, 0, 1, U32(A));
}

static void transports(void)
{
	int i;

	ether(0x0800), ip(17, A, B, 28), udp(4000, 53, 20), fill(62);
	ether(0x0800), to_group(1, 0x5e), ip(17, A, 0xe00000fb, 16), udp(5353, 5353, 8), fill(50);
	ether(0x0800), to_group(0xff, 0xff), ip(17, 0, 0xffffffff, 258), udp(68, 67, 250), fill(292);
	ether(0x0800), ip(6, A, B, 20), tcp(4001, 80, 0, 0x02);
	ether(0x0800), ip(6, B, A, 24), tcp(80, 4001, 1, 0x12);
	ether(0x0800), ip(6, A, B, 36), tcp(4001, 80, 0, 0x18), text("GET / HTTP/1.0\r\n");
	ether(0x0800), ip(6, A, B, 48), tcp(4001, 8080, 3, 0x18), text("GET / HTTP/1.1\r\n");
	ether(0x0800), ip(6, A, HOST(0x10007), 20), tcp(443, 4002, 0, 0x14);
	ether(0x0800), ip(6, A, B, 20), tcp(4003, 443, 0, 0x29);
	ether(0x0800), ip_with(2, 0, 1, 17, A, B, 28), udp(4000, 53, 20), fill(70);
	ether(0x0800), ip_with(0, 0x2000, 64, 17, A, B, 1480), udp(4000, 2049, 3000), fill(1514);
	ether(0x0800), ip_with(0, 185, 64, 17, A, B, 500), fill(534);
	ether(0x0800), ip(17, A, B, 1480), udp(9, 9, 1472), fill(1514);
	ether(0x0800), ip(1, A, B, 64), PUT(8, 0, 0, 0, U16(1), U16(1)), fill(98);
	ether(0x0800), ip(1, B, A, 36), PUT(3, 3, 0, 0, U32(0)), ip(17, A, B, 8), udp(4000, 9, 0);
	ether(0x0800), to_group(1, 0x5e), ip_with(1, 0, 1, 2, A, 0xe0000016, 8), fill(46);
	for (i = 0; i < 5; i++) {
		static const u8 protos[] = { 47, 50, 132, 89, 4 };

		ether(0x0800), ip(protos[i], A, B, 40), fill(74);
	}
	ether(0x0800), ip(17, A, B, 58), udp(4004, 4789, 50), PUT(8, 0, 0, 0, U32(77 << 8)), fill(92);
	ether(0x0800), ip(17, A, B, 58), udp(4004, 6081, 50), PUT(0, 0, 0x65, 0x58, U32(9 << 8));
	fill(92);
	/* So that a filter that divides by what is there divides by 0 */
	ether(0x0800), ip_with(0, 0, 0, 0, A, B, 40);
	memset(at->data + 34, 0, 40);
	at->len = 74;
}

static void sixes(void)
{
	ether(0x86dd), ip6(17, 2, 28), udp(4000, 53, 20), fill(82);
	ether(0x86dd), ip6(6, 3, 20), tcp(4001, 80, 0, 0x02);
	ether(0x86dd), to_group(0x33, 0x33), ip6(58, 9, 24), PUT(135, 0, 0, 0, U32(0)), fill(78);
	ether(0x86dd), ip6(0, 2, 24), PUT(17, 0, 5, 2, 0, 0, 1, 0), udp(4000, 53, 8), fill(78);
	ether(0x86dd), ip6(44, 2, 28), PUT(6, 0, U16(1), U32(5)), tcp(4001, 80, 0, 0x10);
	ether(0x86dd), ip6(60, 2, 32), PUT(0, 0, 1, 4, 0, 0, 0, 0), PUT(17, 0, 1, 4, 0, 0, 0, 0);
	udp(1, 2, 8), fill(94);
}

static void tagged(void)
{
	ether(0x8100), PUT(U16(5), U16(0x0800)), ip(17, A, B, 28), udp(4000, 53, 20), fill(66);
	ether(0x8100), PUT(U16(0x6006), U16(0x0800)), ip(6, A, B, 20), tcp(4001, 80, 0, 0x02);
	ether(0x8100), PUT(U16(5), U16(0x8100), U16(7), U16(0x0800)), ip(17, A, B, 28);
	udp(4000, 53, 20), fill(70);
	ether(0x88a8), PUT(U16(8), U16(0x8100), U16(7), U16(0x86dd)), ip6(17, 2, 28);
	udp(4000, 53, 20), fill(90);
	ether(0x8847), PUT(U32(100 << 12 | 0x1ff)), ip(17, A, B, 28), udp(4000, 53, 20), fill(66);
	ether(0x8847), PUT(U32(100 << 12 | 0xff), U32(200 << 12 | 0x1ff)), ip(6, A, B, 20);
	tcp(4001, 80, 0, 0x02);
	ether(0x8863), PUT(0x11, 9, 0, 0, U16(4), U16(0x101), U16(0));
	ether(0x8864), PUT(0x11, 0, U16(3), U16(50), U16(0x21)), ip(17, A, B, 28);
	udp(4000, 53, 20), fill(70);
	/* IEEE 802.3: a length in place of a type */
	ether(38), to_group(1, 0x80), PUT(0x42, 0x42, 3), fill(52);
	ether(46), PUT(0xaa, 0xaa, 3, 0, 0, 0, U16(0x8137)), fill(60);
}

static void cut(void)
{
	ether(0x88b5);
	ether(0x88b5), fill(20);
	ether(0x0800), ip(17, A, B, 28), at->len = 24;
	ether(0x0800), ip(6, A, B, 20), tcp(4001, 80, 0, 2), at->len = 40;
	ether(0x0800), ip(6, A, B, 20), tcp(4001, 80, 10, 0x18), at->len = 54;
	ether(0x86dd), ip6(17, 2, 28), at->len = 30;
	ether(0x8847), PUT(1, 2);
}

static void make(void)
{
	int i;

	arp();
	transports();
	sixes();
	tagged();
	cut();
	for (i = 0; i < 12; i++)
		ether(0x0800), ip_with(0, 0x4000, 60 + i, 17, HOST(i << 8 | 9), HOST(200 + i), 8 + 9 * i),
			udp(1000 * i, 1500 + i, 9 * i), fill(42 + 9 * i);
}

int frames(void)
{
	if (!made)
		make();
	return made;
}

const u8 *frame(int i, size_t *len)
{
	if (i >= frames())
		bail("there is no frame %d", i);
	*len = all[i].len;
	return all[i].data;
}
