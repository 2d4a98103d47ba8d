/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The recorder: what goes into which file, and when the run ends. See recorder.h for its interface,
 * encoder.h and writer.h for the two halves below it.
 *
 *   packet ─► stop? ─► rotate? ─► section and interfaces written? ─► packet block ─► stop?
 *   tick   ─► stop? ─► rotate? ─► statistics once a second ─► notes ─► flush what is old
 *
 * Invariants: `frame` counts the packets of the file at work. A packet is refused (dropped and
 * counted) whenever the file that it belongs to cannot take it right now, rotation included: no
 * packet ever goes to a file beyond that file's limits. Counters read by other threads are written
 * by this one alone.
 */
#include "tapline/recorder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "encoder.h"
#include "tapline/atomic.h"

#define NS_PER_S	 1000000000ull
#define FLUSH_NS_DEFAULT 20000000ull
#define FLUSH_IDLE_NS	 3000000ull /* sooner, while the writer has nothing to do */
#define IN_FLIGHT_MAX	 2u	    /* beyond that a flush would only use up buffers */
#define CLOCK_BACK_NS	 NS_PER_S   /* less is packets out of order */
#define INTERFACES_MAX	 1024u
#define NOTES_MAX	 16u /* that wait for a buffer */

struct recorded_interface {
	struct tl_interface description;
	struct tl_source_stats stats; /* as of the last tick */
	bool has_stats;
	uint64_t seen;	    /* packets offered to the recorder */
	uint64_t delivered; /* of those, in a file */
	uint64_t lost;	    /* since its last packet block: missed by the source or dropped here */
};

struct note {
	uint32_t interface;
	uint64_t now_ns;
	char *comment; /* owned */
};

struct tl_recorder {
	struct tl_recorder_opts opts; /* its strings are owned */
	struct tl_writer *writer;     /* owned */
	struct tl_encoder encoder;
	struct recorded_interface *interfaces; /* owned */
	uint32_t interface_count;
	struct note notes[NOTES_MAX];
	uint32_t note_count;
	struct tl_block section; /* made once: it takes a look at /proc */

	/* the file at work */
	struct tl_file_key key;
	bool has_section;
	uint32_t described; /* interfaces whose description is in it */
	uint32_t snaplen;   /* of all its interfaces */
	uint64_t frames;

	/* the run; limits that are not set are UINT64_MAX */
	uint64_t start_ns; /* first reading of the packets' clock; 0: none yet */
	uint64_t now_ns;
	uint64_t next_statistics_ns;
	uint64_t next_rotation_ns;
	uint64_t stop_ns;
	uint64_t rotate_bytes, rotate_packets;
	uint64_t stop_bytes, stop_packets, stop_files;
	uint64_t taken;
	uint64_t closed_bytes;
	bool is_limited; /* some limit is set: each packet may be the one that reaches it */
	bool stopped;
	char io[160];

	uint64_t dropped TL_CACHE_ALIGNED;
	uint32_t closed; /* released by __close, acquired by __summary: the names are final */
};

static uint64_t limit(uint64_t value)
{
	return value ? value : UINT64_MAX;
}

static uint64_t after(uint64_t start_ns, uint64_t duration_ns)
{
	return duration_ns ? start_ns + duration_ns : UINT64_MAX;
}

/* --- the file's head --------------------------------------------------------------------- */

static uint32_t largest_snaplen(const struct tl_recorder *r)
{
	uint32_t largest = 0;

	for (uint32_t i = 0; i < r->interface_count; i++)
		if (r->interfaces[i].description.snaplen > largest)
			largest = r->interfaces[i].description.snaplen;
	return largest ? largest : TL_SNAPLEN_DEFAULT;
}

/* Section and interfaces, as far as they are not in the file yet. False: no room now. */
static bool describe(struct tl_recorder *r)
{
	struct tl_block block;

	if (!r->has_section) {
		if (!tl_encoder__append(&r->encoder, &r->section, false))
			return false;
		r->has_section = true;
	}
	while (r->described < r->interface_count) {
		/* tcpdump refuses a file with two snap lengths */
		if (!r->described)
			r->snaplen = largest_snaplen(r);
		tl_block__interface(&block, &r->interfaces[r->described].description, r->snaplen);
		if (!tl_encoder__append(&r->encoder, &block, false))
			return false;
		r->described++;
		r->encoder.has_interface = true;
	}
	return true;
}

static void set_reserve(struct tl_recorder *r)
{
	r->encoder.reserve = r->interface_count * TL_BLOCK_STATISTICS_BYTES;
}

