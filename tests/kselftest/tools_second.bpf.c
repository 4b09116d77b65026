// SPDX-License-Identifier: GPL-2.0
/* The second one */
#define NAME(what) second_##what
#define DROPPED 4
#include "tools_drop.h"
