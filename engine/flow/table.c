/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flow table: finds the flow of each packet, both directions in one entry, in fixed memory.
 *
 * Why it looks like this: at 64 bytes a packet there are some hundred nanoseconds for everything,
 * and a miss in memory costs as many. A million flows do not fit a cache, so what counts is how
 * many lines a packet touches and whether they were asked for in time.
 *
 *	         hash(key, secret)
 *	             │
 *	  buckets    ▼ home, then the next ones while overflow > 0       entries
 *	┌────────────────────────────────────────────┐      ┌──────────────────────────────────┐
 *	│ tag×10 │ overflow │ entry's number ×10     │ ───► │ line 0: key, state, seq          │
 *	└────────────────────────────────────────────┘      │ line 1: counters, path           │
 *	  64 bytes; at most 5 of 10 places taken             │ line 2: handshake, lists, end    │
 *	                                                     └──────────────────────────────────┘
 *	                                                       192 bytes
 *
 * A miss costs one line, a hit the bucket's and two of the entry. A flow takes 192 bytes and its
 * share of a bucket 12.8: five flows and a bucket are 1 KiB.
 *
 * Packets come in batches and go through in chunks, each in three passes, so that the lines of one
 * chunk are on their way together:
 *
 *	1  make keys, hash all           2  find candidates by tag        3  compare keys, update
 *	   prefetch the buckets             prefetch the entries
 *
 * Of a capture in a file the index begins small and doubles (life.c), so that a few flows do not
 *lie scattered over 16 MiB of it; a wire gets all of it at once, for it waits for nobody.
 *
 * Ends: wheel.h. Long ones: active.c. Fragments: fragments.h, overlaps.h.
 * Who may see an entry when: entry.h.
 *
 * Invariants:
 *  - memory is taken once, at creation; pages are touched as flows come
 *  - an entry is alive (in one bucket, in one list of the wheel) or free (ip_version 0)
 *  - while a batch is worked on, no flow ends that an earlier packet of it belongs to: room is made
 *    before the first packet, and a tuple that begins anew in the batch stops it
 *  - the clock is the largest packet time seen; it never goes back
 *  - one writer; tl_flow_table__read and __stats may be called by any thread
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "table.h"
#include "tapline/fetch.h"
#include "tapline/topology.h"
#include "tcp.h"

#define NS_PER_S      1000000000ull
#define CHUNK	      32u
#define GROUP_BYTES   (ENTRIES_PER_BUCKET * sizeof(struct tl_flow) + sizeof(struct tl_bucket))
#define FIRST_BUCKETS 1024u /* of an index that grows */
#define FIXED_BYTES   ((sizeof(struct tl_flow_table) + 63) & ~(size_t)63)

_Static_assert(GROUP_BYTES == 1024, "five flows and their bucket");
_Static_assert(TL_BUCKET_PLACES == 2 * ENTRIES_PER_BUCKET, "half of the places stay free");

struct prepared {
	const struct tl_flow_lookup *first; /* of the call, not of the chunk */
	struct tl_flow_key keys[CHUNK];
	uint64_t hashes[CHUNK];
	uint32_t candidates[CHUNK];
	bool has_key[CHUNK];
};

/* --- creation ----------------------------------------------------------------------------- */

static uint64_t or_default(uint64_t value, uint64_t instead)
{
	return value ? value : instead;
}

static void init_wheel(struct tl_flow_table *table, const struct tl_flow_table_opts *opts)
{
	uint64_t idle = or_default(opts->idle_ns, 60 * NS_PER_S);
	uint64_t tcp_idle = or_default(opts->tcp_idle_ns, 300 * NS_PER_S);
	const uint64_t timeouts[TL_CLASS_COUNT] = {
		[TL_CLASS_CLOSED] = or_default(opts->closed_ns, 2 * NS_PER_S),
		[TL_CLASS_HALF_OPEN] = or_default(opts->half_open_ns, 130 * NS_PER_S),
		[TL_CLASS_ONE_WAY] = idle,
		[TL_CLASS_TCP_ONE_WAY] = tcp_idle,
		[TL_CLASS_OTHER] = idle,
		[TL_CLASS_TCP] = tcp_idle,
	};

	tl_wheel__init(&table->wheel, table->entries, timeouts);
}

