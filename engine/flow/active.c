/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which flows have been active for long: told each time that another period of their life is over.
 *
 *	entries:  │ slice 0 │ slice 1 │ … │ slice 15 │      one slice each 1/256 of the period
 *	              ▲ visited now; before that, a 1/16 of a period ago
 *
 * Nothing is stored for a flow, and a packet pays nothing: a flow is due when a multiple of the
 * period since its first packet lies between two visits of its slice. So each multiple is told
 * once, at most 1/16 of a period late. When time jumps, each slice is visited once. The table's
 * worker alone.
 */
#include "table.h"

/* Did another period of the flow's life end between the visits, and was there a packet in it? */
static bool is_due(const struct tl_flow *flow, uint64_t before_ns, uint64_t now_ns,
		   uint64_t period_ns)
{
	uint64_t ended_ns;

	if (!flow->key.ip_version || now_ns < flow->first_ns + period_ns)
		return false;
	ended_ns = now_ns - (now_ns - flow->first_ns) % period_ns;
	return ended_ns > before_ns && flow->last_ns >= ended_ns - period_ns;
}

static void visit(struct tl_flow_table *table, uint32_t slice, uint64_t now_ns)
{
	uint64_t begin = (uint64_t)table->capacity * slice / TL_ACTIVE_SLICES;
	uint64_t end = (uint64_t)table->capacity * (slice + 1) / TL_ACTIVE_SLICES;
	uint64_t before_ns = table->active.visited_ns[slice];

	for (uint64_t i = begin; i < end && i < table->fresh; i++)
		if (is_due(&table->entries[i], before_ns, now_ns, table->active.period_ns))
			table->on_active(table->ctx, &table->entries[i], now_ns);
	table->active.visited_ns[slice] = now_ns;
}

void tl_flow_table__tell_active(struct tl_flow_table *table, uint64_t now_ns)
{
	struct tl_active *active = &table->active;
	uint64_t step_ns = active->period_ns / (TL_ACTIVE_SLICES * TL_ACTIVE_SLICES) + 1;

	if (!table->on_active)
		return;
	for (uint32_t i = 0; i < TL_ACTIVE_SLICES && now_ns >= active->next_ns; i++) {
		visit(table, active->next, now_ns);
		active->next = (active->next + 1) % TL_ACTIVE_SLICES;
		active->next_ns += step_ns;
	}
	if (active->next_ns <= now_ns)
		active->next_ns = now_ns + step_ns;
}
