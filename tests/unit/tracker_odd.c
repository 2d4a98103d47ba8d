/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * The tracker on what is rare and allowed, or wrong: data in SYNs, simultaneous opens, other
 * segment boundaries when sent again, packets minutes late, clocks that go back, RSTs and ACKs that
 * lie.
 */
#include <criterion/criterion.h>

#include "unit/tracker_bed.h"

static void expect_no_loss(struct bed *bed)
{
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	cr_expect_eq(bed->totals.missed_unsure_bytes, 0);
	destroy(bed);
}

/* --- opening ---------------------------------------------------------------------------------- */

/* RFC 7413: the SYN carries 100 bytes, which the SYN-ACK ACKs. */
Test(tracker_odd, data_in_a_syn_is_data)
{
	struct bed *bed = make();

	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000, .bytes = 100 });
	cr_expect_eq(bed->got.new_bytes, 100);
	send(bed, 1000,
	     (struct sim_frame){ .side = 1,
				 .flags = TL_TCP_SYN | TL_TCP_ACK,
				 .seq = 5000,
				 .ack = CLIENT + 100 });
	send(bed, 2000, (struct sim_frame)DATA(100, 0));
	expect_verdict(send(bed, 2100, (struct sim_frame)DATA(100, 500)), TL_VERDICT_NEW);
	send(bed, 3000, (struct sim_frame)ACKS(600));
	expect_no_loss(bed);
}

/* The server ACKs the SYN alone: its data is sent again, and was not lost here. */
Test(tracker_odd, data_of_a_syn_that_is_refused_is_sent_again)
{
	struct bed *bed = make();

	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000, .bytes = 100 });
	send(bed, 1000,
	     (struct sim_frame){
		     .side = 1, .flags = TL_TCP_SYN | TL_TCP_ACK, .seq = 5000, .ack = CLIENT });
	send(bed, 2000, (struct sim_frame)DATA(0, 100));
	cr_expect_eq(bed->got.new_bytes, 0);
	send(bed, 3000, (struct sim_frame)ACKS(100));
	expect_no_loss(bed);
}

Test(tracker_odd, a_simultaneous_open)
{
	struct bed *bed = make();

	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 });
	send(bed, 10, (struct sim_frame){ .side = 1, .flags = TL_TCP_SYN, .seq = 5000 });
	send(bed, 1000,
	     (struct sim_frame){ .flags = TL_TCP_SYN | TL_TCP_ACK, .seq = 1000, .ack = SERVER });
	send(bed, 1010,
	     (struct sim_frame){
		     .side = 1, .flags = TL_TCP_SYN | TL_TCP_ACK, .seq = 5000, .ack = CLIENT });
	expect_verdict(send(bed, 2000, (struct sim_frame)DATA(0, 500)), TL_VERDICT_NEW);
	send(bed, 3000, (struct sim_frame)ACKS(500));
	expect_no_loss(bed);
}

/* --- sent again ------------------------------------------------------------------------------- */

/* Three segments of 1000 are sent again as two of 1500; the last one has new bytes, too. */
Test(tracker_odd, other_boundaries_when_sent_again)
{
	struct bed *bed = make();

	shake_hands(bed);
	for (uint32_t i = 0; i < 3; i++)
		send(bed, 3000 + i, (struct sim_frame)DATA(i * 1000, 1000));
	expect_verdict(send(bed, 300000, (struct sim_frame)DATA(0, 1460)), TL_VERDICT_LOST_AFTER);
	cr_expect_eq(bed->got.new_bytes, 0);
	expect_verdict(send(bed, 300100, (struct sim_frame)DATA(1460, 1460)),
		       TL_VERDICT_LOST_AFTER);
	send(bed, 300200, (struct sim_frame)DATA(2920, 1080));
	cr_expect_eq(bed->got.new_bytes, 1000);
	send(bed, 301000, (struct sim_frame)ACKS(4000));
	expect_no_loss(bed);
}

/* A hole of one segment is filled by a segment that overlaps both of its neighbours. */
Test(tracker_odd, a_hole_is_filled_by_a_larger_segment)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 3100, (struct sim_frame)DATA(2000, 1000));
	for (uint32_t i = 0; i < 3; i++)
		send(bed, 4000 + i, (struct sim_frame)ACKS(1000));
	expect_verdict(send(bed, 300000, (struct sim_frame)DATA(800, 1400)),
		       TL_VERDICT_LOST_BEFORE);
	cr_expect_eq(bed->got.new_bytes, 1000);
	send(bed, 301000, (struct sim_frame)ACKS(3000));
	expect_no_loss(bed);
}

