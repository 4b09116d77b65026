// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "traffic_seen.h"

static struct seen *now;

void seen_begin(struct seen *seen)
{
	now = seen;
}

void note(const char *fmt, ...)
{
	va_list args;

	if (now->lines == MOST_LINES)
		bail("more than %d lines", MOST_LINES);
	va_start(args, fmt);
	if (vasprintf(&now->line[now->lines++], fmt, args) < 0)
		bail("out of memory");
	va_end(args);
}

void note_bytes(const char *what, const void *data, size_t len)
{
	const u8 *p = data;
	char text[4096];
	size_t i;

	for (i = 0; i < len && 2 * i + 3 < sizeof(text); i++)
		sprintf(text + 2 * i, "%02x", p[i]);
	text[2 * i] = 0;
	note("%s %zu %s", what, len, text);
}

static void note_map(struct bpf_map *map)
{
	u8 key[64], next[64], value[8 * 64], *last = NULL;
	const char *name = bpf_map__name(map);
	char what[64];

	for (; !bpf_map_get_next_key(bpf_map__fd(map), last, next); last = key) {
		memcpy(key, next, sizeof(key));
		if (bpf_map_lookup_elem(bpf_map__fd(map), key, value))
			continue;
		if (bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_ARRAY) {
			u64 *n = (u64 *)value;
			int cpu;

			for (cpu = 1; cpu < libbpf_num_possible_cpus(); cpu++)
				n[0] += n[cpu];
			note("%s[%u] %lu", name, *(u32 *)key, n[0]);
			continue;
		}
		snprintf(what, sizeof(what), "%s key", name);
		note_bytes(what, key, bpf_map__key_size(map));
		snprintf(what, sizeof(what), "%s value", name);
		note_bytes(what, value, bpf_map__value_size(map));
	}
}

void note_maps(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		switch (bpf_map__type(map)) {
		case BPF_MAP_TYPE_HASH:
		case BPF_MAP_TYPE_LRU_HASH:
		case BPF_MAP_TYPE_PERCPU_ARRAY:
			note_map(map);
		default:
			break;
		}
	}
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void seen_end(struct seen *seen)
{
	qsort(seen->line, seen->lines, sizeof(*seen->line), compare);
}

bool seen_line(const struct seen *seen, const char *line)
{
	int i;

	for (i = 0; i < seen->lines; i++)
		if (!strcmp(seen->line[i], line))
			return true;
	return false;
}

int seen_differs(const struct seen *a, const struct seen *b, bool *same)
{
	int i;

	for (i = 0; i < a->lines && i < b->lines && !strcmp(a->line[i], b->line[i]); i++)
		;
	*same = i == a->lines && i == b->lines;
	return i;
}

void seen_forget(struct seen *seen)
{
	while (seen->lines)
		free(seen->line[--seen->lines]);
}
