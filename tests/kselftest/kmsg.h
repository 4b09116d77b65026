/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's log. kmsg_find() looks at what was logged after kmsg_mark(). The code is in
 * lib_kmsg.c.
 */
#ifndef KMSG_H
#define KMSG_H

void kmsg_mark(void);
/* The line with all of @a and @b, which may be NULL; in a static buffer. */
const char *kmsg_find(const char *a, const char *b);
/* How many lines there are with both. */
int kmsg_count(const char *a, const char *b);
int kmsg_said(void);
/* The line that says that program @fd was stopped. */
const char *kmsg_stopped(int fd, const char *name);
/* The same, if it comes within some seconds: of what does not run at once */
const char *kmsg_stopped_later(int fd, const char *name);

#endif
