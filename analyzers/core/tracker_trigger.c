/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a sender sent again (tracker_tcp.h), from what it must have seen, by the tap's clock:
 *
 *   fast   duplicate ACKs or SACKs passed the tap about one way to the sender and back ago
 *   RTO    no ACK moved una for 200 ms and more (RFC 6298; Linux' least), and it is una that is
 * sent TLP    the newest segment again, after about 2·SRTT of silence (RFC 8985, section 7)
 *
 * In a loss recovery that is under way, what follows its ACKs belongs to what began it.
 */
#include "core/tracker_tcp.h"

#define RTO_LEAST_NS	190000000ull /* 200 ms less the tap's and the timer's play */
#define FAST_SLACK_NS	20000000ull
#define FAST_UNKNOWN_NS 100000000ull

static uint64_t since(const struct tl_look *look, uint64_t then_ns)
{
	return look->now_ns > then_ns ? look->now_ns - then_ns : 0;
}

uint64_t tl_look__answer_ns(const struct tl_look *look)
{
	uint64_t srtt_ns = (uint64_t)look->peer->srtt_us * 1000;

	return srtt_ns ? srtt_ns + srtt_ns / 2 + FAST_SLACK_NS : FAST_UNKNOWN_NS;
}

/* The newest segment again, after a silence that no ACK explains (RFC 8985: 2·SRTT). */
static bool is_tail_probe(const struct tl_look *look, uint32_t start, uint32_t end)
{
	const struct tl_direction *d = look->d;
	uint64_t rtt_ns = ((uint64_t)d->srtt_us + look->peer->srtt_us) * 1000;

	return !tl_seq__before(end, d->next_seq) && tl_seq__before(d->una, start) &&
	       tl_direction__is(d, TL_DIRECTION_ACKED) && since(look, d->last_ns) > rtt_ns;
}

uint8_t tl_look__trigger(const struct tl_look *look, uint32_t start, uint32_t end)
{
	const struct tl_direction *d = look->d;
	uint64_t answer = tl_look__answer_ns(look);
	uint64_t silence = since(look, d->timer_ns);
	bool recent = since(look, d->dup_ns) <= answer || since(look, d->advance_ns) <= answer;
	bool head = !tl_direction__is(d, TL_DIRECTION_ACKED) || !tl_seq__before(d->una, start);
	bool tail = !tl_seq__before(end, d->next_seq);

	if (is_tail_probe(look, start, end))
		return TL_TRIGGER_TLP;
	if (d->recovery && tl_seq__before(start, d->recovery_end) && recent)
		return d->recovery;
	if (since(look, d->asked_ns) <= answer)
		return TL_TRIGGER_FAST;
	if (silence >= RTO_LEAST_NS)
		return TL_TRIGGER_RTO;
	if (tail && head)
		return TL_TRIGGER_TLP;
	if (d->dup_acks || d->sacked.head)
		return TL_TRIGGER_FAST;
	return recent ? d->recovery : TL_TRIGGER_NONE;
}
