/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of test_containment share */
#ifndef CONTAINMENT_H
#define CONTAINMENT_H

#include "attack.h"

/* containment_victim.c: attacks on the memory of a program that runs on another CPU */
void other_program(void);

#endif
