/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source of made traffic: see tapline/traffic.h.
 *
 *	frames  │ frame 0     │ frame 1           │ frame 2 │ …      each begins on a cache line
 *	places  { offset, length }, one a frame: poll makes a descriptor of each
 *
 * First every flow is opened, in groups whose handshakes interleave; then a random flow sends the
 * next packet: the worst that a flow table can meet. The buffer is larger than the caches, so that
 * frames come from memory as they do from a ring.
 *
 * Invariants: what poll handed out stays as it is until the next wait(), which the caller makes
 * when all is released; `made` counts packets of all bufferfuls. One thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"
#include "tapline/topology.h"
#include "tapline/traffic.h"

#define RATE_DEFAULT  10000000ull
#define START_DEFAULT 1767225600000000000ull /* 2026-01-01 */
#define NS_PER_S      1000000000ull
#define OPENING_GROUP 1024u /* flows whose handshakes interleave */
#define FRAME_ROOM    (TL_TRAFFIC_FRAME_MAX + 256)

struct place {
	uint32_t line; /* of the buffer, in cache lines */
	uint32_t bytes;
};

struct traffic {
	struct tl_source source;
	struct tl_traffic_opts opts;
	struct script *scripts; /* owned */
	struct place *places;	/* owned */
	uint8_t *frames;	/* owned */
	struct script_random random;
	struct script_text text;
	struct frame_noise noise;
	struct tl_source_stats stats;
	uint64_t made;
	uint64_t handed;      /* packets that poll gave away */
	uint32_t place_count; /* of this bufferful */
	uint32_t place_at;    /* next to hand out */
	uint32_t place_max;
	uint32_t next_number;  /* of the next flow to begin */
	uint32_t opened;       /* flows of finished groups */
	uint32_t group_at;     /* packet of the group at work */
	uint64_t mean_packets; /* of a flow; 0: they never end */
};

static struct traffic *traffic_of(const struct tl_source *source)
{
	return (struct traffic *)(uintptr_t)source;
}

/* --- making -------------------------------------------------------------------------------- */

static uint32_t draw(struct traffic *t, const struct tl_traffic_mix *mix)
{
	uint32_t at, i = 0;

	if (mix->count == 1)
		return mix->at[0].value;
	at = script_random__below(&t->random, mix->weight_sum);
	while (at >= mix->at[i].weight)
		at -= mix->at[i++].weight;
	return mix->at[i].value;
}

/* How many exchanges make a flow of the mean length, half more or less. */
static uint16_t draw_exchanges(struct traffic *t, enum tl_traffic_protocol protocol, bool is_first)
{
	uint64_t packets = t->mean_packets, around;
	bool is_udp = protocol == TL_TRAFFIC_UDP || protocol == TL_TRAFFIC_UDP6;

	if (!packets)
		return SCRIPT_FOREVER;
	if (!is_udp)
		packets -= 6; /* handshake and end */
	/* a request, its head, about ten segments and their ACKs */
	around = protocol == TL_TRAFFIC_HTTP ? (packets + 17) / 18 : packets;
	if (around >= SCRIPT_FOREVER / 2)
		around = SCRIPT_FOREVER / 2 - 1;
	/* Those that open the run are of any age, so that ends are spread from the start. */
	if (is_first)
		return (uint16_t)(1 + script_random__below(&t->random, (uint32_t)around + 1));
	return (uint16_t)(around - around / 2 +
			  script_random__below(&t->random, (uint32_t)(around / 2) * 2 + 1));
}

static void begin_flow(struct traffic *t, struct script *script, bool is_first)
{
	enum tl_traffic_protocol protocol = draw(t, &t->opts.protocols);

	script__begin(script, t->next_number++, protocol, draw_exchanges(t, protocol, is_first));
}

/*
 * Whose turn it is while flows open: the first packet of each flow of a group, the second of each,
 * the third. NULL: this flow has no such packet.
 */
static struct script *opening_turn(struct traffic *t)
{
	uint32_t left = t->opts.flows - t->opened;
	uint32_t group = left < OPENING_GROUP ? left : OPENING_GROUP;
	uint32_t round = t->group_at / group;
	struct script *script = &t->scripts[t->opened + t->group_at % group];

	if (!round)
		begin_flow(t, script, true);
	if (++t->group_at == group * SCRIPT_OPENING_PACKETS) {
		t->opened += group;
		t->group_at = 0;
	}
	return round < script__opening_packets(script) ? script : NULL;
}

static struct script *next_turn(struct traffic *t)
{
	struct script *script = NULL;

	while (t->opened < t->opts.flows && !script)
		script = opening_turn(t);
	return script ? script : &t->scripts[script_random__below(&t->random, t->opts.flows)];
}

static uint32_t make_frame(struct traffic *t, uint8_t *at)
{
	struct script *script = next_turn(t);
	const struct script_source from = { draw(t, &t->opts.sizes), &t->random, &t->text };
	struct frame_spec spec;

	if (!script__next(script, &from, &spec))
		begin_flow(t, script, false);
	return frame__write(&spec, &t->noise, at);
}

static void refill(struct traffic *t)
{
	uint64_t lines = (t->opts.buffer_bytes - FRAME_ROOM) / TL_CACHE_LINE;
	uint64_t line = 0;

	t->place_at = t->place_count = 0;
	while (line <= lines && t->place_count < t->place_max) {
		struct place *place = &t->places[t->place_count];

		if (t->opts.packets && t->made == t->opts.packets)
			break;
		place->line = (uint32_t)line;
		place->bytes = make_frame(t, t->frames + line * TL_CACHE_LINE);
		line += (place->bytes + TL_CACHE_LINE - 1) / TL_CACHE_LINE;
		t->place_count++;
		t->made++;
	}
}

