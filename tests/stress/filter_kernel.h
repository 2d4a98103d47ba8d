/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs translated filters in the kernel (BPF_PROG_TEST_RUN) and compares each verdict with
 * libpcap's bpf_filter. Three ways for each filter:
 *
 *   socket  BPF_PROG_TYPE_SOCKET_FILTER; the kernel takes 14 bytes off for an Ethernet header
 *           first, so 14 are put in front
 *   tagged  the same program behind bpf_skb_vlan_push, so that the packet's outer tag is in the
 *           skb's metadata; libpcap sees it in the packet (as BPF_PROG_TYPE_SCHED_CLS)
 *   xdp     BPF_PROG_TYPE_XDP; packets over a page come in several buffers
 */
#ifndef FILTER_KERNEL_H
#define FILTER_KERNEL_H

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <unistd.h>

#include "stress/filter_packets.h"
#include "tapline/filter.h"

enum way { WAY_SOCKET, WAY_TAGGED, WAY_XDP, WAY_COUNT };

static const char *const way_names[] = { "socket", "tagged", "xdp" };

#define ACCEPTED 0x1234

struct differential {
	struct test_packet *packets;
	size_t packet_count;
	uint8_t *untestable; /* owned: bit `way`: BPF_PROG_TEST_RUN does not take this packet */
	uint64_t verdicts;
	uint64_t kept;
	uint64_t mismatches;
	uint64_t refused; /* programs that the kernel did not take */
	uint64_t programs;
	uint64_t longest; /* instructions */
};

/* 0, or why the kernel does not let us try at all. */
static inline int kernel_probe(void)
{
	struct bpf_insn insns[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0 },
				    { .code = BPF_JMP | BPF_EXIT } };
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "tl_probe", "GPL", insns, 2, NULL);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* Puts bpf_skb_vlan_push(mark >> 16, mark & 0xffff) in front. */
static inline struct bpf_insn *prepend_push(const struct bpf_insn *insns, size_t *count)
{
	const struct bpf_insn push[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_LDX | BPF_MEM | BPF_W,
		  .dst_reg = 2,
		  .src_reg = 1,
		  .off = offsetof(struct __sk_buff, mark) },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 3, .src_reg = 2 },
		{ .code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = 2, .imm = 16 },
		{ .code = BPF_ALU | BPF_END | BPF_TO_BE, .dst_reg = 2, .imm = 16 },
		{ .code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = 3, .imm = 0xffff },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_skb_vlan_push },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 6 },
	};
	size_t before = sizeof(push) / sizeof(push[0]);
	struct bpf_insn *all = calloc(*count + before, sizeof(*all));

	if (!all)
		abort();
	memcpy(all, push, sizeof(push));
	memcpy(all + before, insns, *count * sizeof(*all));
	*count += before;
	return all;
}

/* The verifier's last words, for a program that it refused. */
static inline void explain_refusal(enum way way, const struct bpf_insn *insns, size_t count)
{
	static char log[1 << 20];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log),
		    .log_level = 1);
	static const enum bpf_prog_type types[] = { BPF_PROG_TYPE_SOCKET_FILTER,
						    BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_XDP };
	size_t bytes;

	bpf_prog_load(types[way], "tl_filter", "GPL", insns, count, &opts);
	bytes = strlen(log);
	fprintf(stderr, "%s: %zu instructions refused: …%s\n", way_names[way], count,
		bytes > 1500 ? log + bytes - 1500 : log);
}

/* File descriptor of the loaded program, or -errno. */
static inline int load_way(const struct tl_filter *filter, enum way way, size_t *ret_count)
{
	LIBBPF_OPTS(bpf_prog_load_opts, frags, .prog_flags = BPF_F_XDP_HAS_FRAGS);
	const struct tl_ebpf_opts opts = { .count_map_fd = -1, .accept_return = ACCEPTED };
	struct bpf_insn *insns, *pushed;
	size_t count;
	int fd, rc = way == WAY_XDP ? tl_filter__to_xdp_ebpf(filter, &opts, &insns, &count)
				    : tl_filter__to_skb_ebpf(filter, &opts, &insns, &count);

	if (rc)
		return rc;
	if (way == WAY_XDP) {
		fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "tl_filter", "GPL", insns, count, &frags);
	} else if (way == WAY_SOCKET) {
		fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "tl_filter", "GPL", insns, count,
				   NULL);
	} else {
		pushed = prepend_push(insns, &count);
		free(insns);
		insns = pushed;
		fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "tl_filter", "GPL", insns, count, NULL);
	}
	if (fd < 0) {
		fd = -errno;
		explain_refusal(way, insns, count);
	}
	*ret_count = count;
	free(insns);
	return fd;
}

