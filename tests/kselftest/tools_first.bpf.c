// SPDX-License-Identifier: GPL-2.0
/* The first program of test_xdp_tools */
#define NAME(what) first_##what
#define DROPPED 3
#include "tools_drop.h"