Test(tracker_odd, a_segment_minutes_late_is_spurious)
{
	struct bed *bed = make();

	shake_hands(bed);
	for (uint32_t i = 0; i < 4; i++)
		send(bed, 3000 + i, (struct sim_frame)DATA(i * 1000, 1000));
	send(bed, 4000, (struct sim_frame)ACKS(4000));
	expect_verdict(send(bed, 300000000, (struct sim_frame)DATA(1000, 1000)),
		       TL_VERDICT_SPURIOUS);
	expect_no_loss(bed);
}

Test(tracker_odd, urgent_data_is_data)
{
	struct bed *bed = make();
	struct sim_frame f = DATA(0, 1);

	shake_hands(bed);
	f.flags |= TL_TCP_URG;
	expect_verdict(send(bed, 3000, f), TL_VERDICT_NEW);
	send(bed, 4000, (struct sim_frame)ACKS(1));
	expect_no_loss(bed);
}

/* --- time ------------------------------------------------------------------------------------- */

Test(tracker_odd, a_clock_that_goes_back_loses_nothing)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 9000000, (struct sim_frame)DATA(0, 1000));
	send(bed, 9000100, (struct sim_frame)DATA(2000, 1000));
	send(bed, 3000, (struct sim_frame)ACKS(3000));
	expect_verdict(send(bed, 3100, (struct sim_frame)DATA(3000, 1000)), TL_VERDICT_NEW);
	send(bed, 4000, (struct sim_frame)ACKS(4000));
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 1000);
	cr_expect_eq(bed->totals.missed_unsure_bytes, 0);
	destroy(bed);
}

/* --- what lies -------------------------------------------------------------------------------- */

/* RFC 5961: an attacker's RST, and the challenge ACK that it gets; the connection goes on. */
Test(tracker_odd, a_rst_and_its_challenge_ack_change_nothing)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 3500, (struct sim_frame)ACKS(1000));
	send(bed, 4000, (struct sim_frame){ .flags = TL_TCP_RST, .seq = CLIENT + 30000 });
	cr_expect_eq(bed->got.rst_fit, TL_RST_IN_WINDOW);
	send(bed, 4100, (struct sim_frame)ACKS(1000));
	expect_verdict(send(bed, 5000, (struct sim_frame)DATA(1000, 1000)), TL_VERDICT_NEW);
	send(bed, 6000, (struct sim_frame)ACKS(2000));
	expect_no_loss(bed);
}

Test(tracker_odd, words_in_a_rst_are_no_data)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 4000,
	     (struct sim_frame){ .side = 1,
				 .flags = TL_TCP_RST | TL_TCP_ACK,
				 .seq = SERVER,
				 .ack = CLIENT + 1000,
				 .bytes = 20 });
	cr_expect_eq(bed->got.new_bytes, 0);
	finish(bed);
	cr_expect_eq(bed->totals.missed_bytes, 0);
	destroy(bed);
}

/* No window reaches that far (RFC 7323, section 2.3). */
Test(tracker_odd, an_ack_from_nowhere_misses_nothing)
{
	struct bed *bed = make();

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	send(bed, 4000, (struct sim_frame)ACKS(1500000000));
	send(bed, 5000, (struct sim_frame)ACKS(1000));
	expect_verdict(send(bed, 6000, (struct sim_frame)DATA(1000, 1000)), TL_VERDICT_NEW);
	send(bed, 7000, (struct sim_frame)ACKS(2000));
	expect_no_loss(bed);
}

/* SACK blocks that end before they begin, lie above all that was sent, or overlap the ACK. */
Test(tracker_odd, sack_blocks_that_make_no_sense_lose_nothing)
{
	struct bed *bed = make();
	struct sim_frame f = ACKS(1000);

	shake_hands(bed);
	send(bed, 3000, (struct sim_frame)DATA(0, 1000));
	f.sack_count = 3;
	f.sack[0] = (struct tl_sack_block){ CLIENT + 3000, CLIENT + 2000 };
	f.sack[1] = (struct tl_sack_block){ CLIENT + 1500000000u, CLIENT + 1500001000u };
	f.sack[2] = (struct tl_sack_block){ CLIENT + 500, CLIENT + 900 };
	send(bed, 4000, f);
	expect_verdict(send(bed, 5000, (struct sim_frame)DATA(1000, 1000)), TL_VERDICT_NEW);
	send(bed, 6000, (struct sim_frame)ACKS(2000));
	expect_no_loss(bed);
}