int tl_flow_table__create(const struct tl_flow_table_opts *opts, struct tl_flow_table **ret_table)
{
	uint64_t groups = opts->memory_bytes > FIXED_BYTES
				  ? (opts->memory_bytes - FIXED_BYTES) / GROUP_BYTES
				  : 0;
	struct tl_flow_hasher hasher;
	struct tl_flow_table *table;
	size_t bytes;
	int err;

	if (!groups || groups > UINT32_MAX / 2 / ENTRIES_PER_BUCKET)
		return -EINVAL;
	err = tl_flow_hasher__init(&hasher, opts->hash_seed, TL_FLOW_HASH_AUTO);
	if (err)
		return err;
	bytes = FIXED_BYTES + groups * GROUP_BYTES;
	table = tl_topology__alloc(bytes, opts->numa_node);
	if (!table)
		return -ENOMEM;
	table->memory_bytes = bytes;
	table->hasher = hasher;
	table->capacity = (uint32_t)groups * ENTRIES_PER_BUCKET;
	table->buckets.count =
		opts->grows && groups > FIRST_BUCKETS ? FIRST_BUCKETS : (uint32_t)groups;
	table->buckets.count_max = (uint32_t)groups;
	table->buckets.bucket = (void *)((char *)table + FIXED_BYTES);
	table->entries = (void *)(table->buckets.bucket + groups);
	table->buckets.entries = table->entries;
	table->free_head = TL_FLOW_NONE;
	table->on_end = opts->on_end;
	table->on_begin = opts->on_begin;
	table->on_active = opts->on_active;
	table->active.period_ns = or_default(opts->active_ns, 60 * NS_PER_S);
	table->ctx = opts->ctx;
	init_wheel(table, opts);
	*ret_table = table;
	return 0;
}

void tl_flow_table__destroy(struct tl_flow_table *table)
{
	if (table)
		tl_topology__free(table, table->memory_bytes);
}

/* --- lookup ------------------------------------------------------------------------------- */

static void prepare(struct tl_flow_table *table, struct tl_flow_lookup *lookups, uint32_t n,
		    struct prepared *ret)
{
	struct tl_buckets *buckets = &table->buckets;

	tl_flow_keys__of(lookups, n, ret->keys, ret->has_key);
	tl_flow_hasher__keys(&table->hasher, ret->keys, n, ret->hashes);
	for (uint32_t i = 0; i < n; i++)
		tl_fetch(&buckets->bucket[tl_buckets__home(buckets, ret->hashes[i])]);
	for (uint32_t i = 0; i < n; i++) {
		const char *entry;

		ret->candidates[i] = tl_buckets__candidate(buckets, ret->hashes[i]);
		if (ret->candidates[i] == TL_FLOW_NONE)
			continue;
		entry = (const char *)&table->entries[ret->candidates[i]];
		tl_fetch(entry);
		tl_fetch(entry + TL_CACHE_LINE);
	}
}

static inline bool path_differs(const struct tl_flow *flow, const struct tl_layers *l)
{
	const unsigned int tags = (flow->vlan[0] ^ l->vlan[0]) | (flow->vlan[1] ^ l->vlan[1]);
	const unsigned int kinds =
		(flow->vlan_count ^ l->vlan_count) | (flow->tunnel_type ^ l->tunnel.type);

	return (tags & 0xfff) | kinds | (flow->tunnel_id ^ l->tunnel.id);
}

static void update_other(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	if (p->is_new)
		tl_flow_client__guess(flow, p);
	if (flow->state == TL_FLOW_NEW && flow->packets[0] && flow->packets[1])
		tl_flow__set(flow->state, TL_FLOW_ESTABLISHED);
}

