// SPDX-License-Identifier: GPL-2.0
/* moat-test: kernel=test levels=2 cpus=4 keys=13,0 full=1 timeout=300 */
/*
 * Is what programs are shown as metadata still that once a packet has moved?
 *
 * The kernel says where metadata is by how long it is, before where the packet begins
 * now. After helpers, tunnels and generic XDP that may be where old kernel memory is: tc
 * programs get some at level 0, and none when they are isolated. Metadata that is there
 * they get.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "old_memory.h"

/* Metadata with nothing old in it: words of this value */
static void by_metadata_of(int value)
{
	int i, jump;

	start();
	move(BPF_FUNC_xdp_adjust_meta, -META);
	jump = between(XDP_DATA_META, XDP_DATA, META);
	for (i = 0; i < META; i += 8)
		E(ST(BPF_DW, R7, i, value));
	otherwise(jump);
}

static void by_real_metadata(void)
{
	by_metadata_of(0x1111);
}

static void by_empty_metadata(void)
{
	by_metadata_of(0);
}

/* What is said to be metadata, if anything is */
static void look_before_packet(void)
{
	int jump = between(offsetof(struct __sk_buff, data_meta),
			   offsetof(struct __sk_buff, data), META);

	look(R7, 0, META / 8);
	insns[jump].off = cnt - jump - 1;
}

static void by_looking(void)
{
	start();
	look_before_packet();
}

static void start_by_growing(int bytes)
{
	start();
	E(MOV_IMM(R3, 0));
	move(BPF_FUNC_skb_change_head, bytes);
}

static void redirect_to(const char *dev, u32 flags)
{
	E(MOV_IMM(R1, if_nametoindex(dev)), MOV_IMM(R2, flags), CALL(redirect), EXIT());
}

/* The packet grows at its head, and the metadata is said to be before that. */
static void by_change_head(void)
{
	start_by_growing(64);
	look_before_packet();
}

/* Those that by_real_metadata() left */
static void by_counting_metadata(void)
{
	int i, jump;

	start();
	jump = between(offsetof(struct __sk_buff, data_meta),
		       offsetof(struct __sk_buff, data), META);
	for (i = 0; i < META; i += 8) {
		E(LDX(BPF_DW, R2, R7, i), JMP_IMM(BPF_JNE, R2, 0x1111, 2));
		count(FOUND);
	}
	otherwise(jump);
}

/* By as much as there is room for, but not for the metadata */
static void by_filling_the_head_room(void)
{
	int jump;

	start_by_growing(240);
	jump = between(offsetof(struct __sk_buff, data_meta),
		       offsetof(struct __sk_buff, data), META);
	count(FOUND);
	insns[jump].off = cnt - jump - 1;
}

static void send_frame(int out, u32 seed)
{
	u8 frame[FRAME];

	frame_fill(frame, FRAME, seed);
	frame_send(out, frame, FRAME, true);
}

static void send_tagged(int out, u32 seed)
{
	u8 frame[FRAME];

	frame_fill(frame, FRAME, seed);
	memcpy(frame + 12, "\x81\x00\x00\x05\x88\xb5", 6);
	frame_send(out, frame, FRAME, true);
}

/* Packets that go in at mtob, each seen by the program that tells before the next */
static void packets_seen(void (*send_packet)(int out, u32 seed))
{
	int out = frame_socket("mtob"), i;

	for (i = 0; i < PACKETS; i++) {
		leave_secrets();
		send_packet(out, i);
		await_run(i);
	}
	close(out);
}

/* What becomes of packets with metadata that come to mtoa, and where who looks sees them */
struct way {
	void (*metadata)(void);
	const char *from;
	void (*sender)(void);	/* passes them on from there, if it is not the end */
	int sender_level;
	enum hook at;
	const char *dev;
	void (*send_packet)(int out, u32 seed);
};

