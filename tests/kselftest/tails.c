// SPDX-License-Identifier: GPL-2.0
/* Programs that go on in each other: see tails.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "tails.h"

const struct prog_type *const tail_types[] = {
	&xdp, &sched_cls, &sched_act, &socket_filter,
};

const char *const mix_name[] = {
	"plain to plain", "plain to isolated", "isolated to plain", "isolated to isolated",
};

int array, words;

void give(u64 word)
{
	u64 v[8] = { [7] = word };
	u32 zero = 0;

	map_update(words, &zero, v);
}

void begin_tails(int entries)
{
	array = map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, entries);
	words = map_of_words(0);
	if (array < 0)
		bail("array: %s", strerror(errno));
}

void end_tails(void)
{
	close(array);
	close(words);
}

int loaded(int fd, int level, const char *name)
{
	if (fd < 0)
		bail("%s: %s\n%s", name, strerror(errno), prog_log);
	if ((moat_layer(fd) != NONE) != (level != 0))
		bail("%s is %s", name, moat_layer_name[moat_layer(fd)]);
	return fd;
}

int load_at(int level, const char *name)
{
	int fd;

	moat_set_level(level);
	fd = loaded(prog_load(t->type, name, insns, cnt), level, name);
	cnt = 0;
	return fd;
}

void put(u32 i, int fd)
{
	if (map_update(array, &i, &fd))
		bail("entry %u: %s", i, strerror(errno));
}

void take(u32 i)
{
	map_delete(array, &i);
}
