/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_bench tl_decode tl_flow tapline_analyzers tl_analyzers_core */
/*
 * Made traffic is what it says it is: as the decoder, the flow table and the tracker see it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/tracker.h"
#include "tapline/decode.h"
#include "tapline/traffic.h"

struct bed {
	struct tl_source *source;
	struct tl_flow_table *table;
	struct tl_tracker *tracker;
	unsigned char *slab;
	size_t stride;
	struct tl_packet packet[TL_BATCH_MAX];
	struct tl_layers layers[TL_BATCH_MAX];
	struct tl_flow_lookup lookup[TL_BATCH_MAX];
	struct tl_segment segment[TL_BATCH_MAX];
	uint64_t packets, bytes, last_ns, digest;
	uint64_t bad_checksums, undecoded, out_of_order;
	uint64_t verdict[TL_VERDICT_NOT_TRACKED + 1];
	uint64_t of_size[TL_TRAFFIC_FRAME_MAX + 1];
};

static bool ignore(void *ctx, const struct tl_observation *observation)
{
	(void)ctx;
	(void)observation;
	return true;
}

static struct tl_traffic_opts options(const char *sizes, const char *protocols, uint32_t flows)
{
	struct tl_traffic_opts opts = { .flows = flows, .seed = 7, .buffer_bytes = 1 << 20 };

	cr_assert_eq(tl_traffic__parse_sizes(sizes, &opts.sizes), 0);
	cr_assert_eq(tl_traffic__parse_protocols(protocols, &opts.protocols), 0);
	return opts;
}

static struct bed *bed__create(const struct tl_traffic_opts *opts)
{
	const struct tl_flow_table_opts table = { .memory_bytes = 8 << 20, .numa_node = -1 };
	struct tl_analysis_worker_opts worker = { .emit = ignore };
	struct bed *b = calloc(1, sizeof(*b));

	cr_assert(b);
	cr_assert_eq(tl_source_traffic__create(opts, &b->source), 0);
	cr_assert_eq(tl_flow_table__create(&table, &b->table), 0);
	worker.flow_capacity = tl_flow_table__capacity(b->table);
	cr_assert_eq(tl_tracker__create(&worker, &b->tracker), 0);
	b->stride = tl_tracker__flow_bytes();
	b->slab = calloc(worker.flow_capacity, b->stride);
	cr_assert(b->slab);
	return b;
}

static void bed__free(struct bed *b)
{
	tl_source__destroy(b->source);
	tl_flow_table__destroy(b->table);
	tl_tracker__destroy(b->tracker);
	free(b->slab);
	free(b);
}

static void look(struct bed *b, uint32_t i)
{
	const struct tl_packet *p = &b->packet[i];
	int checksum;

	tl_decode(p, &b->layers[i]);
	b->lookup[i] = (struct tl_flow_lookup){ .packet = p, .layers = &b->layers[i] };
	checksum = tl_decode__l4_checksum_ok(p, &b->layers[i]);
	b->bad_checksums += checksum != 1 || b->layers[i].flags & TL_LAYERS_BAD_IP_CSUM;
	b->undecoded += !b->layers[i].l4_offset ||
			b->layers[i].flags & (TL_LAYERS_MALFORMED | TL_LAYERS_TRUNCATED);
	b->out_of_order += p->ts_ns <= b->last_ns;
	b->last_ns = p->ts_ns;
	b->packets++;
	b->bytes += p->wirelen;
	b->of_size[p->wirelen]++;
	for (uint32_t j = 0; j < p->caplen; j++)
		b->digest = (b->digest ^ p->data[j]) * 0x100000001b3ull;
}

static void analyze(struct bed *b, uint32_t from, uint32_t n)
{
	struct tl_batch batch = { .n = n,
				  .packet = &b->packet[from],
				  .layers = &b->layers[from],
				  .lookup = &b->lookup[from],
				  .slab = b->slab,
				  .slab_stride = b->stride };

	for (uint32_t i = from; i < from + n; i++) {
		cr_assert(b->lookup[i].ret_flow);
		if (b->lookup[i].ret_is_new)
			memset(b->slab + b->lookup[i].ret_flow->index * b->stride, 0, b->stride);
	}
	tl_tracker__classify(b->tracker, &batch, 0, b->segment);
	for (uint32_t i = 0; i < n; i++)
		b->verdict[b->segment[i].verdict]++;
}

/* Takes up to `packets`; what poll gave last when it gave no more. */
static int take(struct bed *b, uint64_t packets)
{
	uint64_t until = b->packets + packets;
	int n = 0;

	while (b->packets < until) {
		uint64_t left = until - b->packets;

		n = tl_source__poll(b->source, b->packet,
				    left < TL_BATCH_MAX ? (uint32_t)left : TL_BATCH_MAX);
		if (n < 0)
			break;
		if (!n)
			cr_assert_eq(b->source->ops->wait(b->source, 0), 0);
		for (int i = 0; i < n; i++)
			look(b, (uint32_t)i);
		for (uint32_t done = 0; done < (uint32_t)n;) {
			uint32_t some = tl_flow_table__lookup(b->table, &b->lookup[done],
							      (uint32_t)n - done);

			analyze(b, done, some);
			done += some;
		}
		tl_source__release(b->source, (uint64_t)n);
	}
	return n;
}