static inline void count_framing(uint32_t *framing_bytes, uint32_t wire, uint32_t inner)
{
	uint32_t sum;

	if (__builtin_add_overflow(*framing_bytes, wire > inner ? wire - inner : 0, &sum))
		sum = UINT32_MAX;
	tl_flow__set(*framing_bytes, sum);
}

static void note_fragment(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	unsigned int flags = TL_FLOW_FRAGMENTS;

	if (p->fragment & TL_FRAGMENT_OVERLAP)
		flags |= TL_FLOW_FRAGMENT_OVERLAP;
	if (p->fragment & TL_FRAGMENT_TINY)
		flags |= TL_FLOW_FRAGMENT_TINY;
	if (p->fragment & TL_FRAGMENT_INVALID)
		flags |= TL_FLOW_FRAGMENT_INVALID;
	tl_flow__raise(flow, flags);
}

/* What each packet changes of its flow, whatever it is. Within a write. */
static inline void count(const struct tl_flow_table *table, struct tl_flow *flow,
			 const struct tl_flow_packet *p)
{
	const uint32_t wire_bytes = p->packet->wirelen;

	if (p->packet->ts_ns > flow->last_ns)
		tl_flow__set(flow->last_ns, p->packet->ts_ns);
	tl_flow__set(flow->seen, table->wheel.clock);
	tl_flow__add(flow->packets[p->side], 1);
	tl_flow__add(flow->bytes[p->side], wire_bytes);
	count_framing(&flow->framing_bytes[p->side], wire_bytes, p->layers->ip_bytes);
	if (path_differs(flow, p->layers))
		tl_flow__raise(flow, TL_FLOW_VLAN_VARIES);
}

/* Counts the packet and follows the flow's state; then the wheel's class follows that. */
static void update(struct tl_flow_table *table, struct tl_flow *flow,
		   const struct tl_flow_packet *p)
{
	const struct tl_layers *l = p->layers;
	enum tl_flow_class class;

	tl_flow__write_begin(flow);
	count(table, flow, p);
	if (l->flags & TL_LAYERS_FRAGMENT)
		note_fragment(flow, p);
	if (flow->key.proto != IPPROTO_TCP)
		update_other(flow, p);
	else if (!(l->flags & TL_LAYERS_FRAGMENT_LATER))
		tl_flow_tcp__update(flow, p);
	if (l->payload_bytes && !(flow->flags & TL_FLOW_APP_TRIED << p->side) &&
	    !(l->flags & TL_LAYERS_FRAGMENT_LATER))
		tl_flow_client__payload(flow, p);
	tl_flow__write_end(flow);

	class = tl_flow_class__of(flow);
	if (flow->slot == TL_WHEEL_NO_SLOT) {
		tl_wheel__add(&table->wheel, flow, class);
	} else if (class != tl_wheel__class_of(flow)) {
		tl_wheel__remove(&table->wheel, flow);
		tl_wheel__add(&table->wheel, flow, class);
	}
}

/*
 * Is this in the middle of a connection of which both sides were seen: it neither begins nor ends
 * it, no window shuts or opens, and the side's first bytes were looked at? Then the state stays,
 * and with it the wheel's class.
 */
static inline bool goes_on(const struct tl_flow *flow, const struct tl_layers *l, uint8_t side)
{
	const unsigned int known = TL_FLOW_SEQ_KNOWN | (l->payload_bytes ? TL_FLOW_APP_TRIED : 0);
	const unsigned int flags = (unsigned int)flow->flags >> side;

	return l->proto == IPPROTO_TCP && !(l->flags & TL_LAYERS_FRAGMENT) &&
	       !(l->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN | TL_TCP_RST)) && l->window &&
	       (flags & (known | TL_FLOW_STALLED)) == known && flow->packets[0] &&
	       flow->packets[1] && flow->state != TL_FLOW_SYN_SENT &&
	       flow->state != TL_FLOW_SYN_RECEIVED;
}

