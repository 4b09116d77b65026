// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "same.h"

int same_level;
const struct prog_type *same_type;

static struct same_seen seen;

void note(const void *what, size_t size)
{
	seen.bytes = realloc(seen.bytes, seen.len + size);
	memcpy(seen.bytes + seen.len, what, size);
	seen.len += size;
}

void note_word(u64 word)
{
	note(&word, sizeof(word));
}

void note_ring(const struct ring *ring)
{
	note_word(*ring->producer);
	note_word(*ring->consumer);
	note((void *)ring->data, ring->size);
}

int built(void)
{
	int fd = prog_load(same_type->type, "same", insns, cnt);

	cnt = 0;
	if (fd < 0)
		bail("%d: %s: load: %s\n%s", same_level, same_type->name, strerror(errno), prog_log);
	if (same_level && moat_layer(fd) == NONE)
		ok(false, "%d: %s: isolated", same_level, same_type->name);
	return fd;
}

void runs(int fd, int n)
{
	while (n--)
		note_word(prog_run_once(fd));
}

struct same_seen same_taken(void)
{
	struct same_seen was = seen;

	seen = (struct same_seen){};
	return was;
}

static struct same_seen run_case(const struct same_case *it, int level)
{
	same_level = level;
	moat_set_level(level);
	it->run();
	return same_taken();
}

int same_at(const int *levels, const struct same_case *cases, size_t nr)
{
	static const struct prog_type *const types[] = { &xdp, &sched_cls, &socket_filter };

	pin_to_cpu(0);
	if (!moat_present())
		skip_all("no moat.ko");
	for (size_t i = 0; i < ARRAY_SIZE(types) * nr; i++) {
		const struct same_case *it = &cases[i % nr];
		struct same_seen plain;

		same_type = types[i / nr];
		plain = run_case(it, 0);
		for (const int *level = levels; *level; level++) {
			struct same_seen now = run_case(it, *level);
			size_t at = 0;

			while (at < plain.len && at < now.len && plain.bytes[at] == now.bytes[at])
				at++;
			if (!ok(plain.len == now.len && at == now.len, "%d: %s: %s: the same %zu bytes",
				*level, same_type->name, it->what, now.len))
				diag("%zu bytes at level 0; they differ at %zu", plain.len, at);
			free(now.bytes);
		}
		free(plain.bytes);
	}
	return finish();
}