static u64 passed_on(const struct way *way, enum hook hook, int level, void (*body)(void))
{
	int prog, sender = -1, sent, looker, map;
	u64 found, errors;

	told = map_of_words(0);
	map = told;
	prog = load_at(&xdp, level, way->metadata, xdp.pass);
	told = map_of_words(0);
	sent = told;
	if (way->sender) {
		moat_set_level(way->sender_level);
		way->sender();
		sender = must_load(&sched_cls, "sender", way->sender_level);
	}
	told = map_of_words(0);
	looker = load_at(&sched_cls, level, body, sched_cls.safe);
	hook_attach(hook, "mtoa", prog);
	if (way->sender)
		hook_attach(TC_INGRESS, way->from, sender);
	hook_attach(way->at, way->dev, looker);
	packets_seen(way->send_packet);
	hook_detach(way->at, way->dev);
	if (way->sender)
		hook_detach(TC_INGRESS, way->from);
	hook_detach(hook, "mtoa");
	found = map_word(told, FOUND);
	errors = map_word(map, ERRORS) + map_word(sent, ERRORS) + map_word(told, ERRORS);
	diag("%lu times in %lu packets, %lu errors", found, map_word(told, RUNS), errors);
	if (errors || map_word(told, RUNS) != PACKETS)
		found = -1;
	close(prog);
	if (way->sender)
		close(sender);
	close(sent);
	close(looker);
	close(map);
	close(told);
	return found;
}

static u64 before_packet(enum hook hook, int level, void (*body)(void))
{
	static const struct way way = {
		.metadata = by_real_metadata, .at = TC_INGRESS, .dev = "mtoa",
		.send_packet = send_frame,
	};

	return passed_on(&way, hook, level, body);
}

/* Goes up with the link header when the tag is taken away */
static u64 before_tagged(enum hook hook, int level, void (*body)(void))
{
	static const struct way way = {
		.metadata = by_real_metadata, .at = TC_INGRESS, .dev = "mtoa",
		.send_packet = send_tagged,
	};

	return passed_on(&way, hook, level, body);
}

/* Metadata that nothing was pushed before is there. */
static void real_metadata(const char *what, enum hook hook,
			  u64 (*look)(enum hook, int, void (*)(void)))
{
	int level;

	for (level = 0; level <= 2; level += 2) {
		u64 words;

		if (level && !moat_present()) {
			skip("no moat.ko", "level 2: metadata");
			continue;
		}
		words = look(hook, level, by_counting_metadata);
		if (!ok(words == PACKETS * META / 8, "level %d: %s: metadata %s is there", level,
			hook_name[hook], what))
			diag("%lu words", words);
	}
}

static void by_sending_into_tunnel(void)
{
	start();
	redirect_to("mtog", 0);
}

/* A tunnel pushes its header before metadata and packet. */
static u64 behind_tunnel(enum hook hook, int level, void (*body)(void))
{
	static const struct way way = {
		by_real_metadata, "mtoa", by_sending_into_tunnel, 0, TC_EGRESS, "mtod", send_frame,
	};

	return passed_on(&way, hook, level, body);
}

/* The frame comes to another device with a VLAN tag that it did not have. */
static void by_writing_a_tag_before(int pushed)
{
	u32 i;

	start_by_growing(pushed);
	for (i = 0; i < 12; i++)
		E(ST(BPF_B, R10, i - 16, 2));
	E(ST(BPF_B, R10, -4, 0x81), ST(BPF_B, R10, -3, 0), ST(BPF_B, R10, -2, 0),
	  ST(BPF_B, R10, -1, 5), MOV_REG(R3, R10), ALU64_IMM(BPF_ADD, R3, -16),
	  MOV_IMM(R4, 16), MOV_IMM(R5, 0));
	move(BPF_FUNC_skb_store_bytes, 0);
	redirect_to("mtod", BPF_F_INGRESS);
}

static void by_writing_a_tag(void)
{
	by_writing_a_tag_before(4);
}

/* So near to the beginning of the buffer that metadata would be before that */
static void by_writing_a_tag_without_room(void)
{
	by_writing_a_tag_before(240);
}

/* It is taken away there, and what is taken for metadata moves up with the addresses. */
static u64 behind_written_tag(enum hook hook, int level, void (*body)(void))
{
	static const struct way way = {
		by_empty_metadata, "mtoa", by_writing_a_tag, 0, TC_INGRESS, "mtod", send_frame,
	};

	return passed_on(&way, hook, level, body);
}

