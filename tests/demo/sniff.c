// SPDX-License-Identifier: GPL-2.0
/*
 * sniff OBJECT INTERFACE: attaches the eBPF socket filter in OBJECT to a packet
 * socket, prints `ready`, and at SIGTERM how many packets it let through.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	stop = 1;
}

static int die(const char *what)
{
	fprintf(stderr, "sniff: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_term };
	struct timeval tv = { .tv_usec = 200000 };
	/* Bound to no protocol until the filter is on: nothing slips in before. */
	int fd, s = socket(AF_PACKET, SOCK_RAW, 0);
	struct sockaddr_ll on = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	long packets = 0, bytes = 0;
	struct bpf_object *obj;
	struct bpf_map *map;
	char data[2048];
	ssize_t n;

	if (argc != 3) {
		fprintf(stderr, "usage: sniff OBJECT INTERFACE\n");
		return 2;
	}
	on.sll_ifindex = if_nametoindex(argv[2]);
	if (s < 0 || !on.sll_ifindex)
		return die(argv[2]);
	obj = bpf_object__open_file(argv[1], NULL);
	if (!obj || bpf_object__load(obj))
		return die(argv[1]);
	fd = bpf_program__fd(bpf_object__next_program(obj, NULL));
	if (setsockopt(s, SOL_SOCKET, SO_ATTACH_BPF, &fd, sizeof(fd)) ||
	    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ||
	    bind(s, (void *)&on, sizeof(on)))
		return die("packet socket");
	sigaction(SIGTERM, &sa, NULL);
	printf("ready\n");
	fflush(stdout);

	/* Once told to stop, read what is still queued. */
	for (;;) {
		n = recv(s, data, sizeof(data), 0);
		if (n < 0 && stop)
			break;
		if (n >= 0) {
			packets++;
			bytes += n;
		}
	}
	printf("socket_packets %ld\nsocket_bytes %ld\n", packets, bytes);

	bpf_object__for_each_map(map, obj) {
		unsigned int key, *last = NULL;
		unsigned long long value;

		for (; !bpf_map_get_next_key(bpf_map__fd(map), last, &key); last = &key)
			/* How many TCP packets pass is up to the ACK timers. */
			if (key != IPPROTO_TCP && !bpf_map_lookup_elem(bpf_map__fd(map), &key, &value))
				printf("socket_saw_protocol_%u %llu\n", key, value);
	}
	return 0;
}
