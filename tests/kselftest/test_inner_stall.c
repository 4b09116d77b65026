// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test,preempt levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Who waits for a page fault of somebody else? A system call that changes a map of maps,
 * and reads or writes user memory, may stop in the midst of it for as long as user space
 * likes (userfaultfd, FUSE). Others load programs and change maps of maps meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "moat_test.h"
#include "visitor.h"

/* Who is not done by then waits for the fault. */
#define SECONDS 20
#define ENTRIES 4

/* A page that is not there until somebody lets it be */
static u32 *page;
static int faults;

/* The kernel of the guests has no madvise(). */
static void page_hide(void)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	page = mmap(page, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | (page ? MAP_FIXED : 0), -1, 0);
	reg.range.start = (unsigned long)page;
	reg.range.len = 4096;
	if (page == MAP_FAILED || ioctl(faults, UFFDIO_REGISTER, &reg))
		bail("a page: %s", strerror(errno));
}

static void faults_open(void)
{
	struct uffdio_api api = { .api = UFFD_API };

	faults = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (faults < 0 || ioctl(faults, UFFDIO_API, &api))
		bail("userfaultfd: %s", strerror(errno));
}

static void page_wait(void)
{
	struct pollfd p = { .fd = faults, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&p, 1, 60000) != 1 || read(faults, &msg, sizeof(msg)) != sizeof(msg))
		bail("nobody touches the page");
}

static void page_give(const u32 *with)
{
	static u32 source[1024] __attribute__((aligned(4096)));
	struct uffdio_copy copy = {
		.dst = (unsigned long)page, .src = (unsigned long)source, .len = 4096,
	};

	memcpy(source, with, sizeof(*with) * ENTRIES);
	if (ioctl(faults, UFFDIO_COPY, &copy))
		bail("UFFDIO_COPY: %s", strerror(errno));
}

/* What is done to a map of maps, and stops in the midst of it */
enum what { DELETE_BATCH, TAKE_KEYS, TAKE_VALUES, UPDATE_KEYS, UPDATE_VALUES, UPDATE, DELETE };

struct slow {
	pthread_t thread;
	enum what what;
	int outer, ret;
	u32 maps[ENTRIES];
};

static const u32 keys[ENTRIES] = { 0, 1, 2, 3 };

static void *do_slowly(void *arg)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	u32 spare[ENTRIES], next, n = ENTRIES;
	struct slow *s = arg;

	switch (s->what) {
	case DELETE_BATCH:
		s->ret = bpf_map_delete_batch(s->outer, page, &n, &opts);
		break;
	case TAKE_KEYS:
	case TAKE_VALUES:
		s->ret = bpf_map_lookup_and_delete_batch(s->outer, NULL, &next,
							 s->what == TAKE_KEYS ? page : spare,
							 s->what == TAKE_KEYS ? spare : page, &n,
							 &opts);
		/* The end of the map */
		if (s->ret && errno == ENOENT)
			s->ret = 0;
		break;
	case UPDATE_KEYS:
		s->ret = bpf_map_update_batch(s->outer, page, s->maps, &n, &opts);
		break;
	case UPDATE_VALUES:
		s->ret = bpf_map_update_batch(s->outer, keys, page, &n, &opts);
		break;
	case UPDATE:
		s->ret = map_update(s->outer, page, s->maps);
		break;
	case DELETE:
		s->ret = map_delete(s->outer, page);
		break;
	}
	return NULL;
}

/* Of somebody else */
struct other {
	pthread_t thread;
	int outer, used, inner, own;
	bool ready;
};

static void *do_meanwhile(void *arg)
{
	struct other *o = arg;
	int prog;

	if (put(o->outer, o->inner) || map_delete(o->outer, keys))
		return NULL;
	if (put(o->used, o->inner))
		return NULL;
	prog = visitor_load(&sched_cls, o->own, o->used);
	if (prog < 0 || prog_run_once(prog) != sched_cls.pass)
		return NULL;
	close(prog);
	o->ready = true;
	return NULL;
}

static void stalled(int level, enum what what, const char *name, bool used)
{
	int a = inner_create(BPF_MAP_TYPE_ARRAY, 0), b = inner_create(BPF_MAP_TYPE_ARRAY, 0);
	struct slow slow = { .what = what, .outer = outer_create(BPF_MAP_TYPE_HASH_OF_MAPS, a) };
	struct other other = {
		.outer = outer_create(BPF_MAP_TYPE_HASH_OF_MAPS, a),
		.used = outer_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, a),
		.inner = inner_create(BPF_MAP_TYPE_ARRAY, 0), .own = map_of_words(0),
	};
	int own = map_of_words(0), prog = -1, bystander, i, late;
	struct timespec until;
	bool gone;

	for (i = 0; i < ENTRIES; i++) {
		slow.maps[i] = b;
		if (map_update(slow.outer, &keys[i], &a))
			bail("a map in a map: %s", strerror(errno));
	}
	bystander = visitor(&xdp, own, other.used);
	if (used)
		prog = visitor(&xdp, own, slow.outer);

	page_hide();
	pthread_create(&slow.thread, NULL, do_slowly, &slow);
	page_wait();
	pthread_create(&other.thread, NULL, do_meanwhile, &other);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += SECONDS;
	late = pthread_timedjoin_np(other.thread, NULL, &until);
	ok(!late && other.ready, "%d: %s%s: nobody else waits for it", level, name,
	   used ? ", of a map that is used" : "");
	page_give(what == UPDATE_VALUES ? slow.maps : keys);
	pthread_join(slow.thread, NULL);
	if (late)
		pthread_join(other.thread, NULL);

	gone = what == DELETE_BATCH || what == TAKE_KEYS || what == TAKE_VALUES ||
	       what == DELETE;
	if (used)
		i = prog_run_once(prog) == xdp.pass && map_word(own, EMPTY) == gone &&
		    inner_word(b) == !gone && inner_word(a) == 0;
	else
		i = 1;
	ok(!slow.ret && i, "%d: %s%s: and it is done in the end", level, name,
	   used ? ", of a map that is used" : "");
	if (prog >= 0)
		close(prog);
	close(bystander);
	close(own);
	close(other.own);
	close(other.outer);
	close(other.used);
	close(other.inner);
	close(slow.outer);
	close(a);
	close(b);
}

int main(void)
{
	static const struct {
		enum what what;
		const char *name;
	} all[] = {
		{ DELETE_BATCH, "keys of a batch to delete" },
		{ TAKE_KEYS, "keys of a batch taken out" },
		{ TAKE_VALUES, "values of a batch taken out" },
		{ UPDATE_KEYS, "keys of a batch put in" },
		{ UPDATE_VALUES, "values of a batch put in" },
		{ UPDATE, "the key of a map put in" },
		{ DELETE, "the key of a map taken out" },
	};
	size_t i;
	int level;

	if (!test_kernel())
		skip_all("needs the test kernel");
	faults_open();
	for (level = 0; level <= 2; level += 2) {
		if (!moat_set_level(level))
			skip_all("no moat.ko");
		for (i = 0; i < ARRAY_SIZE(all); i++) {
			stalled(level, all[i].what, all[i].name, false);
			stalled(level, all[i].what, all[i].name, true);
		}
	}
	return finish();
}