static void by_finding_metadata(void)
{
	int jump;

	start();
	E(LDX(BPF_W, R7, R6, offsetof(struct __sk_buff, data_meta)),
	  LDX(BPF_W, R8, R6, offsetof(struct __sk_buff, data)));
	jump = cnt;
	E(JMP_REG(BPF_JGE, R7, R8, 0));
	count(FOUND);
	insns[jump].off = cnt - jump - 1;
}

/* What is before the buffer is not moved: there is no metadata then, isolated or not. */
static void without_room(void)
{
	static struct way way = {
		by_empty_metadata, "mtoa", by_writing_a_tag_without_room, 0, TC_INGRESS, "mtod",
		send_frame,
	};
	int level;

	for (level = 0; level <= (moat_present() ? 2 : 0); level += 2) {
		way.sender_level = level;
		ok(!passed_on(&way, NATIVE_XDP, level, by_finding_metadata),
		   "level %d: none from before the buffer", level);
	}
}

/* lo cannot send tags that are beside the packet: the kernel puts them into it. */
static void by_asking_for_a_tag(void)
{
	start();
	E(MOV_IMM(R3, 5));
	move(BPF_FUNC_skb_vlan_push, htons(0x8100));
	redirect_to("lo", 0);
}

static u64 behind_tag(enum hook hook, int level, void (*body)(void))
{
	static struct way way = {
		by_empty_metadata, "mtoa", by_asking_for_a_tag, 0, TC_INGRESS, "lo", send_frame,
	};

	way.sender_level = level;
	return passed_on(&way, hook, level, body);
}

/* A frame in a VXLAN packet in two IPv6 fragments */
enum { ETH = 14, IP6 = 40, FRAG = 8, UDP = 8, VXLAN = 8, FIRST = 160 };

static void send_fragments(int out, u32 seed)
{
	static const u8 from[16] = { 0xfd, 0, 0, 6, [15] = 2 }, to[16] = { 0xfd, 0, 0, 6, [15] = 1 };
	u8 packet[UDP + VXLAN + FRAME] = { 0x10, 0, 0x12, 0xb5, [UDP] = 8, [UDP + 6] = 42 };
	u8 frame[ETH + IP6 + FRAG + sizeof(packet)];
	u32 at, len;

	packet[4] = sizeof(packet) >> 8;
	packet[5] = sizeof(packet) & 0xff;
	frame_fill(packet + UDP + VXLAN, FRAME, seed);
	for (at = 0; at < sizeof(packet); at += len) {
		u8 *ip = frame + ETH, *frag = ip + IP6;

		len = at ? sizeof(packet) - at : FIRST;
		frame_fill(frame, sizeof(frame), seed);
		frame[12] = 0x86;
		frame[13] = 0xdd;
		memset(ip, 0, IP6 + FRAG);
		ip[0] = 0x60;
		ip[4] = (FRAG + len) >> 8;
		ip[5] = (FRAG + len) & 0xff;
		ip[6] = IPPROTO_FRAGMENT;
		ip[7] = 64;
		memcpy(ip + 8, from, 16);
		memcpy(ip + 24, to, 16);
		frag[0] = IPPROTO_UDP;
		frag[2] = at >> 8;
		frag[3] = at | (at == 0);
		frag[6] = seed >> 8;
		frag[7] = seed;
		memcpy(frag + FRAG, packet + at, len);
		frame_send(out, frame, ETH + IP6 + FRAG + len, true);
	}
}

static void by_growing(int by)
{
	start_by_growing(by);
	redirect_to("mtod", BPF_F_INGRESS);
}

/* To where the frame began that had a fragment's header, too: all before that has moved. */
static void by_growing_back(void)
{
	by_growing(FRAG + ETH + IP6 + UDP + VXLAN);
}

/* To where metadata has moved */
static void by_growing_to_metadata(void)
{
	by_growing(ETH + IP6 + UDP + VXLAN);
}

