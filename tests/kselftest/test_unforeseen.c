// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=2 oops=allow alone=guest timeout=60 */
/*
 * What if a helper breaks a packet that the module did not see coming?
 *
 * A switch of test kernels has the module look only afterwards. It must stop the
 * program before the next helper is given the packet, warn, and go on; and the packet
 * must do no harm where it is dropped.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>
#include "shapes.h"

#define GEOMETRY_OFF "/sys/kernel/debug/moat_test/off/geometry"

static struct outcome outcome;

static void broken(const char *what, const struct call *calls, int n, int last, u32 gso_size,
		   u32 flags)
{
	static u8 data[128] = { [12] = ETH_P_IP >> 8, [14] = 0x45 };
	struct trial t = { data, sizeof(data), .gso_size = gso_size, .flags = flags };
	s64 before = moat_counter("violations");
	int i;

	kmsg_mark();
	calls_run(calls, n, &t, &outcome);
	ok(outcome.retval == sched_cls.safe && moat_counter("violations") == before + 1 &&
	   kmsg_find("broke the packet", "; stopped"), "2: %s: stopped", what);
	ok(!outcome.ret[last], "2: %s: nothing is called afterwards", what);
	for (i = 0; i < n; i++)
		diag("%lld", (long long)outcome.ret[i]);
	diag("%s", kmsg_find("broke the packet", NULL) ?: "nothing is logged");
}

int main(void)
{
	const struct call heads[] = { HEAD(32704), HEAD(32704), HEAD(104), PROTO(ETH_P_IPV6),
				      HEAD(60000) };
	const struct call size[] = { PROTO(ETH_P_IPV6), PROTO(ETH_P_IP), HEAD(65000), TAIL(1) };

	if (!test_kernel())
		skip_all("needs the test kernel");
	moat_set_level(2);
	if (write_file(GEOMETRY_OFF, "1"))
		bail(GEOMETRY_OFF ": %s", strerror(errno));
	kmsg_mark();
	broken("the sum of heads", heads, ARRAY_SIZE(heads), 4, 10, 0);
	ok(kmsg_find("moat_shim_defuse", "WARNING: "), "2: the test kernel warns");
	broken("one head", size, ARRAY_SIZE(size), 3, 10, 0);
	write_file(GEOMETRY_OFF, "0");
	return finish();
}
