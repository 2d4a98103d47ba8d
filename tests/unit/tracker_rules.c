/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * The tracker's rules one at a time, on a connection written by hand (tracker_bed.h).
 */
#include <criterion/criterion.h>

#include "unit/tracker_bed.h"

/* --- windows ---------------------------------------------------------------------------------- */

Test(tracker_rules, window_scale_holds_after_both_syns_and_not_on_them)
{
	struct bed *bed = make();
	const struct tl_segment *s;

	s = send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000, .window = 64240 });
	cr_expect_eq(s->window_bytes, 64240);
	send(bed, 1000,
	     (struct sim_frame){
		     .side = 1, .flags = TL_TCP_SYN | TL_TCP_ACK, .seq = 5000, .ack = 1001 });
	s = send(bed, 2000, (struct sim_frame)DATA(0, 0));
	cr_expect_eq(s->window_bytes, 500u << 7);
	cr_expect(s->window_known);
	destroy(bed);
}

Test(tracker_rules, midstream_window_is_unknown_unless_shut)
{
	struct bed *bed = make();
	const struct tl_segment *s = send(bed, 0, (struct sim_frame)DATA(0, 100));

	cr_expect_not(s->window_known);
	s = send(bed, 100,
		 (struct sim_frame){ .side = 1,
				     .flags = TL_TCP_ACK,
				     .seq = SERVER,
				     .ack = CLIENT + 100,
				     .window = SHUT });
	cr_expect(s->window_known);
	cr_expect_eq(s->window_bytes, 0);
	finish(bed);
	cr_expect_eq(bed->totals.midstream_flows, 1);
	destroy(bed);
}

static struct bed *make_shut(void)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 4000,
	     (struct sim_frame){ .side = 1,
				 .flags = TL_TCP_ACK,
				 .seq = SERVER,
				 .ack = CLIENT + 1000,
				 .window = SHUT });
	return bed;
}

/* Linux: nothing, at snd_una - 1. BSD: the next byte. Others: the last byte again. */
Test(tracker_rules, any_probe_of_a_shut_window_is_a_window_probe)
{
	static const struct sim_frame probes[] = { DATA(999, 0), DATA(1000, 1), DATA(999, 1) };

	for (uint32_t i = 0; i < 3; i++) {
		struct bed *bed = make_shut();

		expect_verdict(send(bed, 300000, probes[i]), TL_VERDICT_WINDOW_PROBE);
		/* The byte of the probe was not taken: it is new when it comes with the others. */
		send(bed, 301000, (struct sim_frame)ACKS(1000));
		expect_verdict(send(bed, 302000, (struct sim_frame)DATA(1000, 1000)),
			       TL_VERDICT_NEW);
		cr_expect_eq(bed->got.new_bytes, 1000);
		destroy(bed);
	}
}

Test(tracker_rules, a_probe_byte_that_is_acked_is_not_missed)
{
	struct bed *bed = make_shut();

	send(bed, 300000, (struct sim_frame)DATA(1000, 1));
	send(bed, 301000, (struct sim_frame)ACKS(1001));
	expect_verdict(send(bed, 302000, (struct sim_frame)DATA(1001, 1000)), TL_VERDICT_NEW);
	send(bed, 5000000, (struct sim_frame)ACKS(2001));
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	destroy(bed);
}

/* A capture that begins while the window is shut sees a probe first: its byte comes again. */
Test(tracker_rules, a_byte_of_a_probe_that_comes_again_is_no_loss)
{
	struct bed *bed = make();

	send(bed, 0, (struct sim_frame)DATA(1000, 1));
	send(bed, 1000,
	     (struct sim_frame){ .side = 1,
				 .flags = TL_TCP_ACK,
				 .seq = SERVER,
				 .ack = CLIENT + 1000,
				 .window = SHUT });
	send(bed, 900000, (struct sim_frame)ACKS(1000));
	expect_verdict(send(bed, 902000, (struct sim_frame)DATA(1000, 1000)), TL_VERDICT_NEW);
	destroy(bed);
}

