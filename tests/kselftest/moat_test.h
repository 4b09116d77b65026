/* SPDX-License-Identifier: GPL-2.0 */
/* What every test has; README.md says which of these has what. */
#ifndef MOAT_TEST_H
#define MOAT_TEST_H

#include "types.h"
#include "insns.h"
#include "programs.h"
#include "state.h"
#include "test_kernel.h"
#include "rogue.h"
#include "kmsg.h"
#include "tap.h"
#include "system.h"

#endif
