/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_flow */
/* The flow table: finding, ending, evicting, fragments, and what it does at its limits. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/resource.h>

#include "flow_test.h"

static struct seg udp(uint32_t n)
{
	return (struct seg){ .src = 0x0a000000 + n,
			     .dst = 0xc0000201,
			     .src_port = 10000,
			     .dst_port = 9000,
			     .proto = 17,
			     .ts_ns = T0 };
}

static struct seg at(struct seg seg, uint64_t ts_ns)
{
	seg.ts_ns = ts_ns;
	return seg;
}

Test(flow_table, too_little_memory_is_refused)
{
	struct tl_flow_table_opts opts = { .memory_bytes = 1000, .numa_node = -1 };
	struct tl_flow_table *table = NULL;

	cr_expect_eq(tl_flow_table__create(&opts, &table), -EINVAL);
	cr_expect_null(table);
	tl_flow_table__destroy(NULL);
}

Test(flow_table, memory_that_is_not_there_is_an_error)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	cr_skip_test("a sanitizer needs more address space than the limit");
#endif
	struct tl_flow_table_opts opts = { .memory_bytes = 4ull << 30, .numa_node = -1 };
	struct rlimit limit = { 1 << 30, 1 << 30 };
	struct tl_flow_table *table = NULL;

	cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
	cr_expect_eq(tl_flow_table__create(&opts, &table), -ENOMEM);
	opts.memory_bytes = UINT64_MAX;
	cr_expect_eq(tl_flow_table__create(&opts, &table), -EINVAL, "more than can be numbered");
	cr_expect_null(table);
}

Test(flow_table, memory_stays_within_the_cap_and_a_flow_takes_208_bytes)
{
	for (uint64_t bytes = 1 << 18; bytes <= 1 << 26; bytes *= 4) {
		struct bed *bed = bed__create(bytes);
		struct tl_flow_table_stats stats = bed__stats(bed);

		cr_expect_leq(stats.memory_bytes, bytes);
		cr_expect_eq(stats.capacity, tl_flow_table__capacity(bed->table));
		if (bytes == 1 << 26)
			cr_expect_leq(stats.memory_bytes / stats.capacity, 208);
		bed__destroy(bed);
	}
}

Test(flow_table, every_flow_is_found_again_in_a_full_table)
{
	struct bed *bed = bed__create(4 << 20);
	uint32_t n = tl_flow_table__capacity(bed->table) - 1;
	uint32_t *index = calloc(n, sizeof(*index));

	for (uint32_t i = 0; i < n; i++) {
		struct tl_flow_lookup l = bed__send(bed, udp(i));

		cr_assert(l.ret_is_new);
		index[i] = l.ret_flow->index;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct tl_flow_lookup l = bed__send(bed, i % 2 ? udp(i) : seg__reply(udp(i)));

		cr_assert_not(l.ret_is_new);
		cr_assert_eq(l.ret_flow->index, index[i]);
	}
	cr_expect_eq(bed__stats(bed).flows, n);
	cr_expect_eq(bed__stats(bed).evicted, 0);
	/* another seed each time: now and then one has a probe of 5 */
	cr_expect_leq(bed__stats(bed).longest_probe, 8, "%u", bed__stats(bed).longest_probe);
	free(index);
	bed__destroy(bed);
}

Test(flow_table, an_index_that_grows_loses_no_flow)
{
	struct bed *bed = calloc(1, sizeof(*bed));
	struct tl_flow_table_opts opts = { .memory_bytes = 20 << 20,
					   .numa_node = -1,
					   .on_end = bed__on_end,
					   .ctx = bed,
					   .grows = true };
	uint32_t n, *index;

	cr_assert_eq(tl_flow_table__create(&opts, &bed->table), 0);
	n = tl_flow_table__capacity(bed->table) - 1;
	cr_assert_gt(n, 90000, "some doublings, the last one not by two");
	index = calloc(n, sizeof(*index));
	for (uint32_t i = 0; i < n; i++) {
		index[i] = bed__send(bed, at(udp(i), T0 + (i < 3000 ? 0 : 70 * S))).ret_flow->index;
		if (i == 4000) /* some have ended when it grows: theirs are free entries */
			tl_flow_table__expire(bed->table, T0 + 70 * S, UINT32_MAX);
	}
	cr_expect_eq(bed->by_end[TL_FLOW_END_IDLE], 3000);
	for (uint32_t i = 3000; i < n; i++) {
		struct tl_flow_lookup l = bed__send(bed, at(udp(i), T0 + 71 * S));

		cr_assert_not(l.ret_is_new);
		cr_assert_eq(l.ret_flow->index, index[i]);
	}
	cr_expect_eq(bed__stats(bed).flows, n - 3000);
	cr_expect_leq(bed__stats(bed).longest_probe, 8, "%u", bed__stats(bed).longest_probe);
	free(index);
	bed__destroy(bed);
}