Test(tracker_rules, a_probe_with_the_window_open_is_a_keepalive)
{
	static const struct sim_frame probes[] = { DATA(999, 0), DATA(999, 1) };

	for (uint32_t i = 0; i < 2; i++) {
		struct bed *bed = make();

		shake_hands(bed);
		send(bed, 3000, (struct sim_frame)DATA(0, 1000));
		send(bed, 4000, (struct sim_frame)ACKS(1000));
		expect_verdict(send(bed, 75000000, probes[i]), TL_VERDICT_KEEPALIVE);
		expect_verdict(send(bed, 75001000, (struct sim_frame)ACKS(1000)),
			       TL_VERDICT_PURE_ACK);
		cr_expect_not(bed->got.duplicate_ack);
		destroy(bed);
	}
}

/* --- retransmissions ------------------------------------------------------------------------- */

Test(tracker_rules, same_ip_id_is_a_copy_another_is_a_retransmission)
{
	struct bed *bed = make();
	struct sim_frame data = DATA(0, 1000);

	shake_hands(bed);
	data.ip_id = 777;
	data.tsval = 3;
	expect_verdict(send(bed, 3000, data), TL_VERDICT_NEW);
	expect_verdict(send(bed, 3100, data), TL_VERDICT_COPY);
	data.ip_id = 778;
	expect_verdict(send(bed, 3200, data), TL_VERDICT_LOST_AFTER);
	cr_expect_eq(bed->got.original_ns, 1700000000003000000ull);
	finish(bed);
	cr_expect_eq(bed->totals.copies, 1);
	destroy(bed);
}

Test(tracker_rules, a_late_copy_is_no_copy)
{
	struct bed *bed = make();
	struct sim_frame data = DATA(0, 1000);

	shake_hands(bed);
	data.ip_id = 777;
	data.tsval = 3;
	send(bed, 3000, data);
	expect_verdict(send(bed, 2003000, data), TL_VERDICT_LOST_AFTER);
	cr_expect_eq(bed->got.trigger, TL_TRIGGER_RTO);
	destroy(bed);
}

Test(tracker_rules, three_duplicate_acks_make_it_fast)
{
	struct bed *bed = make();

	shake_hands(bed);
	for (uint32_t i = 0; i < 5; i++)
		if (i != 1)
			send(bed, 3000 + i, (struct sim_frame)DATA(i * 1000, 1000));
	send(bed, 4000, (struct sim_frame)ACKS(1000));
	for (uint32_t i = 0; i < 3; i++) {
		send(bed, 4001 + i, (struct sim_frame)ACKS(1000));
		cr_expect(bed->got.duplicate_ack);
	}
	expect_verdict(send(bed, 5000, (struct sim_frame)DATA(1000, 1000)), TL_VERDICT_LOST_BEFORE);
	cr_expect_eq(bed->got.trigger, TL_TRIGGER_FAST);
	cr_expect_eq(bed->got.original_ns, 0);
	cr_expect_eq(bed->got.new_bytes, 1000);
	destroy(bed);
}

Test(tracker_rules, an_older_segment_is_reordered_whatever_the_acks_say)
{
	struct bed *bed = make();
	struct sim_frame late = DATA(0, 1000);

	shake_hands(bed);
	late.ip_id = bed->id[0]++;
	late.tsval = 3;
	send(bed, 3000, (struct sim_frame)DATA(1000, 1000));
	for (uint32_t i = 0; i < 4; i++)
		send(bed, 4000 + i, (struct sim_frame)ACKS(0));
	late.tsval = 1; /* written before its neighbour's */
	expect_verdict(send(bed, 5000, late), TL_VERDICT_REORDERED);
	destroy(bed);
}

Test(tracker_rules, dsack_tells_that_a_retransmission_was_spurious)
{
	struct bed *bed = make();
	struct sim_frame ack = ACKS(1000);

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	expect_verdict(send(bed, 303000, (struct sim_frame)DATA(0, 1000)), TL_VERDICT_LOST_AFTER);
	ack.sack_count = 1;
	ack.sack[0] = (struct tl_sack_block){ CLIENT, CLIENT + 1000 };
	send(bed, 304000, ack);
	cr_expect_eq(bed->got.dsack_bytes, 1000);
	cr_expect_eq(bed->got.acked_bytes, 1000);
	destroy(bed);
}

