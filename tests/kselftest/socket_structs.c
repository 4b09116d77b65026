// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/btf.h>
#include "moat_test.h"
#include "socket_structs.h"

static struct btf *btf;
static struct member *all;
static int nr;

static void add(const char *name, u32 off, u32 size, bool number)
{
	if (nr == MEMBERS || off % size || size > 8)
		return;
	snprintf(all[nr].name, sizeof(all[nr].name), "%s", name);
	all[nr].off = off;
	all[nr].size = size;
	all[nr++].number = number;
}

/* An unsigned long in struct mutex or struct rb_node may be a pointer with flags in it. */
static bool is_socket(const char *type)
{
	size_t len = strlen(type);

	return !strcmp(type, "sock_common") || !strcmp(type, "tcp_rack") ||
	       (len >= 4 && !strcmp(type + len - 4, "sock"));
}

/*
 * The verifier looks for a member of a union in the first one alone: into a structure, or at
 * any part of a number. Of the others only pointers are of interest.
 */
static bool is_hidden(const struct btf_type *t, int i)
{
	const struct btf_member *m = btf_members(t);
	const struct btf_type *first = btf__type_by_id(btf, btf__resolve_type(btf, m[0].type));

	return btf_is_union(t) && i &&
	       !(btf_is_int(first) && btf__resolve_size(btf, m[i].type) <= first->size);
}

static void walk(u32 id, u32 at, const char *name, bool wide)
{
	const struct btf_type *t = btf__type_by_id(btf, btf__resolve_type(btf, id));
	const struct btf_array *array;

	if (btf_is_int(t) || btf_is_any_enum(t)) {
		add(name, at, t->size, t->size <= 4 || wide);
	} else if (btf_is_ptr(t)) {
		add(name, at, 8, false);
	} else if (btf_is_array(t)) {
		array = btf_array(t);
		for (u32 i = 0; i < array->nelems && i < 2; i++)
			walk(array->type, at + i * btf__resolve_size(btf, array->type), name,
			     false);
	} else if (btf_is_composite(t)) {
		const struct btf_member *m = btf_members(t);
		const char *own = btf__name_by_offset(btf, t->name_off);

		if (own[0])
			wide = is_socket(own);
		for (int i = 0; i < btf_vlen(t); i++, m++) {
			int before = nr, kept = nr;
			u32 bit = btf_member_bit_offset(t, i);
			u32 bits = btf_member_bitfield_size(t, i);
			const char *its = btf__name_by_offset(btf, m->name_off);

			if (!its[0])
				its = name;
			if (!bits)
				walk(m->type, at + bit / 8, its, wide);
			else if (bit % 8 + bits <= 8)
				add(its, at + bit / 8, 1, true);
			for (; is_hidden(t, i) && before < nr; before++)
				if (!all[before].number)
					all[kept++] = all[before];
			if (is_hidden(t, i))
				nr = kept;
		}
	}
}

int members_of(const char *type, struct member members[MEMBERS])
{
	static bool other[MEMBERS];
	s32 id;

	if (!btf)
		btf = btf__load_vmlinux_btf();
	if (!btf)
		return 0;
	id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
	if (id < 0)
		return 0;
	all = members;
	nr = 0;
	walk(id, 0, type, false);
	/* Unions */
	for (int k = 0; k < nr; k++)
		other[k] = !all[k].number;
	for (int k = 0; k < nr; k++)
		for (int i = 0; other[k] && i < nr; i++)
			if (all[i].off < all[k].off + all[k].size &&
			    all[k].off < all[i].off + all[i].size)
				all[i].number = false;
	return nr;
}