static u64 before_fragments(enum hook hook, int level, void (*body)(void))
{
	static const struct way way = {
		by_real_metadata, "mtov", by_growing_to_metadata, 0, TC_INGRESS, "mtod",
		send_fragments,
	};

	return passed_on(&way, hook, level, body);
}

static u64 behind_fragments(enum hook hook, int level, void (*body)(void))
{
	static const struct way way = {
		by_empty_metadata, "mtov", by_growing_back, 0, TC_INGRESS, "mtod", send_fragments,
	};

	return passed_on(&way, hook, level, body);
}

/* A devmap's program leaves metadata, and the packet goes into a tunnel and out at mtoe. */
static u64 behind_devmap(enum hook hook, int level, void (*body)(void))
{
	int devmap = map_create(BPF_MAP_TYPE_DEVMAP, 4, 8, 1), own, redirector, looker, map;
	struct bpf_devmap_val entry = { .ifindex = if_nametoindex("mtoh") };
	u32 key = 0;
	u64 found;

	told = map_of_words(0);
	map = told;
	moat_set_level(level);
	by_empty_metadata();
	E(MOV_IMM(R0, xdp.pass), EXIT());
	own = must_load_for(&xdp, BPF_XDP_DEVMAP, "of_entry", level);
	entry.bpf_prog.fd = own;
	if (map_update(devmap, &key, &entry))
		bail("an entry with a program: %s", strerror(errno));
	cnt = 0;
	E(LD_MAP_FD(R1, devmap), MOV_IMM(R2, 0), MOV_IMM(R3, 0), CALL(redirect_map), EXIT());
	redirector = must_load(&xdp, "redirector", level);
	told = map_of_words(0);
	looker = load_at(&sched_cls, level, body, sched_cls.pass);
	hook_attach(hook, "mtoa", redirector);
	hook_attach(TC_INGRESS, "mtof", looker);
	packets_seen(send_frame);
	hook_detach(TC_INGRESS, "mtof");
	hook_detach(hook, "mtoa");
	found = map_word(told, FOUND);
	diag("%lu times in %lu packets", found, map_word(told, RUNS));
	if (map_word(map, ERRORS) || map_word(told, RUNS) != PACKETS)
		found = -1;
	close(redirector);
	close(devmap);
	close(own);
	close(looker);
	close(map);
	close(told);
	return found;
}

/* Leaves a secret in the head room of a page that the next packet gets, and no packet. */
static void by_leaving_secrets(void)
{
	int i, jump;

	start();
	/* Metadata and what the kernel knows of the frame need the rest. */
	move(BPF_FUNC_xdp_adjust_head, -128);
	jump = between(XDP_DATA, XDP_DATA_END, 128);
	E(LD_IMM64(R3, SECRET));
	for (i = 0; i < 128; i += 8)
		E(STX(BPF_DW, R7, R3, i));
	otherwise(jump);
}

/* Generic XDP moves a packet that came with metadata, which it does not know of. */
static void by_moving_away(void)
{
	start();
	move(BPF_FUNC_xdp_adjust_head, -64);
}

/* Frames with metadata, as a driver's XDP leaves them, on a device with generic XDP */
static u64 behind_generic_xdp(enum hook hook, int level, void (*body)(void))
{
	struct xdp_md md = { .data = META, .data_end = META + FRAME,
			     .ingress_ifindex = if_nametoindex("lo") };
	static u8 frame_with_metadata[META + FRAME];
	struct run run = { .data_in = frame_with_metadata, .ctx_in = &md,
			   .data_in_size = META + FRAME, .ctx_in_size = sizeof(md), .repeat = 1,
			   .flags = 1U << 1 /* BPF_F_TEST_XDP_LIVE_FRAMES */ };
	int pass = pass_at_level_0(), dirty, dirt, mover, looker, map, i;
	u64 found;

	told = map_of_words(0);
	dirt = told;
	dirty = load_at(&xdp, 0, by_leaving_secrets, 1 /* XDP_DROP */);
	told = map_of_words(0);
	map = told;
	mover = load_at(&xdp, level, by_moving_away, xdp.pass);
	told = map_of_words(0);
	looker = load_at(&sched_cls, level, body, sched_cls.safe);
	hook_attach(hook, "lo", mover);
	hook_attach(TC_INGRESS, "lo", looker);
	for (i = 0; i < PACKETS; i++) {
		frame_fill(frame_with_metadata + META, FRAME, i);
		if (prog_run(dirty, &run) || prog_run(pass, &run))
			bail("run: %s", strerror(errno));
	}
	hook_detach(TC_INGRESS, "lo");
	hook_detach(hook, "lo");
	found = map_word(told, FOUND);
	diag("%lu times in %lu packets", found, map_word(told, RUNS));
	if (map_word(map, ERRORS) || map_word(dirt, ERRORS) || map_word(told, RUNS) != PACKETS)
		found = -1;
	close(pass);
	close(dirty);
	close(dirt);
	close(mover);
	close(looker);
	close(map);
	close(told);
	return found;
}