/* A receiver that delays its ACKs puts neighbours that came twice into one block. */
Test(tracker_rules, one_dsack_tells_of_all_segments_that_it_covers)
{
	struct bed *bed = make();
	struct sim_frame ack = ACKS(3000);

	shake_hands(bed);
	for (uint32_t again = 0; again < 2; again++)
		for (uint32_t i = 0; i < 3; i++)
			send(bed, 3000 + again * 300000 + i,
			     (struct sim_frame)DATA(i * 1000, 1000));
	ack.sack_count = 1;
	ack.sack[0] = (struct tl_sack_block){ CLIENT, CLIENT + 2000 };
	send(bed, 304000, ack);
	cr_expect_eq(bed->got.dsack_bytes, 2000);
	cr_expect_eq(bed->got.dsack_segments, 2);
	ack.sack[0] = (struct tl_sack_block){ CLIENT + 2000, CLIENT + 3000 };
	send(bed, 304001, ack);
	cr_expect_eq(bed->got.dsack_segments, 1);
	destroy(bed);
}

Test(tracker_rules, what_was_sacked_is_spurious_when_sent_again)
{
	struct bed *bed = make();
	struct sim_frame ack = ACKS(0);

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 3001, (struct sim_frame)DATA(1000, 1000));
	ack.sack_count = 1;
	ack.sack[0] = (struct tl_sack_block){ CLIENT + 1000, CLIENT + 2000 };
	send(bed, 4000, ack);
	expect_verdict(send(bed, 303000, (struct sim_frame)DATA(0, 1000)), TL_VERDICT_LOST_AFTER);
	expect_verdict(send(bed, 303100, (struct sim_frame)DATA(1000, 1000)), TL_VERDICT_SPURIOUS);
	destroy(bed);
}

Test(tracker_rules, syn_again_is_a_syn_retransmit_with_its_first_time)
{
	struct bed *bed = make();

	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 });
	expect_verdict(send(bed, 1000000, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 }),
		       TL_VERDICT_SYN_RETRANSMIT);
	expect_verdict(send(bed, 3000000, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 }),
		       TL_VERDICT_SYN_RETRANSMIT);
	cr_expect_eq(bed->got.original_ns, 1700000000000000000ull);
	finish(bed);
	cr_expect_eq(bed->totals.one_way_flows, 0, "a SYN without answer is no one-way flow");
	destroy(bed);
}

/* Without an IP ID and timestamps nothing in it differs; but no SYN is sent again so soon. */
Test(tracker_rules, a_syn_again_within_a_tenth_of_a_second_is_a_copy)
{
	struct bed *bed = make();
	struct sim_frame syn = { .flags = TL_TCP_SYN, .seq = 1000, .tsval = 7 };

	bed->no_id = bed->no_ts = true;
	send(bed, 0, syn);
	expect_verdict(send(bed, 20000, syn), TL_VERDICT_COPY);
	expect_verdict(send(bed, 1000000, syn), TL_VERDICT_SYN_RETRANSMIT);
	destroy(bed);
}

/* The way to the tap stood still: a flight and its RTO come at once, 250 ms apart by their TSval.
 */
Test(tracker_rules, an_rto_that_comes_late_with_its_original_is_told_by_tsval)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 4000, (struct sim_frame)ACKS(1000));
	for (uint32_t i = 1; i < 4; i++) {
		struct sim_frame f = DATA(i * 1000, 1000);

		f.tsval = 10;
		send(bed, 400000 + i, f);
	}
	struct sim_frame again = DATA(1000, 1000);

	again.tsval = 260;
	expect_verdict(send(bed, 400005, again), TL_VERDICT_LOST_AFTER);
	cr_expect_eq(bed->got.trigger, TL_TRIGGER_RTO);
	destroy(bed);
}

static void resend_without_sack(struct bed *bed)
{
	shake_hands(bed);
	for (uint32_t i = 0; i < 10; i++)
		send(bed, 3000 + i, (struct sim_frame)DATA(i * 1000, 1000));
	for (uint32_t i = 0; i < 4; i++)
		send(bed, 300000 + i, (struct sim_frame)DATA(i * 1000, 1000));
}