static uint32_t longest_probe(uint64_t a, uint64_t b, uint32_t *ret_index)
{
	struct tl_flow_table_opts opts = { .memory_bytes = 4 << 20,
					   .numa_node = -1,
					   .hash_seed = { a, b } };
	struct bed *bed = calloc(1, sizeof(*bed));
	uint32_t longest;

	cr_assert_eq(tl_flow_table__create(&opts, &bed->table), 0);
	for (uint32_t i = 0; i < tl_flow_table__capacity(bed->table) - 1; i++)
		bed__send(bed, udp(i * 7919));
	*ret_index = bed__send(bed, udp(7919)).ret_flow->index;
	longest = bed__stats(bed).longest_probe;
	bed__destroy(bed);
	return longest;
}

Test(flow_table, probes_stay_short_whatever_the_seed)
{
	uint32_t index[2];

	for (uint64_t seed = 1; seed < 12; seed++)
		cr_expect_leq(longest_probe(seed, seed * seed, &index[0]), 4, "seed %lu",
			      (unsigned long)seed);
	cr_expect_leq(longest_probe(0, 0, &index[1]), 8, "a random one");
}

Test(flow_table, a_batch_gives_what_single_packets_give)
{
	struct bed *one = bed__create(1 << 20), *many = bed__create(1 << 20);
	static struct made made[TL_BATCH_MAX];
	static struct tl_flow_lookup lookups[TL_BATCH_MAX];

	for (uint32_t i = 0; i < TL_BATCH_MAX; i++) {
		struct seg seg = udp(i * i % 61);

		seg = at(i % 3 ? seg : seg__reply(seg), T0 + i);
		bed__make(&seg, &made[i]);
		lookups[i] = (struct tl_flow_lookup){ .packet = &made[i].packet,
						      .layers = &made[i].layers };
	}
	cr_assert_eq(tl_flow_table__lookup(many->table, lookups, TL_BATCH_MAX), TL_BATCH_MAX);
	for (uint32_t i = 0; i < TL_BATCH_MAX; i++) {
		struct tl_flow_lookup l = bed__look_up(one, &made[i]);

		cr_expect_eq(l.ret_flow->index, lookups[i].ret_flow->index);
		cr_expect_eq(l.ret_side, lookups[i].ret_side);
		cr_expect_eq(l.ret_is_new, lookups[i].ret_is_new);
	}
	tl_flow_table__drain(one->table);
	tl_flow_table__drain(many->table);
	cr_assert_eq(one->count, many->count);
	for (uint32_t i = 0; i < one->count; i++)
		cr_expect_eq(memcmp(one->log[i].flow.packets, many->log[i].flow.packets, 32), 0);
	bed__destroy(one);
	bed__destroy(many);
}

