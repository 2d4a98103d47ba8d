/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See shared_file.h. */
#include "shared_file.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "share.h"
#include "tapline/engine.h"
#include "tapline/ticks.h"

#define PIECES	   16u	/* a power of two */
#define PIECE_ROOM 512u /* packets */
#define AHEAD	   2u	/* pieces that a port likes to have before it */
#define SPINS	   256u
#define NAP_NS	   20000

/* The time goes over a tick (tapline/ticks.h) with the packet at that place in the file's order. */
struct step {
	uint64_t ts_ns;
	uint32_t place;
};

struct piece {
	uint32_t start[TL_WORKERS_MAX + 1]; /* packets of port i: from start[i] to start[i + 1] */
	uint64_t given[TL_WORKERS_MAX];	    /* to port i, up to the end of this piece */
	uint64_t total;			    /* of the file, up to here */
	struct shared_span span;
	uint32_t steps;
	struct step step[PIECE_ROOM];
	uint32_t place[PIECE_ROOM]; /* of each packet, in the piece as the file has it */
	struct tl_packet packet[PIECE_ROOM];
};

struct port {
	struct tl_source base; /* with `released` */
	struct shared_file *shared;
	uint32_t index;
	uint32_t at;	   /* packets of the piece that it has got */
	uint32_t step;	   /* of the piece, that it has taken */
	uint64_t clock_ns; /* the newest of them all */
	struct shared_span span;
	bool is_held_up;
	uint64_t passed TL_CACHE_ALIGNED; /* pieces that it is done with */
};

struct shared_file {
	struct tl_source *file;
	uint32_t count;
	struct port *port;   /* [count] */
	struct piece *piece; /* [PIECES] */

	pthread_mutex_t lock; /* of all that reads on, which is what follows */
	uint64_t settled;     /* pieces that all ports have given back */
	struct tl_ticks ticks;
	struct tl_packet packet[PIECE_ROOM];
	uint8_t owner[PIECE_ROOM];

	uint64_t filled TL_CACHE_ALIGNED; /* pieces so far */
	int ended;			  /* -errno of the file's last poll */
};

static struct port *port_of(const struct tl_source *source)
{
	return (struct port *)(uintptr_t)source;
}

static struct piece *piece_at(const struct shared_file *s, uint64_t number)
{
	return &s->piece[number & (PIECES - 1)];
}

/* --- reading on, with the lock ---------------------------------------------------------------- */

static bool is_given_back(struct shared_file *s, uint64_t number)
{
	const struct piece *piece = piece_at(s, number);

	for (uint32_t i = 0; i < s->count; i++)
		if (tl_load_acquire(&s->port[i].passed) <= number ||
		    tl_load_acquire(&s->port[i].base.released) < piece->given[i])
			return false;
	return true;
}

static void settle(struct shared_file *s)
{
	uint64_t total = s->file->released;

	while (s->settled < s->filled && is_given_back(s, s->settled))
		total = piece_at(s, s->settled++)->total;
	if (total > s->file->released)
		tl_source__release(s->file, total - s->file->released);
}

/* Sorts `n` packets by owner into the piece; `before` it is another, or NULL. */
static void sort(struct shared_file *s, struct piece *piece, const struct piece *before, uint32_t n)
{
	uint32_t at[TL_WORKERS_MAX + 1] = { 0 };

	for (uint32_t i = 0; i < n; i++) {
		s->owner[i] = (uint8_t)share__owner(&s->packet[i], s->count);
		at[s->owner[i] + 1]++;
	}
	for (uint32_t i = 0; i < s->count; i++) {
		piece->given[i] = (before ? before->given[i] : 0) + at[i + 1];
		at[i + 1] += at[i];
		piece->start[i] = at[i];
	}
	piece->start[s->count] = n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t to = at[s->owner[i]]++;

		piece->packet[to] = s->packet[i];
		piece->place[to] = i;
	}
}

/* What a lone worker's ticks would go by. */
static void note_steps(struct shared_file *s, struct piece *piece, uint32_t n)
{
	uint64_t tick_ns;

	piece->steps = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t ts_ns = s->packet[i].ts_ns;

		if (s->ticks.now_ns && tl_ticks__covers(&s->ticks, ts_ns))
			continue;
		if (!s->ticks.now_ns)
			tl_ticks__begin(&s->ticks, tl_ticks__before(ts_ns));
		while (tl_ticks__next(&s->ticks, ts_ns, true, &tick_ns))
			;
		tl_ticks__hear(&s->ticks);
		piece->step[piece->steps++] = (struct step){ ts_ns, i };
	}
}

static void note_span(const struct shared_file *s, struct piece *piece, const struct piece *before,
		      uint32_t n)
{
	piece->span =
		before ? before->span : (struct shared_span){ .first_ns = s->packet[0].ts_ns };
	piece->span.last_ns = s->packet[n - 1].ts_ns;
	for (uint32_t i = 0; i < n; i++)
		if (s->packet[i].ts_ns > piece->span.newest_ns)
			piece->span.newest_ns = s->packet[i].ts_ns;
}

/* One piece more. False: all slots are in use. */
static bool read_on(struct shared_file *s)
{
	const struct piece *before = s->filled ? piece_at(s, s->filled - 1) : NULL;
	struct piece *piece = piece_at(s, s->filled);
	int n;

	settle(s);
	if (s->filled - s->settled == PIECES)
		return false;
	if (s->ended)
		return true;
	n = tl_source__poll(s->file, s->packet, PIECE_ROOM);
	if (n < 0)
		tl_store_release(&s->ended, n);
	if (n <= 0)
		return true;
	sort(s, piece, before, (uint32_t)n);
	note_steps(s, piece, (uint32_t)n);
	note_span(s, piece, before, (uint32_t)n);
	piece->total = (before ? before->total : 0) + (uint32_t)n;
	tl_store_release(&s->filled, s->filled + 1);
	return true;
}