/* As update(), for such a packet. */
static inline void update_going_on(const struct tl_flow_table *table, struct tl_flow *flow,
				   const struct tl_flow_lookup *lookup)
{
	const struct tl_layers *l = lookup->layers;
	const struct tl_flow_packet p = { lookup->packet, l, lookup->ret_side, false, 0 };

	tl_flow__write_begin(flow);
	count(table, flow, &p);
	tl_flow_tcp__note_flags(flow, p.side, l->tcp_flags);
	tl_flow_tcp__advance(flow, p.side, l->seq + l->payload_bytes, l->payload_bytes);
	tl_flow__write_end(flow);
}

/* Once for each fragment, before it is counted: the flow takes over what its datagram has. */
static uint64_t judge_fragment(struct tl_flow_table *table, struct tl_flow_lookup *lookup,
			       struct tl_flow_packet *p)
{
	uint64_t datagram = tl_fragments__datagram(&table->hasher, lookup->layers);
	struct tl_overlap_verdict verdict =
		tl_overlaps__see(&table->overlaps, datagram, p, (uint32_t)table->wheel.clock);

	lookup->ret_fragment = verdict.packet;
	p->fragment = verdict.datagram;
	return datagram;
}

static void remember_fragment(struct tl_flow_table *table, const struct tl_flow_lookup *lookup,
			      uint64_t datagram)
{
	struct tl_fragment fragment = {
		.datagram = datagram,
		.index = lookup->ret_flow->index,
		.generation = lookup->ret_flow->generation,
		.seen = (uint32_t)table->wheel.clock,
		.side = lookup->ret_side,
	};

	tl_fragments__put(&table->fragments, &fragment);
}

/* A fragment without ports belongs to the flow of the first one, if that was seen and stands. */
static void look_up_fragment(struct tl_flow_table *table, struct tl_flow_lookup *lookup)
{
	const struct tl_fragment *fragment;
	struct tl_flow *flow;
	struct tl_flow_packet p = { .packet = lookup->packet, .layers = lookup->layers };
	uint64_t datagram = judge_fragment(table, lookup, &p);

	fragment = tl_fragments__find(&table->fragments, datagram, (uint32_t)table->wheel.clock);
	if (!fragment)
		return;
	flow = &table->entries[fragment->index];
	if (flow->generation != fragment->generation)
		return;
	p.side = lookup->ret_side = (uint8_t)fragment->side;
	lookup->ret_flow = flow;
	update(table, flow, &p);
}

static inline struct tl_flow *find(const struct tl_flow_table *table,
				   const struct prepared *prepared, uint32_t i)
{
	uint32_t index = prepared->candidates[i];

	if (index != TL_FLOW_NONE &&
	    tl_flow_key__equal(&table->entries[index].key, &prepared->keys[i]))
		return &table->entries[index];
	index = tl_buckets__find(&table->buckets, prepared->hashes[i], &prepared->keys[i]);
	return index == TL_FLOW_NONE ? NULL : &table->entries[index];
}

/* Does an earlier packet of this call belong to the flow? Asked only when a tuple begins anew. */
static bool is_in_use(const struct tl_flow_lookup *first, const struct tl_flow_lookup *until,
		      const struct tl_flow *flow)
{
	for (; first < until; first++)
		if (first->ret_flow == flow)
			return true;
	return false;
}

/* `ret_flow`: what was found, or NULL. False: the batch must stop before this packet. */
static bool look_up(struct tl_flow_table *table, struct tl_flow_lookup *lookup,
		    const struct prepared *prepared, uint32_t i)
{
	const struct tl_layers *l = lookup->layers;
	struct tl_flow *flow = lookup->ret_flow;
	struct tl_flow_packet p = { lookup->packet, l, lookup->ret_side, !flow, 0 };
	uint64_t datagram = 0;

	if (!flow) {
		flow = tl_flow_table__begin(table, &prepared->keys[i], prepared->hashes[i], &p);
	} else if (l->proto == IPPROTO_TCP && l->tcp_flags & TL_TCP_SYN &&
		   tl_flow_tcp__is_reuse(flow, l, p.side)) {
		if (is_in_use(prepared->first, lookup, flow))
			return false;
		p.is_new = true;
		tl_flow_table__begin_again(table, flow, &p);
	}
	lookup->ret_flow = flow;
	lookup->ret_is_new = p.is_new;
	if (l->flags & TL_LAYERS_FRAGMENT)
		datagram = judge_fragment(table, lookup, &p);
	update(table, flow, &p);
	if (p.is_new && table->on_begin)
		table->on_begin(table->ctx, flow, p.packet->ts_ns);
	if (datagram)
		remember_fragment(table, lookup, datagram);
	return true;
}