Test(flow_table, a_batch_stops_before_a_tuple_of_it_begins_anew)
{
	struct bed *bed = bed__create(1 << 20);
	static struct made made[4];
	struct tl_flow_lookup lookups[4];
	struct seg syn = { .src = 1,
			   .dst = 2,
			   .src_port = 1000,
			   .dst_port = 80,
			   .flags = TL_TCP_SYN,
			   .ts_ns = T0 };

	for (uint32_t i = 0; i < 4; i++) {
		syn.seq = i < 2 ? 100 : i * 1000;
		bed__make(&syn, &made[i]);
		lookups[i] = (struct tl_flow_lookup){ .packet = &made[i].packet,
						      .layers = &made[i].layers };
	}
	cr_expect_eq(tl_flow_table__lookup(bed->table, lookups, 4), 2);
	cr_expect_eq(bed->count, 0, "nothing ends while its packets are not analyzed");
	cr_expect_eq(tl_flow_table__lookup(bed->table, lookups + 2, 2), 1);
	cr_expect_eq(bed->count, 1);
	cr_expect_eq(tl_flow_table__lookup(bed->table, lookups + 3, 1), 1);
	cr_expect_eq(bed->by_end[TL_FLOW_END_REUSED], 2);
	cr_expect_eq(bed__stats(bed).created, 3);
	cr_expect_eq(bed__stats(bed).flows, 1);
	bed__destroy(bed);
}

Test(flow_table, no_flow_of_a_batch_ends_while_the_table_is_full)
{
	struct bed *bed = bed__create(330 << 10);
	static struct made made[TL_BATCH_MAX];
	static struct tl_flow_lookup lookups[TL_BATCH_MAX];
	uint32_t next = 0, capacity = tl_flow_table__capacity(bed->table);

	cr_assert_lt(capacity, 2 * TL_BATCH_MAX);
	for (int round = 0; round < 50; round++) {
		uint32_t done;

		for (uint32_t i = 0; i < TL_BATCH_MAX; i++) {
			struct seg seg = at(udp(next + i), T0 + (next + i) * MS);

			bed__make(&seg, &made[i]);
			lookups[i] = (struct tl_flow_lookup){ .packet = &made[i].packet,
							      .layers = &made[i].layers };
		}
		done = tl_flow_table__lookup(bed->table, lookups, TL_BATCH_MAX);
		cr_assert_geq(done, 1);
		for (uint32_t i = 0; i < done; i++) {
			struct tl_flow_key key;
			uint8_t side;

			tl_flow_key__of(lookups[i].layers, &key, &side);
			cr_assert_eq(memcmp(&lookups[i].ret_flow->key, &key, sizeof(key)), 0);
		}
		next += done;
	}
	cr_expect_gt(bed__stats(bed).evicted, 0);
	cr_expect_eq(bed__stats(bed).evicted + bed__stats(bed).flows, next);
	bed__destroy(bed);
}

Test(flow_table, flows_end_after_their_idle_time_never_before_and_little_later)
{
	struct bed *bed = bed__create(1 << 20);
	uint64_t first_end = 0;

	bed__send(bed, at(udp(1), T0));
	bed__send(bed, at(udp(1), T0 + 30 * S));
	for (uint64_t now = T0 + 30 * S; now < T0 + 100 * S && !first_end; now += 10 * MS) {
		tl_flow_table__expire(bed->table, now, 100);
		if (bed->count)
			first_end = now;
	}
	cr_expect_geq(first_end, T0 + 90 * S);
	cr_expect_leq(first_end, T0 + 90 * S + 300 * MS);
	cr_expect_eq(bed->log[0].end, TL_FLOW_END_IDLE);
	cr_expect_eq(bed->log[0].flow.end, TL_FLOW_END_IDLE);
	bed__destroy(bed);
}

Test(flow_table, each_class_has_its_own_time)
{
	struct seg a = { .src = 1, .dst = 2, .src_port = 40000, .dst_port = 80 }, b = a, c = a;
	struct bed *bed = bed__create(1 << 20);

	b.src_port = 40001;
	c.src_port = 40002;
	bed__connect(bed, a, T0);
	bed__connect(bed, b, T0);
	b.flags = TL_TCP_RST;
	b.seq = 1001;
	bed__send(bed, at(b, T0));
	c.flags = TL_TCP_SYN;
	bed__send(bed, at(c, T0));
	tl_flow_table__expire(bed->table, T0 + 3 * S, 100);
	cr_expect_eq(bed->count, 1);
	cr_expect_eq(bed->log[0].flow.key.port[0], 40001);
	cr_expect_eq(bed->log[0].end, TL_FLOW_END_CLOSED);
	tl_flow_table__expire(bed->table, T0 + 129 * S, 100);
	cr_expect_eq(bed->count, 1);
	tl_flow_table__expire(bed->table, T0 + 132 * S, 100);
	cr_expect_eq(bed->count, 2);
	cr_expect_eq(bed->log[1].flow.key.port[0], 40002);
	tl_flow_table__expire(bed->table, T0 + 299 * S, 100);
	cr_expect_eq(bed->count, 2);
	tl_flow_table__expire(bed->table, T0 + 303 * S, 100);
	cr_expect_eq(bed->count, 3);
	bed__destroy(bed);
}