/* Only the first was lost: the receiver had the others all along. */
Test(tracker_rules, an_ack_over_a_run_without_sack_tells_what_was_needless)
{
	struct bed *bed = make();

	resend_without_sack(bed);
	cr_expect_eq(send(bed, 301000, (struct sim_frame)ACKS(10000))->needless, 3);
	destroy(bed);
}

Test(tracker_rules, acks_that_come_one_by_one_say_that_all_were_lost)
{
	struct bed *bed = make();

	resend_without_sack(bed);
	for (uint32_t i = 2; i <= 10; i += 2)
		cr_expect_eq(send(bed, 301000 + i, (struct sim_frame)ACKS(i * 1000))->needless, 0);
	destroy(bed);
}

/* IPv6 has no ID, but a segment sent again 5 ms later has another TSval, if the clock ticks in ms.
 */
Test(tracker_rules, a_tsval_that_stands_still_tells_a_late_copy)
{
	struct bed *bed = make();
	struct sim_frame f = DATA(1000, 1000);

	bed->no_id = true;
	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 200000, (struct sim_frame)ACKS(1000));
	f.tsval = 201;
	expect_verdict(send(bed, 200500, f), TL_VERDICT_NEW);
	expect_verdict(send(bed, 205500, f), TL_VERDICT_COPY);
	f.tsval = 207;
	expect_verdict(send(bed, 207000, f), TL_VERDICT_LOST_AFTER);
	destroy(bed);
}

/*
 * Sent within one millisecond, on a way that takes longer: no complaint of the receiver can have
 * come back between, however late the one arrives.
 */
Test(tracker_rules, equal_tsvals_on_a_long_way_are_reordered)
{
	struct bed *bed = make();
	struct sim_frame late = DATA(1000, 1000), again = DATA(3000, 1000);

	bed->no_id = true;
	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 });
	send(bed, 5000,
	     (struct sim_frame){
		     .side = 1, .flags = TL_TCP_SYN | TL_TCP_ACK, .seq = 5000, .ack = 1001 });
	send(bed, 7000, (struct sim_frame)DATA(0, 1000));
	send(bed, 200000, (struct sim_frame)ACKS(1000));
	send(bed, 201000, (struct sim_frame)DATA(2000, 1000));
	for (uint32_t i = 0; i < 4; i++)
		send(bed, 206000 + i, (struct sim_frame)ACKS(1000));
	late.tsval = 202;
	expect_verdict(send(bed, 209000, late), TL_VERDICT_REORDERED);
	send(bed, 215000, (struct sim_frame)ACKS(3000));
	send(bed, 300000, (struct sim_frame)DATA(4000, 1000));
	for (uint32_t i = 0; i < 4; i++)
		send(bed, 305000 + i, (struct sim_frame)ACKS(3000));
	again.tsval = 308;
	expect_verdict(send(bed, 308000, again), TL_VERDICT_LOST_BEFORE);
	destroy(bed);
}

/* --- what the capture missed ------------------------------------------------------------------ */

Test(tracker_rules, an_acked_hole_is_missed_after_a_second_and_told_once)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 3100, (struct sim_frame)DATA(2000, 1000));
	send(bed, 4000, (struct sim_frame)ACKS(3000));
	send(bed, 900000, (struct sim_frame)DATA(3000, 1000));
	cr_expect_eq(bed->got.missed_bytes, 0, "too early to tell");
	send(bed, 1900000, (struct sim_frame)DATA(4000, 1000));
	cr_expect_eq(bed->got.missed_bytes, 1000);
	send(bed, 2900000, (struct sim_frame)DATA(5000, 1000));
	cr_expect_eq(bed->got.missed_bytes, 0);
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 1000);
	cr_expect_eq(bed->totals.missed_segments, 1);
	destroy(bed);
}