/* The program's return value for one packet, or -errno. */
static inline int64_t run_way(int fd, enum way way, const struct test_packet *packet)
{
	static uint8_t framed[PACKET_ROOM + 14];
	struct __sk_buff context = { .mark = packet->tag };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet->data,
		    .data_size_in = packet->bytes);

	if (way == WAY_SOCKET) {
		memcpy(framed + 14, packet->data, packet->bytes);
		opts.data_in = framed;
		opts.data_size_in = packet->bytes + 14;
	} else if (way == WAY_TAGGED) {
		opts.ctx_in = &context;
		opts.ctx_size_in = sizeof(context);
	}
	return bpf_prog_test_run_opts(fd, &opts) ? -errno : (int64_t)opts.retval;
}

static inline bool expect(const struct tl_filter *filter, enum way way,
			  const struct test_packet *packet)
{
	uint32_t bytes = way == WAY_TAGGED ? packet->bytes + 4 : packet->bytes;
	struct tl_packet p = { .data = way == WAY_TAGGED ? packet->tagged : packet->data,
			       .caplen = bytes,
			       .wirelen = bytes };

	return tl_filter__match(filter, &p);
}

/* A filter, in the kernel by one of the ways. */
struct loaded {
	const struct tl_filter *filter;
	enum way way;
	int fd;
};

static inline void compare_packet(struct differential *d, const struct loaded *l, size_t index)
{
	const struct test_packet *packet = &d->packets[index];
	bool keep;
	int64_t got;

	if (d->untestable[index] & (1u << l->way))
		return;
	keep = expect(l->filter, l->way, packet);
	got = run_way(l->fd, l->way, packet);
	d->verdicts++;
	d->kept += keep;
	if (got == (keep ? ACCEPTED : 0))
		return;
	if (d->mismatches++ < 20)
		fprintf(stderr, "%s: packet %zu of %u bytes: libpcap %s, eBPF returns %lld: %s\n",
			way_names[l->way], index, packet->bytes, keep ? "keeps" : "rejects",
			(long long)got, tl_filter__expression(l->filter));
}

/*
 * Finds out, with a filter that keeps everything, which packets BPF_PROG_TEST_RUN takes: for XDP
 * not those shorter than an Ethernet header, for skbs not those over a page, nor (with a link
 * layer) those that say IP and are shorter than its header. Count of packets fit for `way`.
 */
static inline size_t survey_packets(struct differential *d, enum way way)
{
	struct tl_filter *everything;
	size_t count, fit = 0;
	int fd;

	if (tl_filter__compile("", 1, 262144, NULL, &everything))
		abort();
	fd = load_way(everything, way, &count);
	for (size_t i = 0; i < d->packet_count; i++) {
		if (fd >= 0 && run_way(fd, way, &d->packets[i]) == ACCEPTED)
			fit++;
		else
			d->untestable[i] |= (uint8_t)(1u << way);
	}
	close(fd);
	tl_filter__destroy(everything);
	return fit;
}

/* `count` packets, and what of them can be tested. False: the kernel takes next to none. */
static inline bool differential_begin(struct differential *d, uint64_t *rng, size_t count)
{
	bool fit = true;

	*d = (struct differential){ .packet_count = count };
	d->packets = generate_packets(rng, count);
	d->untestable = calloc(count, 1);
	if (!d->untestable)
		abort();
	for (enum way way = 0; way < WAY_COUNT; way++)
		fit &= survey_packets(d, way) > count / 2;
	return fit;
}

static inline void differential_end(struct differential *d)
{
	free_packets(d->packets, d->packet_count);
	free(d->untestable);
}

/* One filter, all packets, all three ways. */
static inline void compare_filter(struct differential *d, const struct tl_filter *filter)
{
	for (enum way way = 0; way < WAY_COUNT; way++) {
		size_t count = 0;
		int fd = load_way(filter, way, &count);

		d->programs++;
		if (count > d->longest)
			d->longest = count;
		if (fd < 0) {
			d->refused++;
			fprintf(stderr, "%s: not loaded (%s): %s\n", way_names[way], strerror(-fd),
				tl_filter__expression(filter));
			continue;
		}
		for (size_t i = 0; i < d->packet_count; i++)
			compare_packet(d, &(struct loaded){ filter, way, fd }, i);
		close(fd);
	}
}

/* The next expression of the stream that libpcap compiles; `refused` counts the others. */
static inline struct tl_filter *next_expression(uint64_t *rng, uint64_t *refused)
{
	static struct text text;
	struct tl_filter *filter;
	struct tl_error error;

	for (;;) {
		text.n = 0;
		text.s[0] = 0;
		text.rng = rng;
		say_filter(&text, 4);
		if (!tl_filter__compile(text.s, 1, 262144, &error, &filter))
			return filter;
		(*refused)++;
	}
}

static inline struct tl_filter *next_classic(uint64_t *rng)
{
	struct sock_filter insns[CLASSIC_ROOM];
	size_t count = generate_classic(rng, insns);
	struct tl_filter *filter;

	return tl_filter__from_classic(insns, count, 1, &filter) ? NULL : filter;
}

#endif