static void expect_healthy(const struct bed *b)
{
	cr_expect_eq(b->bad_checksums, 0);
	cr_expect_eq(b->undecoded, 0);
	cr_expect_eq(b->out_of_order, 0);
	for (int v = 0; v <= TL_VERDICT_NOT_TRACKED; v++)
		if (v != TL_VERDICT_NEW && v != TL_VERDICT_PURE_ACK)
			cr_expect_eq(b->verdict[v], 0, "%lu packets have verdict %d",
				     (unsigned long)b->verdict[v], v);
}

Test(traffic, flows_that_never_end_are_as_many_as_asked_for)
{
	struct tl_traffic_opts opts = options("64", "tcp", 5000);
	struct bed *b = bed__create(&opts);
	struct tl_flow_table_stats stats;

	take(b, 200000);
	tl_flow_table__stats(b->table, &stats);
	cr_expect(tl_source_traffic__warm(b->source));
	cr_expect_eq(stats.created, 5000);
	cr_expect_eq(stats.flows, 5000);
	cr_expect_eq(b->of_size[64] + b->of_size[62] + b->of_size[60], 200000);
	cr_expect_eq(b->of_size[62], 10000, "a SYN and a SYN-ACK a flow");
	cr_expect_eq(b->of_size[60], 5000, "an ACK a flow");
	expect_healthy(b);
	bed__free(b);
}

Test(traffic, the_warm_up_ends_when_every_flow_has_begun)
{
	struct tl_traffic_opts opts = options("64", "tcp", 3000);
	struct bed *b;

	opts.buffer_packets = 4500;
	b = bed__create(&opts);
	cr_expect_not(tl_source_traffic__warm(b->source));
	take(b, 4500);
	cr_expect_not(tl_source_traffic__warm(b->source));
	take(b, 4500);
	cr_expect(tl_source_traffic__warm(b->source));
	bed__free(b);
}

Test(traffic, every_protocol_is_healthy_to_the_tracker)
{
	struct tl_traffic_opts opts =
		options("imix", "tcp:3,udp:2,tcp6:2,udp6:1,http:2,dns:1", 2000);
	struct bed *b;

	opts.new_flows = 0.02;
	b = bed__create(&opts);
	take(b, 300000);
	cr_expect_gt(b->verdict[TL_VERDICT_PURE_ACK], 1000, "HTTP bodies are ACKed");
	expect_healthy(b);
	bed__free(b);
}

Test(traffic, the_share_of_new_flows_is_kept)
{
	static const char *const protocols[] = { "tcp", "udp", "http", "tcp6" };
	static const double shares[] = { 0.05, 0.01 };

	for (size_t i = 0; i < 8; i++) {
		struct tl_traffic_opts opts = options("64", protocols[i / 2], 1000);
		struct tl_flow_table_stats before, after;
		struct bed *b;
		double share;

		opts.new_flows = shares[i % 2];
		b = bed__create(&opts);
		take(b, 100000); /* until the ages of flows are mixed */
		tl_flow_table__stats(b->table, &before);
		take(b, 200000);
		tl_flow_table__stats(b->table, &after);
		share = (double)(after.created - before.created) / 200000;
		cr_expect_gt(share, opts.new_flows * 0.8, "%s: %f", protocols[i / 2], share);
		cr_expect_lt(share, opts.new_flows * 1.25, "%s: %f", protocols[i / 2], share);
		expect_healthy(b);
		bed__free(b);
	}
}

