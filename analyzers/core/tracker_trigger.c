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

#define RTO_LEAST_NS	   190000000ull /* 200 ms less the tap's and the timer's play */
#define NS_PER_MS	   1000000ull
#define SILENCE_MOST_TICKS 130000u /* of RTOs, 120 s is Linux' most */
#define FAST_SLACK_NS	   20000000ull
#define FAST_UNKNOWN_NS	   100000000ull

static uint64_t since(const struct tl_look *look, uint64_t then_ns)
{
	return look->now_ns > then_ns ? look->now_ns - then_ns : 0;
}

uint64_t tl_look__answer_ns(const struct tl_look *look)
{
	uint64_t srtt_ns = (uint64_t)look->peer->srtt_us * 1000;

	return srtt_ns ? srtt_ns + srtt_ns / 2 + FAST_SLACK_NS : FAST_UNKNOWN_NS;
}

/*
 * How long the sender was silent before this, by its own clock: its segments may have come to the
 * tap late and all at once. TSval ticks are taken for milliseconds; many are slower, and what ticks
 * faster is not trusted. 0: unknown.
 */
static uint64_t sender_silence_ns(const struct tl_look *look)
{
	const struct tl_direction *d = look->d;
	uint32_t ticks = look->l->tsval - d->tsval;
	uint64_t shown_ms = since(look, look->flow->first_ns) / NS_PER_MS;

	if (!(look->l->flags & TL_LAYERS_TCP_TS) || !tl_direction__is(d, TL_DIRECTION_TSVAL))
		return 0;
	if (ticks > SILENCE_MOST_TICKS || look->l->tsval - d->first_tsval > 2 * shown_ms + 100)
		return 0;
	return ticks * NS_PER_MS;
}

static uint64_t longer(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The newest segment again, after a silence that no ACK explains (RFC 8985: 2·SRTT). */
static bool is_tail_probe(const struct tl_look *look, uint32_t start, uint32_t end)
{
	const struct tl_direction *d = look->d;
	uint64_t rtt_ns = ((uint64_t)d->srtt_us + look->peer->srtt_us) * 1000;

	return !tl_seq__before(end, d->next_seq) && tl_seq__before(d->una, start) &&
	       tl_direction__is(d, TL_DIRECTION_ACKED) &&
	       longer(since(look, d->last_ns), sender_silence_ns(look)) > rtt_ns;
}

uint8_t tl_look__trigger(struct tl_look *look, uint32_t start, uint32_t end)
{
	const struct tl_direction *d = look->d;
	uint64_t answer = tl_look__answer_ns(look);
	uint64_t unsent = sender_silence_ns(look);
	uint64_t rtt_ns = ((uint64_t)d->srtt_us + look->peer->srtt_us) * 1000;
	bool recent = since(look, d->dup_ns) <= answer || since(look, d->advance_ns) <= answer;
	bool head = !tl_direction__is(d, TL_DIRECTION_ACKED) || !tl_seq__before(d->una, start);
	bool tail = !tl_seq__before(end, d->next_seq);

	if (is_tail_probe(look, start, end))
		return TL_TRIGGER_TLP;
	/* No answer to what it sent last can have come so late. */
	look->timed_out = unsent >= rtt_ns + RTO_LEAST_NS;
	if (look->timed_out)
		return TL_TRIGGER_RTO;
	if (d->recovery && tl_seq__before(start, d->recovery_end) &&
	    (recent || d->recovery == TL_TRIGGER_RTO))
		return d->recovery;
	if (since(look, d->asked_ns) <= answer)
		return TL_TRIGGER_FAST;
	look->timed_out = since(look, d->timer_ns) >= RTO_LEAST_NS;
	if (look->timed_out)
		return TL_TRIGGER_RTO;
	if (tail && head)
		return TL_TRIGGER_TLP;
	if (d->dup_acks || d->sacked.head)
		return TL_TRIGGER_FAST;
	return recent ? d->recovery : TL_TRIGGER_NONE;
}