int tl_recorder__add_interface(struct tl_recorder *r, const struct tl_interface *interface)
{
	struct recorded_interface *grown;

	if (r->interface_count >= INTERFACES_MAX)
		return -E2BIG;
	grown = realloc(r->interfaces, (r->interface_count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	r->interfaces = grown;
	memset(grown + r->interface_count, 0, sizeof(*grown));
	grown[r->interface_count++].description = *interface;
	set_reserve(r);
	return 0;
}

/* --- statistics and notes ---------------------------------------------------------------- */

static uint64_t above(uint64_t value, uint64_t base)
{
	return value > base ? value - base : 0;
}

static struct tl_block_statistics interface_statistics(const struct tl_recorder *r, uint32_t i)
{
	const struct recorded_interface *f = r->interfaces + i;
	/* the source's totals are from the last tick: packets that came since count too */
	uint64_t since = above(f->seen, f->stats.captured);
	uint64_t kernel = tl_drops__total(&f->stats.dropped) - f->stats.dropped.nic;

	return (struct tl_block_statistics){
		.interface = i,
		.now_ns = r->now_ns,
		.start_ns = r->start_ns ? r->start_ns : r->now_ns,
		.has_counters = f->has_stats,
		.ifrecv = f->stats.received + since,
		.ifdrop = f->stats.dropped.nic,
		.filteraccept =
			above(f->stats.received, f->stats.filtered + f->stats.dropped.nic) + since,
		.osdrop = kernel + (f->seen - f->delivered),
		.usrdeliv = f->delivered,
	};
}

static bool append_statistics(struct tl_recorder *r, bool last)
{
	for (uint32_t i = 0; i < r->described; i++) {
		struct tl_block_statistics s = interface_statistics(r, i);
		struct tl_block block;

		tl_block__statistics(&block, &s);
		if (!tl_encoder__append(&r->encoder, &block, last))
			return false;
	}
	return true;
}

static void append_notes(struct tl_recorder *r)
{
	uint32_t done = 0;

	for (; done < r->note_count && r->notes[done].interface < r->described; done++) {
		struct note *note = r->notes + done;
		struct tl_block block;

		tl_block__note(&block, note->interface, note->now_ns, note->comment);
		if (!tl_encoder__append(&r->encoder, &block, false))
			break;
		free(note->comment);
	}
	r->note_count -= done;
	memmove(r->notes, r->notes + done, r->note_count * sizeof(r->notes[0]));
}

void tl_recorder__note(struct tl_recorder *r, uint32_t interface, uint64_t now_ns,
		       const char *comment)
{
	struct note *note = r->notes + r->note_count;

	if (tl_load_relaxed(&r->closed) || interface >= r->interface_count ||
	    r->note_count == NOTES_MAX)
		return;
	note->comment = strdup(comment);
	if (!note->comment)
		return;
	note->interface = interface;
	note->now_ns = now_ns;
	r->note_count++;
	if (describe(r))
		append_notes(r);
}

static void keep_stats(struct tl_recorder *r, const struct tl_source_stats *stats)
{
	for (uint32_t i = 0; stats && i < r->interface_count; i++) {
		r->interfaces[i].stats = stats[i];
		r->interfaces[i].has_stats = true;
	}
}

/* --- clock, rotation, stops -------------------------------------------------------------- */

static void advance_clock(struct tl_recorder *r, uint64_t now_ns)
{
	if (__builtin_expect(!r->start_ns, 0)) {
		r->start_ns = now_ns;
		r->stop_ns = after(now_ns, r->opts.stop.duration_ns);
		r->next_rotation_ns = after(now_ns, r->opts.rotate.duration_ns);
		r->next_statistics_ns = now_ns + NS_PER_S;
	}
	if (now_ns > r->now_ns) {
		r->now_ns = now_ns;
		r->encoder.now_ns = now_ns;
	}
}

static void shift(uint64_t *deadline_ns, uint64_t back_ns)
{
	if (*deadline_ns != UINT64_MAX)
		*deadline_ns = *deadline_ns > back_ns ? *deadline_ns - back_ns : 0;
}

/* The clock was set back: what was to come in a minute still comes in a minute. */
static void follow_clock_back(struct tl_recorder *r, uint64_t now_ns)
{
	uint64_t back_ns = r->now_ns - now_ns;

	shift(&r->next_statistics_ns, back_ns);
	shift(&r->next_rotation_ns, back_ns);
	shift(&r->stop_ns, back_ns);
	r->now_ns = now_ns;
}

static uint64_t final_file_bytes(const struct tl_recorder *r)
{
	return tl_encoder__file_bytes(&r->encoder) + r->encoder.reserve;
}

/* The time of the next rotation; a gap of several periods makes one file, not several. */
static void next_period(struct tl_recorder *r, bool by_time)
{
	uint64_t duration = r->opts.rotate.duration_ns;

	if (!duration)
		return;
	if (r->opts.naming == TL_NAME_DUMPCAP) /* its clock begins anew with each file */
		r->next_rotation_ns = (by_time ? r->next_rotation_ns : r->now_ns) + duration;
	else if (by_time) /* tcpdump's -G goes on beside -C */
		r->next_rotation_ns += duration;
	if (r->next_rotation_ns <= r->now_ns)
		r->next_rotation_ns +=
			((r->now_ns - r->next_rotation_ns) / duration + 1) * duration;
}

static void next_key(struct tl_recorder *r, bool by_time)
{
	uint64_t ring = r->opts.stop_after_files ? 0 : r->opts.rotate.files;

	r->key.now_ns = r->now_ns;
	r->key.number++;
	r->key.counter = by_time && r->opts.naming == TL_NAME_STRFTIME ? 0 : r->key.counter + 1;
	if (ring)
		r->key.counter %= ring;
}

/* False: not now (no buffer for the final statistics), or the run has ended with this file. */
static bool rotate(struct tl_recorder *r, bool by_time)
{
	if (r->key.number >= r->stop_files) {
		r->stopped = true;
		return false;
	}
	if (!describe(r) || !tl_encoder__room(&r->encoder, r->encoder.reserve, true))
		return false;
	append_statistics(r, true);
	next_key(r, by_time);
	next_period(r, by_time);
	r->closed_bytes += tl_encoder__file_bytes(&r->encoder);
	tl_encoder__end_file(&r->encoder, &r->key);
	r->has_section = false;
	r->described = 0;
	r->frames = 0;
	(void)describe(r); /* without room now, it is tried again before the next block */
	return true;
}

/*
 * tcpdump looks before it writes a packet whether the file is larger than its limit, dumpcap
 * begins another once a packet has reached it; with lazy opening both are a test before the packet.
 */
static bool is_full(const struct tl_recorder *r)
{
	return r->frames >= r->rotate_packets ||
	       (r->frames && final_file_bytes(r) >= r->rotate_bytes);
}

static void stop_after_packet(struct tl_recorder *r)
{
	if (++r->taken >= r->stop_packets)
		r->stopped = true;
	if (r->stop_bytes != UINT64_MAX && r->closed_bytes + final_file_bytes(r) >= r->stop_bytes)
		r->stopped = true;
}

/* --- packets ----------------------------------------------------------------------------- */

static bool encode(struct tl_recorder *r, struct tl_packet *packet, struct recorded_interface *f)
{
	uint64_t lost = f->lost;
	uint64_t bytes = tl_block__packet_bytes(packet, lost);
	uint8_t *at = tl_encoder__room(&r->encoder, bytes, false);

	if (__builtin_expect(!at, 0))
		return false;
	tl_block__packet(at, (uint32_t)bytes, packet, lost);
	tl_encoder__commit(&r->encoder, (uint32_t)bytes, 1);
	packet->frame = ++r->frames;
	f->delivered++;
	f->lost = 0;
	return true;
}

static void drop(struct tl_recorder *r, struct tl_packet *packet, struct recorded_interface *f)
{
	packet->frame = 0;
	tl_counter_add(&r->dropped, 1);
	if (f)
		f->lost++;
}

static void take(struct tl_recorder *r, struct tl_packet *packet)
{
	struct recorded_interface *f;

	if (__builtin_expect(packet->interface >= r->described, 0))
		(void)describe(r);
	if (packet->interface >= r->interface_count) {
		drop(r, packet, NULL);
		return;
	}
	f = r->interfaces + packet->interface;
	f->seen++;
	if (__builtin_expect(packet->flags & TL_PACKET_AFTER_LOSS || packet->lost_before, 0))
		f->lost += packet->lost_before ? packet->lost_before : 1;
	if (packet->interface >= r->described || !encode(r, packet, f))
		drop(r, packet, f);
}

/* False: the run is over, and the packet is not taken. */
static bool take_or_stop(struct tl_recorder *r, struct tl_packet *packet)
{
	struct recorded_interface *from = NULL;
	bool by_time;

	advance_clock(r, packet->ts_ns);
	if (!r->is_limited) {
		take(r, packet);
		return true;
	}
	if (packet->ts_ns >= r->stop_ns) {
		r->stopped = true;
		return false;
	}
	by_time = packet->ts_ns >= r->next_rotation_ns;
	if (__builtin_expect((by_time || is_full(r)) && !rotate(r, by_time), 0)) {
		if (r->stopped)
			return false;
		if (packet->interface < r->interface_count)
			from = &r->interfaces[packet->interface];
		if (from)
			from->seen++;
		drop(r, packet, from);
	} else {
		take(r, packet);
	}
	stop_after_packet(r);
	return true;
}

static void flush_if_due(struct tl_recorder *r)
{
	uint64_t age;
	uint32_t in_flight;

	if (!r->encoder.since_ns)
		return;
	age = tl_encoder__monotonic_ns() - r->encoder.since_ns;
	if (age < FLUSH_IDLE_NS && age < r->opts.flush_ns && !r->opts.packet_buffered)
		return;
	in_flight = tl_encoder__in_flight(&r->encoder);
	if (!in_flight ||
	    ((age >= r->opts.flush_ns || r->opts.packet_buffered) && in_flight <= IN_FLIGHT_MAX))
		tl_encoder__submit(&r->encoder);
}

static bool writer_failed(const struct tl_recorder *r)
{
	return tl_load_acquire(&r->writer->state) == TL_WRITER_FAILED;
}

uint32_t tl_recorder__write(struct tl_recorder *r, struct tl_packet *packets, uint32_t n)
{
	uint32_t taken = 0;

	if (writer_failed(r))
		r->stopped = true;
	if (r->note_count && describe(r))
		append_notes(r);
	while (taken < n && !r->stopped && take_or_stop(r, packets + taken))
		taken++;
	for (uint32_t i = taken; i < n; i++)
		packets[i].frame = 0;
	flush_if_due(r);
	return taken;
}

bool tl_recorder__tick(struct tl_recorder *r, uint64_t now_ns, const struct tl_source_stats *stats)
{
	keep_stats(r, stats);
	if (now_ns == UINT64_MAX) /* a file's watermark at its end: no time passes */
		now_ns = r->now_ns;
	if (now_ns + CLOCK_BACK_NS < r->now_ns)
		follow_clock_back(r, now_ns);
	advance_clock(r, now_ns);
	if (now_ns >= r->stop_ns || writer_failed(r))
		r->stopped = true;
	if (!r->stopped && now_ns >= r->next_rotation_ns)
		(void)rotate(r, true);
	if (describe(r)) {
		append_notes(r);
		if (now_ns >= r->next_statistics_ns && append_statistics(r, false))
			r->next_statistics_ns = now_ns + NS_PER_S;
	}
	flush_if_due(r);
	return r->stopped;
}

bool tl_recorder__stopped(const struct tl_recorder *r)
{
	return r->stopped;
}

/* --- life -------------------------------------------------------------------------------- */

static int copy_string(const char **string)
{
	if (*string && !(*string = strdup(*string)))
		return -ENOMEM;
	return 0;
}

static int copy_opts(struct tl_recorder *r, const struct tl_recorder_opts *opts)
{
	int err;

	r->opts = *opts;
	r->opts.path = NULL;
	r->opts.application = NULL;
	r->opts.owner = NULL;
	if (!opts->path || !opts->path[0])
		return -EINVAL;
	r->opts.path = opts->path;
	err = copy_string(&r->opts.path);
	r->opts.application = opts->application ? opts->application : "Tapline " TAPLINE_VERSION;
	err = err ? err : copy_string(&r->opts.application);
	r->opts.owner = opts->owner;
	err = err ? err : copy_string(&r->opts.owner);
	if (!r->opts.flush_ns)
		r->opts.flush_ns = FLUSH_NS_DEFAULT;
	return err;
}

static bool is_set(const struct tl_recorder_limits *limits)
{
	return limits->bytes || limits->packets || limits->duration_ns || limits->files;
}

static void set_limits(struct tl_recorder *r)
{
	const struct tl_recorder_limits *stop = &r->opts.stop;
	uint64_t ring_files = r->opts.stop_after_files ? limit(r->opts.rotate.files) : UINT64_MAX;

	r->rotate_bytes = limit(r->opts.rotate.bytes);
	r->rotate_packets = limit(r->opts.rotate.packets);
	r->stop_bytes = limit(stop->bytes);
	r->stop_packets = limit(stop->packets);
	r->stop_files = limit(stop->files) < ring_files ? limit(stop->files) : ring_files;
	r->stop_ns = UINT64_MAX;
	r->next_rotation_ns = UINT64_MAX;
	r->next_statistics_ns = UINT64_MAX;
	r->is_limited = is_set(stop) || is_set(&r->opts.rotate);
}

static int start(struct tl_recorder *r, struct tl_error *ret_error)
{
	struct timespec now;
	int err;

	clock_gettime(CLOCK_REALTIME, &now);
	r->key.now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	r->key.number = 1;
	err = tl_writer__create(&r->opts, &r->key, ret_error, &r->writer);
	if (err)
		return err;
	tl_disk__describe(&r->writer->disk, r->io, sizeof(r->io));
	err = tl_encoder__init(&r->encoder, r->writer);
	if (err)
		return err;
	r->encoder.may_wait = r->opts.may_wait;
	r->encoder.now_ns = r->key.now_ns;
	set_reserve(r);
	tl_block__section(&r->section, r->opts.application);
	(void)describe(r); /* every buffer is free */
	tl_encoder__submit(&r->encoder);
	err = tl_writer__wait_started(r->writer);
	if (err)
		snprintf(ret_error->what, sizeof(ret_error->what), "%s", r->writer->error);
	return err;
}

int tl_recorder__create(const struct tl_recorder_opts *opts, const struct tl_interface *interfaces,
			uint32_t interface_count, struct tl_error *ret_error,
			struct tl_recorder **ret_recorder)
{
	struct tl_recorder *r = aligned_alloc(TL_CACHE_LINE, sizeof(*r));
	int err = -ENOMEM;

	ret_error->what[0] = 0;
	if (r) {
		memset(r, 0, sizeof(*r));
		err = copy_opts(r, opts);
		set_limits(r);
	}
	for (uint32_t i = 0; !err && i < interface_count; i++)
		err = tl_recorder__add_interface(r, interfaces + i);
	if (!err)
		err = start(r, ret_error);
	if (err) {
		if (!ret_error->what[0])
			snprintf(ret_error->what, sizeof(ret_error->what), "%.160s: %s",
				 opts->path ? opts->path : "", strerror(-err));
		tl_recorder__destroy(r);
		return err;
	}
	*ret_recorder = r;
	return 0;
}

int tl_recorder__close(struct tl_recorder *r, uint64_t now_ns, const struct tl_source_stats *stats)
{
	struct tl_command quit = { .kind = TL_COMMAND_QUIT };

	if (!tl_load_relaxed(&r->closed)) {
		keep_stats(r, stats);
		if (now_ns && now_ns != UINT64_MAX)
			advance_clock(r, now_ns);
		tl_writer__set_closing(r->writer);
		r->encoder.may_wait = true; /* the writer frees every buffer, one way or another */
		(void)describe(r);
		append_notes(r);
		append_statistics(r, true);
		tl_encoder__end_file(&r->encoder, NULL);
		(void)tl_writer__push(r->writer, &quit);
		tl_writer__join(r->writer);
		tl_store_release(&r->closed, 1);
		r->stopped = true;
	}
	return tl_load_relaxed(&r->writer->first_error);
}

void tl_recorder__summary(const struct tl_recorder *r, struct tl_recorder_summary *ret_summary)
{
	struct tl_writer *w = r->writer;

	memset(ret_summary, 0, sizeof(*ret_summary));
	ret_summary->written = tl_load_relaxed(&w->written);
	ret_summary->dropped_writer = tl_load_relaxed(&r->dropped) + tl_load_relaxed(&w->dropped);
	ret_summary->written_bytes = tl_load_relaxed(&w->written_bytes);
	ret_summary->first_error = tl_load_relaxed(&w->first_error);
	memcpy(ret_summary->io, r->io, sizeof(ret_summary->io));
	pthread_mutex_lock(&w->error_lock);
	memcpy(ret_summary->error, w->error, sizeof(ret_summary->error));
	pthread_mutex_unlock(&w->error_lock);
	pthread_mutex_lock(&w->files.lock);
	ret_summary->file_count = w->files.count;
	ret_summary->files_deleted = w->files.deleted;
	ret_summary->files = tl_load_acquire(&r->closed) ? w->files.names : NULL;
	pthread_mutex_unlock(&w->files.lock);
}

void tl_recorder__destroy(struct tl_recorder *r)
{
	if (!r)
		return;
	if (r->writer && r->encoder.free)
		(void)tl_recorder__close(r, 0, NULL);
	tl_writer__destroy(r->writer);
	tl_encoder__fini(&r->encoder);
	for (uint32_t i = 0; i < r->note_count; i++)
		free(r->notes[i].comment);
	free(r->interfaces);
	free((char *)r->opts.path);
	free((char *)r->opts.application);
	free((char *)r->opts.owner);
	free(r);
}