Test(tracker_rules, a_hole_that_is_not_acked_is_not_missed)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 3100, (struct sim_frame)DATA(2000, 1000));
	send(bed, 4000, (struct sim_frame)ACKS(1000));
	send(bed, 9000000, (struct sim_frame)DATA(3000, 1000));
	cr_expect_eq(bed->got.missed_bytes, 0);
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	cr_expect_eq(bed->totals.missed_unsure_bytes, 1000);
	destroy(bed);
}

/* The last data and the FIN in one segment that the mirror dropped: its FIN is no byte. */
Test(tracker_rules, a_missed_fin_is_not_counted_as_a_byte)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 4000, (struct sim_frame)ACKS(1501));
	send(bed, 5000,
	     (struct sim_frame){ .side = 1,
				 .flags = TL_TCP_FIN | TL_TCP_ACK,
				 .seq = SERVER,
				 .ack = CLIENT + 1501 });
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 500);
	destroy(bed);
}

Test(tracker_rules, two_missed_fins_are_not_counted_as_bytes)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 4000, (struct sim_frame)ACKS(1000));
	send(bed, 5000, (struct sim_frame)ACKS(1001));
	send(bed, 6000,
	     (struct sim_frame){ .flags = TL_TCP_ACK, .seq = CLIENT + 1001, .ack = SERVER + 1 });
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	destroy(bed);
}

/* The last bytes with the FIN, and the client's FIN that ACKed them: the last ACK proves both. */
Test(tracker_rules, missed_last_bytes_of_a_closed_connection_are_counted)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 4000, (struct sim_frame)ACKS(1000));
	send(bed, 9000,
	     (struct sim_frame){ .flags = TL_TCP_ACK, .seq = CLIENT + 1501, .ack = SERVER + 1 });
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 500);
	cr_expect_eq(bed->totals.missed_unsure_bytes, 0);
	destroy(bed);
}

Test(tracker_rules, an_ack_shown_before_its_bytes_misses_nothing)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 3900, (struct sim_frame)ACKS(2000));
	expect_verdict(send(bed, 4000, (struct sim_frame)DATA(1000, 1000)), TL_VERDICT_NEW);
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	destroy(bed);
}

Test(tracker_rules, an_answer_to_a_syn_from_an_older_connection_misses_nothing)
{
	struct bed *bed = make();

	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 });
	send(bed, 1000,
	     (struct sim_frame){ .side = 1,
				 .flags = TL_TCP_ACK | TL_TCP_PSH,
				 .seq = 900000,
				 .ack = 77777,
				 .bytes = 31 });
	send(bed, 1100, (struct sim_frame){ .flags = TL_TCP_RST, .seq = 77777 });
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	cr_expect_eq(bed->totals.missed_unsure_bytes, 0);
	destroy(bed);
}

/* --- one way ---------------------------------------------------------------------------------- */

Test(tracker_rules, one_direction_alone_is_one_way_and_not_missed)
{
	struct bed *bed = make();

	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 });
	send(bed, 2000, (struct sim_frame)DATA(0, 0));
	send(bed, 2100, (struct sim_frame)DATA(0, 300));
	for (uint32_t i = 1; i < 20; i++)
		send(bed, 3000 + i,
		     (struct sim_frame){
			     .flags = TL_TCP_ACK, .seq = CLIENT + 300, .ack = SERVER + i * 1000 });
	finish(bed);
	cr_expect_eq(bed->totals.one_way_flows, 1);
	cr_expect_eq(bed->totals.two_way_flows, 0);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	destroy(bed);
}

Test(tracker_rules, a_first_answer_that_the_mirror_drops_makes_no_one_way_flow)
{
	struct bed *bed = make();

	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 });
	send(bed, 2000, (struct sim_frame)DATA(0, 0));
	send(bed, 2100, (struct sim_frame)DATA(0, 300));
	/* The server's first 700 bytes are missing; where they began, the client's ACK told. */
	send(bed, 4000,
	     (struct sim_frame){ .side = 1,
				 .flags = TL_TCP_ACK,
				 .seq = SERVER + 700,
				 .ack = CLIENT + 300,
				 .bytes = 100 });
	send(bed, 5000,
	     (struct sim_frame){ .flags = TL_TCP_ACK, .seq = CLIENT + 300, .ack = SERVER + 800 });
	finish(bed);
	cr_expect_eq(bed->totals.one_way_flows, 0);
	cr_expect_eq(bed->totals.two_way_flows, 1);
	cr_expect_eq(bed->totals.missed_bytes, 700);
	destroy(bed);
}