Test(flow_table, flows_expire_in_the_order_in_which_they_fell_silent)
{
	struct bed *bed = bed__create(4 << 20);

	for (uint32_t i = 0; i < 1000; i++)
		bed__send(bed, at(udp(i), T0 + i * MS));
	for (uint32_t i = 1000; i-- > 0;) { /* last packets in the opposite order */
		uint64_t now = T0 + 10 * S + (1000 - i) * 40 * MS;

		tl_flow_table__expire(bed->table, now, 100);
		bed__send(bed, at(udp(i), now));
	}
	cr_assert_eq(bed->count, 0);
	for (uint64_t now = T0 + 50 * S; now < T0 + 200 * S; now += 100 * MS)
		tl_flow_table__expire(bed->table, now, 1000);
	cr_assert_eq(bed->count, 1000);
	for (uint32_t i = 1; i < 1000; i++) /* to a slot: 1/256 of 60 s */
		cr_assert_leq(bed->log[i - 1].flow.last_ns, bed->log[i].flow.last_ns + 60 * S / 256,
			      "at %u", i);
	bed__destroy(bed);
}

Test(flow_table, all_end_though_nobody_asked_for_long)
{
	struct bed *bed = bed__create(4 << 20);

	for (uint32_t i = 0; i < 1000; i++)
		bed__send(bed, at(udp(i), T0 + i * S));
	for (uint32_t i = 0; i < 1000; i++)
		bed__send(bed, at(udp(i), T0 + 1000 * S + i * S));
	while (tl_flow_table__expire(bed->table, T0, 7)) /* it is T0 + 1999 s by the packets */
		;
	cr_expect_geq(bed->count, 938);
	cr_expect_leq(bed->count, 940);
	while (tl_flow_table__expire(bed->table, T0 + 3000 * S, 7))
		;
	cr_expect_eq(bed->count, 1000);
	bed__destroy(bed);
}

Test(flow_table, expiry_keeps_to_its_budget)
{
	struct bed *bed = bed__create(1 << 20);

	for (uint32_t i = 0; i < 100; i++)
		bed__send(bed, udp(i));
	cr_expect(tl_flow_table__expire(bed->table, T0 + 100 * S, 30));
	cr_expect_eq(bed->count, 30);
	while (tl_flow_table__expire(bed->table, T0 + 100 * S, 30))
		;
	cr_expect_eq(bed->count, 100);
	cr_expect_eq(bed__stats(bed).flows, 0);
	cr_expect_eq(bed__stats(bed).expired, 100);
	bed__destroy(bed);
}

Test(flow_table, a_jump_of_the_clock_by_decades_is_cheap_and_ends_what_is_old)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow *flow;
	uint32_t calls = 0;

	bed__send(bed, at(udp(1), 0));
	flow = bed__send(bed, at(udp(2), T0)).ret_flow;
	while (tl_flow_table__expire(bed->table, T0, 100))
		calls++;
	cr_expect_lt(calls, 10);
	tl_flow_table__expire(bed->table, T0 + S, 100);
	cr_expect_eq(bed->count, 1);
	cr_expect_eq(flow->last_ns, T0);
	tl_flow_table__expire(bed->table, T0 + 59 * S, 100);
	cr_expect_eq(bed->count, 1);
	tl_flow_table__expire(bed->table, T0 + 61 * S, 100);
	cr_expect_eq(bed->count, 2);
	bed__destroy(bed);
}