int main(void)
{
	pin_to_cpu(0);
	veth_create("mtoa", "mtob", 1500);
	both_ways("metadata after skb_change_head", NATIVE_XDP, before_packet, by_change_head);
	both_ways("metadata without room", NATIVE_XDP, before_packet, by_filling_the_head_room);
	if (system("ip link add mtod type dummy && ip addr add 10.9.6.1/24 dev mtod && "
		   "echo 1 >/proc/sys/net/ipv6/conf/mtod/disable_ipv6 && ip link set mtod up && "
		   "ip neigh replace 10.9.6.2 lladdr 02:02:02:02:02:02 dev mtod && ip link add mtog "
		   "type gretap remote 10.9.6.2 local 10.9.6.1 && "
		   "echo 1 >/proc/sys/net/ipv6/conf/mtog/disable_ipv6 && ip link set mtog up"))
		bail("no tunnel");
	both_ways("metadata behind a tunnel's header", NATIVE_XDP, behind_tunnel, by_looking);
	both_ways("metadata behind a VLAN tag", NATIVE_XDP, behind_tag, by_looking);
	both_ways("metadata behind a written tag", NATIVE_XDP, behind_written_tag, by_looking);
	without_room();
	if (system("echo 0 >/proc/sys/net/ipv6/conf/mtoa/disable_ipv6 && "
		   "ip addr add fd00:6::1/64 dev mtoa nodad && ip link add mtov type vxlan id 42 "
		   "local fd00:6::1 remote fd00:6::2 dev mtoa dstport 4789 udp6zerocsumrx && "
		   "echo 1 >/proc/sys/net/ipv6/conf/mtov/disable_ipv6 && ip link set mtov up"))
		bail("no VXLAN over IPv6");
	both_ways("metadata behind fragments", NATIVE_XDP, behind_fragments, by_looking);
	real_metadata("of fragments", NATIVE_XDP, before_fragments);
	if (system("ip link del mtov && ip link del mtog && ip link del mtod"))
		diag("the tunnel stays");
	both_ways("metadata that was elsewhere", GENERIC_XDP, behind_generic_xdp, by_looking);
	veth_create("mtoe", "mtof", 1500);
	if (system("ip addr add 10.9.7.1/24 dev mtoe && "
		   "ip neigh replace 10.9.7.2 lladdr 02:02:02:02:02:02 dev mtoe && ip link add mtoh "
		   "type gretap remote 10.9.7.2 local 10.9.7.1 && "
		   "echo 1 >/proc/sys/net/ipv6/conf/mtoh/disable_ipv6 && ip link set mtoh up"))
		bail("no tunnel behind a devmap");
	both_ways("metadata of a devmap's program", GENERIC_XDP, behind_devmap, by_looking);
	if (system("ip link del mtoh"))
		diag("the tunnel stays");
	real_metadata("of a frame", GENERIC_XDP, before_packet);
	real_metadata("of a frame", NATIVE_XDP, before_packet);
	real_metadata("of a tagged frame", GENERIC_XDP, before_tagged);
	real_metadata("of a tagged frame", NATIVE_XDP, before_tagged);
	return finish();
}
