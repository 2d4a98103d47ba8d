// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What happens to a packet before user space sees it, in the driver's receive path:
 *
 *    NIC queue ─► tl_xdp_entry ──(no filter)────────────────────┐
 *                      │ tail call                             ▼
 *                      └─► FILTER, generated ── keeps ──────► KEEP
 *                                     └──────── rejects: counts, and drops
 *
 *    KEEP:  1 in N? ─► flow 1 in N? ─► within the flow's first bytes? ─┐
 *           ┌──────────────────────────────────────────────────────────┘
 *           ├─► cut to length ─► metadata in front ─► the AF_XDP socket of the queue
 *           └─► (for AF_PACKET) on to the stack, as it is
 *
 * The filter is generated for each expression and stands in an array of programs: replacing it is
 * one atomic store, which the driver does not notice, and each packet meets either the old filter
 * or the new one. (Replacing the whole program is not free of loss with every driver; a replaced
 * function, freplace, has a moment without either.) Tail calls rule out programs bound to a device,
 * and with them the kfuncs that read a NIC's time stamps (kernel 6.3 and later): the time is that
 * of this program, CLOCK_TAI, which user space turns into UTC by an offset of whole seconds, so a
 * step of the clock is seen at once.
 *
 * Every packet ends in exactly one counter of its queue and CPU:
 *
 *   received = filtered + sampled_out + cut_off + kept + no_socket + no_metadata
 *
 * What is not kept is dropped, and with AF_XDP nothing is passed on: this is a mirror port.
 *
 * A packet that is rejected costs two jumps, the filter, one look-up and one line of counters: no
 * clock is read, nothing is written in front of it, and `received` is summed up by the reader.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "tl_abi.h"

#define WALK_CTX struct xdp_md

/* A packet may be in several buffers. */
static __always_inline int walk_load(WALK_CTX *ctx, __u32 at, void *to, __u32 bytes)
{
	return (int)bpf_xdp_load_bytes(ctx, at, to, bytes);
}

#include "walk.h"

#define ETHERNET_HEADER 14
#define FLOWS_MAX	(1u << 18)
#define FRAGMENTS_MAX	(1u << 14)

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

const volatile struct tl_xdp_config tl_xdp_config = { .snaplen = 0xffffffff };

/* Sizes of the first three are set before loading: how many queues the interface has. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tl_xdp_count);
} tl_xdp_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} tl_xdp_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, TL_XDP_STAGE_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} tl_xdp_stages SEC(".maps");

/* Packets asked for --sample, of all CPUs: one counter, so that it is exactly 1 in N. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} tl_xdp_sampled SEC(".maps");

/* --cutoff: bytes seen of each flow, by its hash of 64 bits. The idlest flow goes when it is full.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} tl_xdp_flows SEC(".maps");

/* Datagrams in pieces: the flow of the first piece, which has the ports. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} tl_xdp_pieces SEC(".maps");

static __always_inline struct tl_xdp_count *counters(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	struct tl_xdp_count *count = bpf_map_lookup_elem(&tl_xdp_counts, &queue);

	if (count)
		return count;
	queue = tl_xdp_config.queue_count; /* a queue that was added after the start */
	return bpf_map_lookup_elem(&tl_xdp_counts, &queue);
}

/* 1 packet in N, the first of each N. */
static __always_inline int is_sampled_out(void)
{
	__u32 zero = 0;
	__u64 *seen;

	if (tl_xdp_config.sample < 2)
		return 0;
	seen = bpf_map_lookup_elem(&tl_xdp_sampled, &zero);
	return seen && __sync_fetch_and_add(seen, 1) % tl_xdp_config.sample;
}

/*
 * The hash of the packet's flow. A later piece of a datagram takes that of the first; 0: the first
 * has not come yet, so the flow is not known.
 */
static __noinline __u64 flow_of(struct walk *w)
{
	__u64 flow = walk_hash_flow(w);
	__u64 piece = w->piece;

	if (w->fragment == WALK_FRAGMENT_FIRST) {
		bpf_map_update_elem(&tl_xdp_pieces, &piece, &flow, BPF_ANY);
	} else if (w->fragment == WALK_FRAGMENT_LATER) {
		__u64 *first = bpf_map_lookup_elem(&tl_xdp_pieces, &piece);

		flow = first ? *first : 0;
	}
	return flow;
}

/*
 * Whole packets until the flow has had its bytes, both directions together; always what begins and
 * ends a connection. A new connection of the same addresses and ports begins at 0 again.
 */