/* Eight segments of 1000 bytes, 20 ms apart, without the third; the server is not shown. */
static struct bed *send_unheard(void)
{
	struct bed *bed = make();

	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 });
	send(bed, 2000, (struct sim_frame)DATA(0, 0));
	for (uint32_t i = 0; i < 8; i++)
		if (i != 2)
			send(bed, 3000 + i * 20000, (struct sim_frame)DATA(i * 1000, 1000));
	return bed;
}

Test(tracker_rules, a_hole_is_missed_when_an_unheard_sender_goes_on)
{
	struct bed *bed = send_unheard();

	send(bed, 1000000, (struct sim_frame)DATA(8000, 1000));
	cr_expect_eq(bed->got.missed_bytes, 0, "too early to tell");
	send(bed, 2000000, (struct sim_frame)DATA(9000, 1000));
	send(bed, 2001000, (struct sim_frame)DATA(10000, 1000));
	cr_expect_eq(bed->got.missed_bytes, 1000);
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 1000);
	destroy(bed);
}

Test(tracker_rules, a_hole_that_an_unheard_sender_fills_is_loss)
{
	struct bed *bed = send_unheard();

	expect_verdict(send(bed, 250000, (struct sim_frame)DATA(2000, 1000)),
		       TL_VERDICT_LOST_BEFORE);
	send(bed, 2000000, (struct sim_frame)DATA(8000, 1000));
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	destroy(bed);
}

Test(tracker_rules, a_hole_just_before_an_unheard_sender_stops_is_unsure)
{
	struct bed *bed = send_unheard();

	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	cr_expect_eq(bed->totals.missed_unsure_bytes, 1000);
	destroy(bed);
}

/* --- bounds ----------------------------------------------------------------------------------- */

Test(tracker_rules, thousands_of_holes_stay_within_the_pool)
{
	struct bed *bed = make();

	shake_hands(bed);
	for (uint32_t i = 0; i < 3000; i++)
		send(bed, 3000 + i, (struct sim_frame)DATA(i * 2000, 1000));
	send(bed, 10000, (struct sim_frame)ACKS(2999 * 2000 + 1000));
	finish(bed);
	cr_expect_gt(bed->totals.ranges_forgotten, 0);
	/* What was given up without an ACK is not called missed. */
	cr_expect_eq(bed->totals.missed_bytes + bed->totals.missed_unsure_bytes, 2999 * 1000);
	destroy(bed);
}

Test(tracker_rules, a_segment_far_outside_changes_nothing)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	expect_verdict(send(bed, 3500, (struct sim_frame)DATA(1500000000u, 10)),
		       TL_VERDICT_NOT_TRACKED);
	expect_verdict(send(bed, 4000, (struct sim_frame)DATA(1000, 1000)), TL_VERDICT_NEW);
	cr_expect_eq(bed->got.relative_seq, 1001);
	finish(bed);
	cr_expect_eq(bed->totals.missed_unsure_bytes, 0);
	destroy(bed);
}

/* --- identity --------------------------------------------------------------------------------- */

/* A sender whose packets all have one IP ID, and no timestamps. */
Test(tracker_rules, one_ip_id_for_all_packets_makes_no_copies_of_retransmissions)
{
	struct bed *bed = make();
	struct sim_frame data[] = { DATA(0, 100), DATA(100, 100), DATA(200, 100) };
	const struct tl_segment *s;

	bed->no_ts = true;
	shake_hands(bed);
	for (unsigned i = 0; i < 3; i++) {
		data[i].ip_id = 1;
		send(bed, 10000 + i, data[i]);
	}
	s = send(bed, 30000, data[0]);
	expect_verdict(s, TL_VERDICT_LOST_AFTER);
	s = send(bed, 30002, data[0]);
	expect_verdict(s, TL_VERDICT_COPY);
	destroy(bed);
}