Test(flow_table, time_that_goes_back_ends_nothing_early)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow *flow = bed__send(bed, at(udp(1), T0)).ret_flow;
	struct tl_flow_lookup l;

	bed__send(bed, at(udp(1), T0 - 3600 * S));
	cr_expect_eq(flow->last_ns, T0, "the last time never goes back");
	l = bed__send(bed, at(udp(2), T0 - 3600 * S));
	cr_expect_eq(l.ret_flow->first_ns, T0 - 3600 * S);
	tl_flow_table__expire(bed->table, T0 - 1800 * S, 100);
	tl_flow_table__expire(bed->table, T0 + S, 100);
	cr_expect_eq(bed->count, 0, "an hour behind the clock is not an hour idle");
	tl_flow_table__expire(bed->table, T0 + 61 * S, 100);
	cr_expect_eq(bed->count, 2);
	bed__destroy(bed);
}

Test(flow_table, drain_ends_all_in_order_of_their_first_packet)
{
	struct bed *bed = bed__create(4 << 20);

	for (uint32_t i = 0; i < 2000; i++)
		bed__send(bed, at(udp(i), T0 + i * 7919ull % 2000 * MS));
	tl_flow_table__drain(bed->table);
	cr_assert_eq(bed->count, 2000);
	cr_expect_eq(bed->by_end[TL_FLOW_END_CAPTURE], 2000);
	for (uint32_t i = 1; i < 2000; i++)
		cr_assert_lt(bed->log[i - 1].flow.first_ns, bed->log[i].flow.first_ns);
	cr_expect_eq(bed__stats(bed).flows, 0);
	cr_expect(bed__send(bed, udp(1)).ret_is_new, "the table can be used again");
	bed__destroy(bed);
}

Test(flow_table, the_idlest_goes_first)
{
	struct bed *bed = bed__create(1 << 20);
	uint32_t n = tl_flow_table__capacity(bed->table);

	for (uint32_t i = 0; i < n - 1; i++)
		bed__send(bed, at(udp(i), T0));
	for (uint32_t i = 0; i < n - 1; i++)
		if (i != 77)
			bed__send(bed, at(udp(i), T0 + 10 * S));
	bed__send(bed, at(udp(1000000), T0 + 10 * S));
	bed__send(bed, at(udp(1000001), T0 + 10 * S));
	cr_assert_eq(bed->count, 1);
	cr_expect_eq(bed->log[0].end, TL_FLOW_END_EVICTED);
	cr_expect_eq(bed->log[0].flow.key.addr[0][3], 77);
	cr_expect_eq(bed__stats(bed).evicted, 1);
	bed__destroy(bed);
}

/* 1,000 connections, then a million SYNs from as many addresses against a table of 20,000. */
Test(flow_table, established_flows_outlive_a_syn_flood)
{
	struct bed *bed = bed__create(4 << 20);
	static struct tl_flow *flows[1000];
	struct seg seg = { .dst = 0xc0000201, .src_port = 40000, .dst_port = 443 };

	for (uint32_t i = 0; i < 1000; i++) {
		seg.src = 0x0a000000 + i;
		flows[i] = bed__connect(bed, seg, T0 + i);
	}
	seg = (struct seg){ .dst = 0xc0000201, .dst_port = 443, .flags = TL_TCP_SYN };
	for (uint32_t i = 0; i < 1000000; i++) {
		seg.src = 0x20000000 + i;
		seg.src_port = (uint16_t)(1024 + i % 60000);
		seg.seq = i;
		bed__send(bed, at(seg, T0 + S + i * 1000ull));
	}
	cr_expect_eq(bed->by_end[TL_FLOW_END_EVICTED], bed__stats(bed).evicted);
	cr_expect_gt(bed__stats(bed).evicted, 900000);
	cr_expect_leq(bed__stats(bed).memory_bytes, 4 << 20);
	seg = (struct seg){ .dst = 0xc0000201,
			    .src_port = 40000,
			    .dst_port = 443,
			    .flags = TL_TCP_ACK,
			    .seq = 1001,
			    .ts_ns = T0 + 3 * S };
	for (uint32_t i = 0; i < 1000; i++) {
		struct tl_flow_lookup l;

		seg.src = 0x0a000000 + i;
		l = bed__send(bed, seg);
		cr_assert_not(l.ret_is_new, "connection %u was forgotten", i);
		cr_assert_eq(l.ret_flow, flows[i]);
		cr_assert_eq(l.ret_flow->state, TL_FLOW_ESTABLISHED);
		cr_assert_eq(l.ret_flow->rtt_server_us, 2000);
	}
	bed__destroy(bed);
}

