/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Losses of one direction at one place, added up; the first and the last of them as proofs. */
#include "core/loss.h"

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

void loss_count__prove(struct loss_count *count, const struct loss_proof *proof)
{
	struct loss_proof p = *proof, other;

	if (!p.ts_ns)
		return;
	for (unsigned i = 0; i < LOSS_EARLY && p.ts_ns; i++) {
		if (count->early[i].ts_ns && count->early[i].ts_ns <= p.ts_ns)
			continue;
		other = count->early[i];
		count->early[i] = p;
		p = other;
	}
	/* What is not among the first may be among the last. */
	for (unsigned i = LOSS_LATE; i-- > 0 && p.ts_ns;) {
		if (count->late[i].ts_ns > p.ts_ns)
			continue;
		other = count->late[i];
		count->late[i] = p;
		p = other;
	}
}

void loss_count__add(struct loss_count *sum, const struct loss_count *c)
{
	sum->lost += c->lost;
	sum->retransmitted_bytes += c->retransmitted_bytes;
	sum->rto += c->rto;
	sum->fast += c->fast;
	sum->tlp += c->tlp;
	sum->flows += c->flows;
	sum->bursts += c->bursts;
	sum->burst_most = most(sum->burst_most, c->burst_most);
	sum->hung_ms = most(sum->hung_ms, c->hung_ms);
	sum->stuck_ms = most(sum->stuck_ms, c->stuck_ms);
	sum->stuck_lost += c->stuck_lost;
	sum->stuck_flows += c->stuck_flows;
	for (unsigned i = 0; i < LOSS_EARLY; i++)
		loss_count__prove(sum, &c->early[i]);
	for (unsigned i = 0; i < LOSS_LATE; i++)
		loss_count__prove(sum, &c->late[i]);
}