static __noinline int is_cut_off(struct walk *w, __u64 flow, __u64 bytes)
{
	__u64 *seen, before;

	if (w->is_quote)
		return 0;
	seen = bpf_map_lookup_elem(&tl_xdp_flows, &flow);
	if (!seen || (w->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		bpf_map_update_elem(&tl_xdp_flows, &flow, &bytes, seen ? BPF_ANY : BPF_NOEXIST);
		return 0;
	}
	before = __sync_fetch_and_add(seen, bytes);
	return before >= tl_xdp_config.cutoff_bytes &&
	       !(w->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST));
}

/* Puts the metadata in front. 0, or the driver has no room for it. */
static __always_inline int describe(struct xdp_md *ctx, const struct tl_xdp_meta *meta)
{
	struct tl_xdp_meta *to;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return -1;
	to = (void *)(long)ctx->data_meta;
	if ((void *)(to + 1) > (void *)(long)ctx->data)
		return -1;
	*to = *meta;
	return 0;
}

static __always_inline int deliver(struct xdp_md *ctx, struct tl_xdp_count *count,
				   struct tl_xdp_meta *meta)
{
	int verdict;

	if (tl_xdp_config.passes) {
		count->kept++;
		return XDP_PASS;
	}
	meta->time_ns = bpf_ktime_get_tai_ns();
	/* The kernel leaves at least an Ethernet header; user space cuts to caplen in any case. */
	if (meta->caplen < meta->wirelen) {
		__u32 left = meta->caplen < ETHERNET_HEADER ? ETHERNET_HEADER : meta->caplen;

		if (left < meta->wirelen)
			bpf_xdp_adjust_tail(ctx, (int)(left - meta->wirelen));
	}
	if (describe(ctx, meta)) {
		count->no_metadata++;
		return XDP_DROP;
	}
	verdict = (int)bpf_redirect_map(&tl_xdp_sockets, ctx->rx_queue_index, XDP_DROP);
	if (verdict != XDP_REDIRECT) {
		count->no_socket++;
		return XDP_DROP;
	}
	count->kept++;
	return verdict;
}

/* Decisions that need to know the flow. Returns the counter of what was decided, or NULL. */
static __always_inline __u64 *decide_by_flow(struct xdp_md *ctx, struct tl_xdp_count *count,
					     struct tl_xdp_meta *meta)
{
	struct walk w = { .seed = tl_xdp_config.seed };
	__u64 flow;

	walk_packet(ctx, &w);
	if (!w.headers) /* no IP: no flow, and no end of the headers */
		return 0;
	meta->owner = (__u32)(walk_hash_addresses(&w) >> 32);
	if (tl_xdp_config.headers_only && w.headers < meta->caplen)
		meta->caplen = w.headers;
	if (tl_xdp_config.sample_flows < 2 && !tl_xdp_config.cutoff_bytes)
		return 0;
	flow = flow_of(&w);
	if (!flow) /* kept: a flow that is kept is whole */
		return 0;
	if (tl_xdp_config.sample_flows > 1 && (flow >> 32) % tl_xdp_config.sample_flows)
		return &count->sampled_out;
	if (tl_xdp_config.cutoff_bytes && is_cut_off(&w, flow, meta->wirelen))
		return &count->cut_off;
	return 0;
}

SEC("xdp.frags")
int tl_xdp_keep(struct xdp_md *ctx)
{
	struct tl_xdp_count *count = counters(ctx);
	struct tl_xdp_meta meta = { 0 };

	if (!count) /* not reached */
		return XDP_ABORTED;
	meta.wirelen = (__u32)bpf_xdp_get_buff_len(ctx);
	count->bytes += meta.wirelen;
	if (is_sampled_out()) {
		count->sampled_out++;
		return XDP_DROP;
	}
	meta.caplen = meta.wirelen < tl_xdp_config.snaplen ? meta.wirelen : tl_xdp_config.snaplen;
	if (tl_xdp_config.has_owner || tl_xdp_config.headers_only ||
	    tl_xdp_config.sample_flows > 1 || tl_xdp_config.cutoff_bytes) {
		__u64 *outcome = decide_by_flow(ctx, count, &meta);

		if (outcome) {
			(*outcome)++;
			return XDP_DROP;
		}
	}
	return deliver(ctx, count, &meta);
}

SEC("xdp.frags")
int tl_xdp_entry(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &tl_xdp_stages, TL_XDP_STAGE_FILTER);
	bpf_tail_call(ctx, &tl_xdp_stages, TL_XDP_STAGE_KEEP);
	return XDP_ABORTED; /* not reached: it is there from the start to the end */
}

char LICENSE[] SEC("license") = "GPL";
