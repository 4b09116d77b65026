/* SPDX-License-Identifier: GPL-2.0 */
#ifndef REFUSED_H
#define REFUSED_H

/*
 * On this machine, insmod must fail with error @err, the log must say @why, and
 * programs must run as ever. Returns the test's exit status.
 */
int refused(int err, const char *why);

#endif
