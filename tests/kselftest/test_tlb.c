// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 timeout=60 */
/*
 * What a CPU forgets of page tables, and when: SDM Vol. 3A, 4.10.4.1. MOAT changes entries
 * of its window and has all CPUs forget them, by what Linux takes for that; a CPU that did
 * not would let programs at what was taken from them. To begin with each of these is left
 * out, and what was read before must still be there: a CPU that remembers nothing shows
 * nothing here.
 *
 * It may always forget more: emulators do. A real one is expected to keep what PCIDs and
 * keys are for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "moat_test.h"

#define TLB "/sys/kernel/debug/moat_test/tlb"
#define INVPCID "/sys/kernel/debug/moat_test/invpcid"

enum { KEEPS, MAY_KEEP, FORGETS };

static const struct {
	const char *op, *name;
	/* Of this address space, and of all */
	int own, global;
} rows[] = {
	{ "nothing", "nothing", KEEPS, KEEPS },
	{ "invlpg", "INVLPG", FORGETS, FORGETS },
	{ "pkrs", "WRMSR of PKRS", KEEPS, KEEPS },
	{ "cr3", "a write of CR3", FORGETS, KEEPS },
	{ "cr3_no_flush", "a write of CR3 with bit 63", KEEPS, KEEPS },
	{ "cr3_there_and_back", "CR3 with another PCID, and back", KEEPS, KEEPS },
	{ "cr4_pge", "a change of CR4.PGE", FORGETS, FORGETS },
	{ "invpcid_0", "INVPCID of an address", FORGETS, MAY_KEEP },
	{ "invpcid_0_other", "INVPCID of that in another PCID", KEEPS, KEEPS },
	{ "invpcid_1", "INVPCID of a PCID", FORGETS, MAY_KEEP },
	{ "invpcid_1_other", "INVPCID of another PCID", KEEPS, KEEPS },
	{ "invpcid_2", "INVPCID of all", FORGETS, FORGETS },
	{ "invpcid_3", "INVPCID of all but global", FORGETS, MAY_KEEP },
};

static bool emulated, bochs;

static void one(const char *name, const char *page, int want, int kept)
{
	diag("%s: %s page: kept %d of 16 times", name, page, kept);
	if (want == FORGETS)
		ok(!kept, "%s: %s page is forgotten", name, page);
	else if (want == KEEPS && !strcmp(name, "nothing"))
		ok(kept, "%s: %s page is kept", name, page);
	else if (want == KEEPS && kept)
		ok(true, "%s: %s page is kept", name, page);
	else if (want == KEEPS && emulated)
		skip("this emulator forgets it, as it may", "%s: %s page is kept", name, page);
	else if (want == KEEPS)
		ok(false, "%s: %s page is kept", name, page);
}

static void what_is_forgotten(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int fd = open(TLB, O_RDWR | O_CLOEXEC), own, global;
		char text[32] = {};

		if (fd < 0)
			bail(TLB ": %s", strerror(errno));
		if (dprintf(fd, "%s", rows[i].op) < 0) {
			if (errno != ENODEV)
				bail("%s: %s", rows[i].op, strerror(errno));
			skip("this CPU has no PCIDs, or no INVPCID", "%s:", rows[i].name);
		} else if (pread(fd, text, sizeof(text) - 1, 0) <= 0 ||
			   sscanf(text, "%d %d", &own, &global) != 2) {
			bail("%s: '%s'", rows[i].op, text);
		} else {
			one(rows[i].name, "its own", rows[i].own, own);
			one(rows[i].name, "a global", rows[i].global, global);
		}
		close(fd);
	}
}

/* Vol. 2A, INVPCID: what is #GP, and what is not */
static void invpcid(void)
{
	bool pcids = command_fails("grep -w -m 1 -o pcid /proc/cpuinfo; false", "pcid");
	const struct {
		const char *what;
		u64 type, pcid, address;
		bool fault;
	} forms[] = {
		{ "an address", 0, 0, 0xffffffff81000000ULL, false },
		{ "a PCID", 1, 0, 0, false },
		{ "all", 2, 0, 0, false },
		{ "all but global", 3, 0, 0, false },
		{ "type 4", 4, 0, 0, true },
		{ "type 2^63", 1ULL << 63, 0, 0, true },
		{ "a reserved bit, low", 0, 1 << 12, 0, true },
		{ "a reserved bit, high", 2, 1ULL << 63, 0, true },
		{ "an address that is none", 0, 0, 1ULL << 63, true },
		{ "the same of no concern", 1, 0, 1ULL << 63, false },
		{ "the last PCID", 1, 4095, 0, !pcids },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		int err = write_file(INVPCID, "%llu %llx %llx", (unsigned long long)forms[i].type,
				     (unsigned long long)forms[i].pcid,
				     (unsigned long long)forms[i].address) ? errno : 0;

		if (err == ENODEV) {
			skip("this CPU has none", "INVPCID:");
			return;
		}
		if (!err && forms[i].type >> 32 && bochs)
			skip("Bochs looks at 32 bits of it", "INVPCID: %s: #GP", forms[i].what);
		else
			ok(err == (forms[i].fault ? EIO : 0), "INVPCID: %s: %s", forms[i].what,
			   forms[i].fault ? "#GP" : "done");
	}
}

int main(void)
{
	if (!test_kernel())
		skip_all("needs the test kernel");
	emulated = getenv("MOAT_EMULATOR");
	bochs = emulated && !strcmp(getenv("MOAT_EMULATOR"), "bochs");
	pin_to_cpu(0);
	what_is_forgotten();
	invpcid();
	return finish();
}