Test(flow_table, established_flows_outlive_a_flood_of_acks_and_of_udp)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg seg = { .src = 5, .dst = 6, .src_port = 40000, .dst_port = 443 };
	struct tl_flow *flow = bed__connect(bed, seg, T0);

	for (uint32_t i = 0; i < 50000; i++) {
		struct seg flood = at(udp(i), T0 + S + i * 1000ull);

		flood.proto = i % 2 ? 6 : 17;
		flood.flags = TL_TCP_ACK;
		bed__send(bed, flood);
	}
	seg.flags = TL_TCP_ACK;
	seg.seq = 1001;
	seg.ts_ns = T0 + 2 * S;
	cr_expect_eq(bed__send(bed, seg).ret_flow, flow);
	cr_expect_eq(flow->rtt_server_us, 2000);
	bed__destroy(bed);
}

/* --- fragments ----------------------------------------------------------------------------- */

static struct tl_flow_lookup send_fragment(struct bed *bed, struct seg seg, uint32_t id, bool later)
{
	struct made made;

	bed__make(&seg, &made);
	made.layers.ip_id = id;
	made.layers.flags = TL_LAYERS_FRAGMENT;
	if (later) {
		made.layers.flags |= TL_LAYERS_FRAGMENT_LATER;
		made.layers.src_port = made.layers.dst_port = 0;
		made.layers.l4_offset = 0;
	}
	return bed__look_up(bed, &made);
}

Test(flow_table, later_fragments_find_the_flow_of_the_first)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow_lookup first = send_fragment(bed, udp(1), 42, false);
	struct tl_flow_lookup later = send_fragment(bed, udp(1), 42, true);

	cr_expect(first.ret_flow->flags & TL_FLOW_FRAGMENTS);
	cr_expect_eq(later.ret_flow, first.ret_flow);
	cr_expect_eq(later.ret_side, first.ret_side);
	cr_expect_not(later.ret_is_new);
	cr_expect_eq(first.ret_flow->packets[first.ret_side], 2);
	cr_expect_null(send_fragment(bed, udp(1), 43, true).ret_flow, "another datagram");
	cr_expect_null(send_fragment(bed, seg__reply(udp(1)), 42, true).ret_flow,
		       "the other direction counts its own numbers");
	cr_expect_null(send_fragment(bed, at(udp(1), T0 + 31 * S), 42, true).ret_flow, "too late");
	cr_expect_eq(bed__stats(bed).created, 1);
	bed__destroy(bed);
}

Test(flow_table, a_fragment_does_not_find_the_flow_that_took_the_entry_over)
{
	struct bed *bed = bed__create(1 << 20);

	send_fragment(bed, udp(1), 42, false);
	tl_flow_table__drain(bed->table);
	cr_expect_null(send_fragment(bed, udp(1), 42, true).ret_flow);
	bed__send(bed, udp(2));
	cr_expect_null(send_fragment(bed, udp(1), 42, true).ret_flow);
	bed__destroy(bed);
}

Test(flow_table, a_flood_of_fragments_is_bounded)
{
	struct bed *bed = bed__create(1 << 20);

	for (uint32_t i = 0; i < 100000; i++)
		send_fragment(bed, udp(1), i, false);
	cr_expect_not_null(send_fragment(bed, udp(1), 99999, true).ret_flow, "the newest is known");
	cr_expect_eq(bed__stats(bed).created, 1);
	bed__destroy(bed);
}

/* --- other protocols ----------------------------------------------------------------------- */

