// SPDX-License-Identifier: GPL-2.0
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>
#include "fuzz.h"

void contents(u8 *data, u32 from, u32 to, u8 first)
{
	static u8 pattern[MOST + 256];
	u32 i;

	for (i = 0; !pattern[sizeof(pattern) - 1]; i++)
		pattern[i] = 1 + i % 0x4f;
	if (from < to)
		memcpy(data + from, pattern + first, to - from);
}

void put16(u8 *at, u32 value)
{
	at[0] = value >> 8;
	at[1] = value;
}

u32 header_ethernet(u64 *rng, u8 *data, u32 proto)
{
	static const u8 broadcast[] = { 1, 0, 0x5e, 1, 2, 3 };

	memset(data, 2, 12);
	data[11] = below(rng, 8);
	if (one_in(rng, 16))
		memcpy(data, broadcast, 6);
	put16(data + 12, proto);
	return ETH_HLEN;
}

/* Their checksums are wrong, which few look at. */
static u32 ipv4(u64 *rng, u8 *data, u32 len, u32 protocol)
{
	u32 options = one_in(rng, 12) ? 4 * below(rng, 11) : 0, sum = 0, i;

	memset(data, 1, 20 + options);
	data[0] = 0x45 + options / 4;
	data[1] = below(rng, 4);
	put16(data + 2, len);
	put16(data + 4, below(rng, 256));
	put16(data + 6, one_in(rng, 24) ? below(rng, 0x4000) : one_in(rng, 2) ? 0x4000 : 0);
	data[8] = 1 + below(rng, 64);
	data[9] = protocol;
	put16(data + 10, 0);
	memcpy(data + 12, "\x0a\x4d\x00\x02\x0a\x4d", 6);
	data[18] = below(rng, 4);
	data[19] = 1 + below(rng, 3);
	for (i = 0; i < 20 + options; i += 2)
		sum += data[i] << 8 | data[i + 1];
	put16(data + 10, ~((sum & 0xffff) + (sum >> 16)));
	return 20 + options;
}

static u32 ipv6(u64 *rng, u8 *data, u32 len, u32 protocol)
{
	u32 options = one_in(rng, 12) ? 8 : 0;

	memset(data, 0, 40 + options);
	data[0] = 0x60;
	data[1] = below(rng, 4) << 4;
	put16(data + 4, len - 40);
	data[6] = options ? IPPROTO_DSTOPTS : protocol;
	data[7] = 1 + below(rng, 64);
	memcpy(data + 8, "\x0d\x01", 2);
	data[23] = 2;
	memcpy(data + 24, "\x0d\x01", 2);
	data[37] = below(rng, 4);
	data[39] = 1 + below(rng, 3);
	if (options)
		data[40] = protocol;
	return 40 + options;
}

u32 header_ip(u64 *rng, u8 *data, u32 len, u32 protocol, bool six)
{
	return six ? ipv6(rng, data, len, protocol) : ipv4(rng, data, len, protocol);
}

u32 header_tcp(u64 *rng, u8 *data)
{
	u32 options = one_in(rng, 3) ? 12 : 0;

	memset(data, 0, 20 + options);
	put16(data, 1000 + below(rng, 100));
	put16(data + 2, FUZZ_PORT);
	put16(data + 6, below(rng, 1000));
	data[12] = (5 + options / 4) << 4;
	data[13] = one_in(rng, 8) ? below(rng, 64) : 0x10;
	put16(data + 14, 0x1000);
	if (options)
		memset(data + 20, 1, options);
	return 20 + options;
}

u32 header_udp(u64 *rng, u8 *data, u32 len, u32 port)
{
	put16(data, 1000 + below(rng, 100));
	put16(data + 2, port);
	put16(data + 4, len);
	put16(data + 6, one_in(rng, 2) ? 0 : 0x1234);
	return 8;
}

u32 header_sctp(u64 *rng, u8 *data)
{
	put16(data, 1000 + below(rng, 100));
	put16(data + 2, FUZZ_PORT);
	memset(data + 4, 1, 8);
	return 12;
}