/* --- a port ----------------------------------------------------------------------------------- */

static uint64_t pieces_ahead(const struct port *port)
{
	return tl_load_acquire(&port->shared->filled) - port->passed;
}

static void look_ahead(struct port *port)
{
	struct shared_file *s = port->shared;

	port->is_held_up = false;
	if (pieces_ahead(port) >= AHEAD || tl_load_relaxed(&s->ended) ||
	    pthread_mutex_trylock(&s->lock))
		return;
	if (pieces_ahead(port) < AHEAD)
		port->is_held_up = !read_on(s) && !pieces_ahead(port);
	pthread_mutex_unlock(&s->lock);
}

static void pass(struct port *port, const struct piece *piece)
{
	port->span = piece->span;
	port->at = port->step = 0;
	tl_store_release(&port->passed, port->passed + 1);
}

/* Of the next piece, which is there: its packets up to the next step of the clock, or that. */
static uint32_t hand_out(struct port *port, struct tl_packet *packets, uint32_t max)
{
	const struct piece *piece = piece_at(port->shared, port->passed);
	const struct step *step = port->step < piece->steps ? &piece->step[port->step] : NULL;
	uint32_t from = piece->start[port->index] + port->at;
	uint32_t left = piece->start[port->index + 1] - from;
	uint32_t n = left < max ? left : max;

	if (step) {
		uint32_t before = 0;

		while (before < n && piece->place[from + before] < step->place)
			before++;
		n = before;
	}
	memcpy(packets, &piece->packet[from], n * sizeof(*packets));
	port->at += n;
	if (step && !n) {
		port->clock_ns = step->ts_ns;
		port->step++;
	} else if (!step && n == left) {
		pass(port, piece);
	}
	return n;
}

/* A step comes alone, without packets: it is the watermark by then. */
static int port_poll(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	struct port *port = port_of(source);
	uint64_t clock_ns = port->clock_ns;
	uint32_t n = 0;
	int ended;

	look_ahead(port);
	ended = tl_load_acquire(&port->shared->ended);
	while (!n && clock_ns == port->clock_ns && pieces_ahead(port))
		n = hand_out(port, packets, max);
	return n || clock_ns != port->clock_ns ? (int)n : ended;
}

/* Until whoever reads has read; there is no more to wait for where a file is the source. */
static int port_wait(struct tl_source *source, int timeout_ms)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	struct port *port = port_of(source);
	struct shared_file *s = port->shared;

	(void)timeout_ms;
	for (uint32_t i = 0; i < SPINS && !pieces_ahead(port); i++)
		tl_cpu_relax();
	if (pieces_ahead(port) || tl_load_relaxed(&s->ended))
		return 0;
	if (port->is_held_up) {
		nanosleep(&nap, NULL);
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static uint64_t port_watermark(struct tl_source *source)
{
	return port_of(source)->clock_ns;
}

static int port_stats(struct tl_source *source, struct tl_source_stats *ret_stats)
{
	struct tl_source *file = port_of(source)->shared->file;

	return file->ops->stats(file, ret_stats);
}

static int port_stop(struct tl_source *source)
{
	struct tl_source *file = port_of(source)->shared->file;

	return file->ops->stop(file);
}

static void port_destroy(struct tl_source *source)
{
	(void)source;
}

static const struct tl_source_ops port_ops = {
	.name = "file",
	.poll = port_poll,
	.wait = port_wait,
	.watermark = port_watermark,
	.stats = port_stats,
	.stop = port_stop,
	.destroy = port_destroy,
};

/* --- outside ---------------------------------------------------------------------------------- */

int shared_file__create(struct tl_source *file, uint32_t count, struct shared_file **ret_shared)
{
	struct shared_file *s = aligned_alloc(TL_CACHE_LINE, sizeof(*s));

	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->count = count;
	pthread_mutex_init(&s->lock, NULL);
	s->piece = aligned_alloc(TL_CACHE_LINE, PIECES * sizeof(*s->piece));
	s->port = aligned_alloc(TL_CACHE_LINE, count * sizeof(*s->port));
	if (!s->piece || !s->port) {
		shared_file__destroy(s);
		return -ENOMEM;
	}
	memset(s->port, 0, count * sizeof(*s->port));
	for (uint32_t i = 0; i < count; i++) {
		s->port[i].base.ops = &port_ops;
		s->port[i].shared = s;
		s->port[i].index = i;
	}
	s->file = file;
	*ret_shared = s;
	return 0;
}

void shared_file__destroy(struct shared_file *shared)
{
	if (!shared)
		return;
	tl_source__destroy(shared->file);
	pthread_mutex_destroy(&shared->lock);
	free(shared->piece);
	free(shared->port);
	free(shared);
}

struct tl_source *shared_file__port(struct shared_file *shared, uint32_t index)
{
	return &shared->port[index].base;
}

const struct tl_source *shared_file__source(const struct shared_file *shared)
{
	return shared->file;
}

struct shared_span shared_port__span(const struct tl_source *port)
{
	return port_of(port)->span;
}

bool shared_port__is_held_up(const struct tl_source *port)
{
	return port_of(port)->is_held_up;
}