/* Between 10.0.0.9 and 10.0.0.2; `reverse`: from the latter. */
static struct tl_flow_lookup send_icmp(struct bed *bed, bool reverse, uint16_t type, uint16_t code)
{
	return bed__send(bed, (struct seg){ .src = reverse ? 0x0a000002 : 0x0a000009,
					    .dst = reverse ? 0x0a000009 : 0x0a000002,
					    .src_port = type,
					    .dst_port = code,
					    .proto = 1,
					    .ts_ns = T0 });
}

Test(flow_table, echo_and_its_reply_are_one_flow_and_errors_have_one_direction)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow_lookup request = send_icmp(bed, false, 8, 0), reply, error, back;

	reply = send_icmp(bed, true, 0, 8);
	cr_expect_eq(reply.ret_flow, request.ret_flow);
	cr_expect_eq(request.ret_flow->client, request.ret_side);
	cr_expect_eq(request.ret_flow->state, TL_FLOW_ESTABLISHED);
	error = send_icmp(bed, false, 3, 3);
	back = send_icmp(bed, true, 3, 3);
	cr_expect_neq(error.ret_flow, back.ret_flow);
	cr_expect_eq(error.ret_side, 0, "the sender is side 0");
	cr_expect_eq(error.ret_flow->client, 0);
	cr_expect_eq(back.ret_side, 0);
	bed__destroy(bed);
}

Test(flow_table, an_answer_seen_first_does_not_make_its_sender_the_client)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow_lookup dns = bed__send(bed, (struct seg){ .src = 1,
								 .dst = 2,
								 .src_port = 53,
								 .dst_port = 40000,
								 .proto = 17,
								 .payload = "x",
								 .ts_ns = T0 });
	struct tl_flow_lookup echo = send_icmp(bed, true, 0, 8);

	cr_expect_neq(dns.ret_flow->client, dns.ret_side);
	cr_expect_not(dns.ret_flow->flags & TL_FLOW_CLIENT_SURE);
	cr_expect_eq(dns.ret_flow->app, TL_APP_DNS);
	cr_expect_neq(echo.ret_flow->client, echo.ret_side);
	bed__destroy(bed);
}

Test(flow_table, no_ip_no_flow)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_packet packet = { .ts_ns = T0, .wirelen = 60 };
	struct tl_layers layers = { .ethertype = 0x0806 };
	struct tl_flow_lookup lookup = { .packet = &packet, .layers = &layers };

	lookup.ret_flow = (struct tl_flow *)&lookup;
	cr_expect_eq(tl_flow_table__lookup(bed->table, &lookup, 1), 1);
	cr_expect_null(lookup.ret_flow);
	cr_expect_eq(bed__stats(bed).created, 0);
	bed__destroy(bed);
}

Test(flow_table, vlan_and_tunnel_are_no_part_of_the_key_but_noted)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg seg = udp(1);
	struct made made;
	struct tl_flow *flow;

	bed__make(&seg, &made);
	made.layers.vlan_count = 1;
	made.layers.vlan[0] = 0x2000 | 12;
	flow = bed__look_up(bed, &made).ret_flow;
	made.layers.vlan[0] = 12;
	bed__look_up(bed, &made);
	cr_expect_not(flow->flags & TL_FLOW_VLAN_VARIES, "the priority alone is no other VLAN");
	made.layers.vlan[0] = 13;
	cr_expect_eq(bed__look_up(bed, &made).ret_flow, flow);
	cr_expect(flow->flags & TL_FLOW_VLAN_VARIES);
	cr_expect_eq(flow->vlan[0] & 0xfff, 12);
	bed__destroy(bed);
}

Test(flow_table, readers_see_living_flows_alone)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow *flow = bed__send(bed, udp(1)).ret_flow, copy;
	uint32_t index = flow->index;

	cr_expect(tl_flow_table__read(bed->table, index, &copy));
	cr_expect_eq(memcmp(&copy, flow, sizeof(copy)), 0);
	cr_expect_not(tl_flow_table__read(bed->table, index + 1, &copy));
	cr_expect_not(tl_flow_table__read(bed->table, UINT32_MAX, &copy));
	tl_flow_table__drain(bed->table);
	cr_expect_not(tl_flow_table__read(bed->table, index, &copy));
	bed__destroy(bed);
}