Test(traffic, sizes_come_in_their_shares)
{
	struct tl_traffic_opts opts = options("100:3,1000:1", "udp", 100);
	struct bed *b = bed__create(&opts);

	take(b, 40000);
	cr_expect_eq(b->of_size[100] + b->of_size[1000], 40000);
	cr_expect_gt(b->of_size[100], 29500);
	cr_expect_lt(b->of_size[100], 30500);
	bed__free(b);
}

Test(traffic, the_largest_frame_is_made_and_a_small_one_is_raised_to_its_headers)
{
	struct tl_traffic_opts opts = options("9014", "udp", 10);
	struct bed *b = bed__create(&opts);

	take(b, 500);
	cr_expect_eq(b->of_size[9014], 500);
	expect_healthy(b);
	bed__free(b);
	opts = options("60", "udp6", 10);
	b = bed__create(&opts);
	take(b, 500);
	cr_expect_eq(b->of_size[14 + 40 + 8 + 4], 500);
	expect_healthy(b);
	bed__free(b);
}

Test(traffic, a_seed_gives_the_same_frames_and_another_does_not)
{
	struct tl_traffic_opts opts = options("imix", "tcp,http,dns", 500);
	uint64_t digest[3];

	for (int i = 0; i < 3; i++) {
		struct bed *b;

		opts.new_flows = 0.02;
		opts.seed = i == 2 ? 8 : 7;
		/* where a bufferful ends must not matter */
		opts.buffer_bytes = i ? 1 << 20 : 300000;
		b = bed__create(&opts);
		take(b, 20000);
		digest[i] = b->digest;
		bed__free(b);
	}
	cr_expect_eq(digest[0], digest[1]);
	cr_expect_neq(digest[0], digest[2]);
}

Test(traffic, it_ends_after_so_many_packets_or_when_stopped)
{
	struct tl_traffic_opts opts = options("64", "tcp", 10);
	struct tl_source_stats stats;
	struct bed *b;

	opts.packets = 1000;
	b = bed__create(&opts);
	cr_expect_eq(take(b, 5000), -ENODATA);
	cr_expect_eq(b->packets, 1000);
	cr_expect_eq(b->source->ops->watermark(b->source), UINT64_MAX);
	cr_assert_eq(b->source->ops->stats(b->source, &stats), 0);
	cr_expect_eq(stats.received, 1000);
	cr_expect_eq(stats.received_bytes, b->bytes);
	bed__free(b);
	opts.packets = 0;
	opts.buffer_packets = 300;
	b = bed__create(&opts);
	take(b, 100);
	b->source->ops->stop(b->source);
	cr_expect_eq(take(b, 5000), -ENODATA);
	cr_expect_eq(b->packets, 300, "what was made is handed out");
	bed__free(b);
}

Test(traffic, what_cannot_be_made_is_refused)
{
	struct tl_traffic_mix mix = { .count = 77 };
	struct tl_traffic_opts opts = options("64", "tcp", 10);
	struct tl_source *source = NULL;

	cr_expect_eq(tl_traffic__parse_sizes("", &mix), -EINVAL);
	cr_expect_eq(tl_traffic__parse_sizes("64,", &mix), -EINVAL);
	cr_expect_eq(tl_traffic__parse_sizes("64:", &mix), -EINVAL);
	cr_expect_eq(tl_traffic__parse_sizes("59", &mix), -ERANGE);
	cr_expect_eq(tl_traffic__parse_sizes("9015", &mix), -ERANGE);
	cr_expect_eq(tl_traffic__parse_sizes("64:0", &mix), -ERANGE);
	cr_expect_eq(
		tl_traffic__parse_sizes("60,60,60,60,60,60,60,60,60,60,60,60,60,60,60,60,60", &mix),
		-ERANGE);
	cr_expect_eq(tl_traffic__parse_protocols("tcp,ipx", &mix), -EINVAL);
	cr_expect_eq(tl_traffic__parse_protocols("tc", &mix), -EINVAL);
	cr_expect_eq(mix.count, 77, "untouched by failures");
	opts.new_flows = 0.2;
	cr_expect_eq(tl_source_traffic__create(&opts, &source), -EINVAL);
	opts.new_flows = 0;
	opts.flows = 0;
	cr_expect_eq(tl_source_traffic__create(&opts, &source), -EINVAL);
	cr_expect_null(source);
}