/* --- operations ---------------------------------------------------------------------------- */

static uint64_t packet_time(const struct traffic *t, uint64_t number)
{
	/* in two parts: the product would not fit after an hour */
	return t->opts.start_ns + number / t->opts.rate * NS_PER_S +
	       number % t->opts.rate * NS_PER_S / t->opts.rate;
}

static int poll_traffic(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	struct traffic *t = traffic_of(source);
	uint32_t left = t->place_count - t->place_at;
	uint32_t n = left < max ? left : max;

	if (!left)
		return t->opts.packets && t->made == t->opts.packets ? -ENODATA : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct place *place = &t->places[t->place_at + i];

		packets[i] = (struct tl_packet){
			.data = t->frames + (size_t)place->line * TL_CACHE_LINE,
			.ts_ns = packet_time(t, t->handed + i),
			.frame = t->handed + i + 1,
			.caplen = place->bytes,
			.wirelen = place->bytes,
			.interface = source->interface,
			.queue = source->queue,
			.linktype = TL_LINKTYPE_ETHERNET,
		};
		t->stats.received_bytes += place->bytes;
	}
	t->place_at += n;
	t->handed += n;
	return (int)n;
}

static int wait_traffic(struct tl_source *source, int timeout_ms)
{
	struct traffic *t = traffic_of(source);

	(void)timeout_ms;
	if (t->place_at == t->place_count)
		refill(t);
	return 0;
}

static uint64_t watermark(struct tl_source *source)
{
	struct traffic *t = traffic_of(source);

	if (t->opts.packets && t->handed == t->opts.packets)
		return UINT64_MAX;
	return packet_time(t, t->handed);
}

static int stats(struct tl_source *source, struct tl_source_stats *ret_stats)
{
	struct traffic *t = traffic_of(source);

	t->stats.received = t->stats.captured = t->handed;
	t->stats.captured_bytes = t->stats.received_bytes;
	*ret_stats = t->stats;
	return 0;
}

/* Nothing new is made; what the buffer holds is still handed out. */
static int stop(struct tl_source *source)
{
	struct traffic *t = traffic_of(source);

	t->opts.packets = t->made;
	return 0;
}

static void destroy(struct tl_source *source)
{
	struct traffic *t = traffic_of(source);

	tl_topology__free(t->frames, t->opts.buffer_bytes);
	free(t->places);
	free(t->scripts);
	free(t);
}

static const struct tl_source_ops ops = {
	.name = "traffic",
	.poll = poll_traffic,
	.wait = wait_traffic,
	.watermark = watermark,
	.stats = stats,
	.stop = stop,
	.destroy = destroy,
};

/* --- creation ------------------------------------------------------------------------------ */

static bool is_valid(const struct tl_traffic_opts *opts)
{
	return opts->sizes.count && opts->protocols.count && opts->flows &&
	       opts->flows <= TL_TRAFFIC_FLOWS_MAX && opts->new_flows >= 0 &&
	       opts->new_flows <= TL_TRAFFIC_NEW_FLOWS_MAX &&
	       (!opts->buffer_bytes || opts->buffer_bytes >= 2 * FRAME_ROOM) &&
	       opts->buffer_bytes / TL_CACHE_LINE < UINT32_MAX;
}

static void set_defaults(struct traffic *t, const struct tl_traffic_opts *opts)
{
	t->source.ops = &ops;
	t->opts = *opts;
	if (!t->opts.rate)
		t->opts.rate = RATE_DEFAULT;
	if (!t->opts.start_ns)
		t->opts.start_ns = START_DEFAULT;
	if (!t->opts.buffer_bytes)
		t->opts.buffer_bytes = TL_TRAFFIC_BUFFER_DEFAULT;
	t->place_max = (uint32_t)(t->opts.buffer_bytes / TL_CACHE_LINE);
	if (t->opts.buffer_packets && t->opts.buffer_packets < t->place_max)
		t->place_max = (uint32_t)t->opts.buffer_packets;
	if (opts->new_flows > 0)
		t->mean_packets = (uint64_t)(1 / opts->new_flows);
	t->random.state = opts->seed;
	frame__init_noise(&t->noise, opts->seed);
}

int tl_source_traffic__create(const struct tl_traffic_opts *opts, struct tl_source **ret_source)
{
	struct traffic *t;

	if (!is_valid(opts))
		return -EINVAL;
	t = aligned_alloc(TL_CACHE_LINE,
			  (sizeof(*t) + TL_CACHE_LINE - 1) / TL_CACHE_LINE * TL_CACHE_LINE);
	if (!t)
		return -ENOMEM;
	memset(t, 0, sizeof(*t));
	set_defaults(t, opts);
	t->scripts = calloc(t->opts.flows, sizeof(*t->scripts));
	t->places = calloc(t->place_max, sizeof(*t->places));
	t->frames = tl_topology__alloc(t->opts.buffer_bytes, -1);
	if (!t->scripts || !t->places || !t->frames) {
		if (!t->frames)
			t->opts.buffer_bytes = 0;
		destroy(&t->source);
		return -ENOMEM;
	}
	*ret_source = &t->source;
	return 0;
}

bool tl_source_traffic__warm(const struct tl_source *source)
{
	return traffic_of(source)->opened == traffic_of(source)->opts.flows;
}