static uint32_t look_up_chunk(struct tl_flow_table *table, const struct tl_flow_lookup *first,
			      struct tl_flow_lookup *lookups, uint32_t n)
{
	struct prepared prepared;

	prepared.first = first;
	prepare(table, lookups, n, &prepared);
	for (uint32_t i = 0; i < n; i++) {
		struct tl_flow_lookup *lookup = &lookups[i];
		uint64_t now = lookup->packet->ts_ns >> TL_TICK_SHIFT;

		if (now > table->wheel.clock)
			table->wheel.clock = now;
		lookup->ret_flow = NULL;
		lookup->ret_is_new = 0;
		lookup->ret_fragment = 0;
		if (prepared.has_key[i]) {
			struct tl_flow *flow = lookup->ret_flow = find(table, &prepared, i);

			if (flow && goes_on(flow, lookup->layers, lookup->ret_side))
				update_going_on(table, flow, lookup);
			else if (!look_up(table, lookup, &prepared, i))
				return i;
		} else if (lookup->layers->ip_version) {
			look_up_fragment(table, lookup);
		}
	}
	return n;
}

uint32_t tl_flow_table__lookup(struct tl_flow_table *table, struct tl_flow_lookup *lookups,
			       uint32_t n)
{
	uint32_t done = 0;

	if (n > TL_BATCH_MAX)
		n = TL_BATCH_MAX;
	if (n > (table->capacity + 1) / 2)
		n = (table->capacity + 1) / 2;
	tl_flow_table__reserve(table, n);
	while (done < n) {
		uint32_t chunk = n - done < CHUNK ? n - done : CHUNK;
		uint32_t some = look_up_chunk(table, lookups, lookups + done, chunk);

		done += some;
		if (some < chunk)
			break;
	}
	return done;
}

/* --- for everyone ------------------------------------------------------------------------- */

void tl_flow_table__stats(const struct tl_flow_table *table, struct tl_flow_table_stats *ret_stats)
{
	uint64_t ended = tl_load_relaxed(&table->count.ended);
	uint64_t created = tl_load_relaxed(&table->count.created);

	*ret_stats = (struct tl_flow_table_stats){
		.flows = created > ended ? created - ended : 0,
		.created = created,
		.expired = tl_load_relaxed(&table->count.expired),
		.evicted = tl_load_relaxed(&table->count.evicted),
		.capacity = table->capacity,
		.memory_bytes = table->memory_bytes,
		.longest_probe = tl_load_relaxed(&table->buckets.longest_probe),
	};
}

uint32_t tl_flow_table__capacity(const struct tl_flow_table *table)
{
	return table->capacity;
}

bool tl_flow_table__read(const struct tl_flow_table *table, uint32_t index,
			 struct tl_flow *ret_flow)
{
	uint64_t words[sizeof(struct tl_flow) / sizeof(uint64_t)];
	const uint64_t *from = (const uint64_t *)(const void *)&table->entries[index];
	const uint32_t *sequence = &table->entries[index].sequence;
	uint32_t before, after;

	if (index >= table->capacity)
		return false;
	do {
		before = tl_load_acquire(sequence); /* R1, pairs with W3 */
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			words[i] = tl_load_relaxed(&from[i]); /* R2 */
		tl_fence_acquire();
		after = tl_load_relaxed(sequence); /* R3, pairs with W1 */
		if (before & 1)
			tl_cpu_relax();
	} while (before & 1 || before != after);
	if (!((struct tl_flow *)(void *)words)->key.ip_version)
		return false;
	memcpy(ret_flow, words, sizeof(words));
	return true;
}
