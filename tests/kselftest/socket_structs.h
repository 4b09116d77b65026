/* SPDX-License-Identifier: GPL-2.0 */
/* Members of the kernel's structures, by BTF. The code is in socket_structs.c. */
#ifndef SOCKET_STRUCTS_H
#define SOCKET_STRUCTS_H

#include "types.h"

struct member {
	char name[32];		/* of what it is, or is an element of */
	u16 off;
	u8 size;		/* in bytes: 1, 2, 4 or 8 */
	bool number;		/* it is no pointer, and nothing else is there that may hold one */
};

#define MEMBERS 1024

/* All members of @type, and of what is embedded; 0: there is no such structure, or no BTF. */
int members_of(const char *type, struct member members[MEMBERS]);

#endif
