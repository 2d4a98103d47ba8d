/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_decode tl_flow tl_export tl_bench */
/*
 * Changed packets at full speed, one thread: conversations of all protocols, thousands of them at
 * once, of which packets are changed on their way into decoder, flow table and all analyzers.
 *
 *	corpus of conversations ─┐                                   ┌─► decode alone
 *	frames of the corpus    ─┼─► mix ─► change, drop, repeat, ───┤
 *	made traffic            ─┘          hold back                └─► all of it (fuzz/drive.h)
 *
 *	stress_mutate [CHANGED [all|decode [SEED]]]
 *
 * Runs until CHANGED packets were changed. Fails when a batch of packets, or decoding a single one,
 * took more than 10 ms of CPU time, when memory was not given back, or when what is written is not
 * as it has to be.
 *
 * On a virtual machine the clock of processor time runs on while the host has the processor. So a
 * diagnosis that took too long is made again, of the same packets: what is slow by itself is slow
 * each time.
 */
#include <dirent.h>
#include <malloc.h>

#include "fuzz/drive.h"
#include "fuzz/script.h"
#include "tapline/source.h"
#include "tapline/traffic.h"

#define CHANGED_DEFAULT	 200000u
#define CAPTURE_PACKETS	 2000000u /* of one diagnosis; then another begins */
#define SCRIPTS_AT_ONCE	 64u
#define CORPUS_MAX	 512u
#define INPUT_MAX	 65536u
#define HELD_MAX	 8u
#define LONGEST_NS	 10000000ull
#define FLOW_MEMORY	 (16u << 20)
#define TRAFFIC_FLOWS	 2000u
#define PACKET_ROOM	 (SCRIPT_PACKET_MAX + 2048u)
#define LEFT_MAX	 65536u /* bytes that libraries keep for later */
#define SANITIZED_SLOWER 20u
#define SLOW_NS		 5000ull /* decoding one packet: from here on it is measured again */
#define SLOW_AGAIN	 5u
#define CAPTURE_AGAIN	 2u /* a diagnosis with a pass above LONGEST_NS */

struct input {
	uint8_t *data;
	size_t bytes;
};

struct held {
	struct tl_packet packet;
	uint8_t *bytes;
	uint32_t behind; /* it comes after so many others */
};

struct mutate {
	struct input conversation[CORPUS_MAX], frame[CORPUS_MAX];
	uint32_t conversations, frames;
	struct script script[SCRIPTS_AT_ONCE];
	uint32_t clients;
	struct tl_source *traffic;
	uint64_t seed, random, now_ns;
	bool decode_only;
	struct drive *drive;
	struct held held[HELD_MAX];
	uint8_t *bytes; /* the packet at hand */
	uint64_t packets, changed, dropped, repeated, reordered, findings, again;
	/* Longest CPU times, as in fuzz/drive.h, where writing is not a part of them. */
	uint64_t pass_ns, expire_ns, tick_ns, judge_ns;
	uint64_t pass_wall_ns, pass_observe_ns, expire_wall_ns, expire_observe_ns;
	/* Of one packet in the decoder: by the wall clock as it came, and when nothing came
	 * between. */
	uint64_t first_ns, packet_ns, slow_packets;
	uint64_t sum;
};

static uint64_t next_random(struct mutate *m)
{
	uint64_t x = m->random += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint32_t below(struct mutate *m, uint32_t limit)
{
	return limit ? (uint32_t)((next_random(m) >> 32) * limit >> 32) : 0;
}

/* --- the corpus ------------------------------------------------------------------------------ */

static uint32_t read_folder(const char *path, struct input *ret_inputs)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	uint32_t n = 0;

	while (dir && n < CORPUS_MAX && (entry = readdir(dir))) {
		char name[512];
		FILE *f;

		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (entry->d_name[0] == '.' || !(f = fopen(name, "rb")))
			continue;
		ret_inputs[n].data = malloc(INPUT_MAX);
		drive__check(ret_inputs[n].data != NULL);
		ret_inputs[n].bytes = fread(ret_inputs[n].data, 1, INPUT_MAX, f);
		n += ret_inputs[n].bytes > 2;
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return n;
}

static bool open_corpus(struct mutate *m)
{
	const char *where = getenv("TAPLINE_CORPUS");
	char path[256];

	snprintf(path, sizeof(path), "%s/analyzers", where ? where : "fuzz/corpus");
	m->conversations = read_folder(path, m->conversation);
	snprintf(path, sizeof(path), "%s/decode", where ? where : "fuzz/corpus");
	m->frames = read_folder(path, m->frame);
	if (m->conversations && m->frames)
		return true;
	fprintf(stderr, "no corpus: run it in tests/, or set TAPLINE_CORPUS\n");
	return false;
}

static struct tl_source *open_traffic(uint64_t seed)
{
	struct tl_traffic_opts opts = {
		.flows = TRAFFIC_FLOWS,
		.new_flows = 0.02,
		.seed = seed,
		.buffer_bytes = 8u << 20,
	};
	struct tl_source *source = NULL;

	drive__check(!tl_traffic__parse_sizes("imix", &opts.sizes));
	drive__check(!tl_traffic__parse_protocols("tcp:3,udp:1,tcp6:1,udp6:1,http:4,dns:3",
						  &opts.protocols));
	drive__check(!tl_source_traffic__create(&opts, &source));
	return source;
}

/* --- where packets come from ----------------------------------------------------------------- */

static void take_bytes(struct mutate *m, const uint8_t *data, struct tl_packet *p)
{
	memcpy(m->bytes, data, p->caplen);
	p->data = m->bytes;
}

static void from_script(struct mutate *m, struct tl_packet *p)
{
	struct script *s = &m->script[below(m, SCRIPTS_AT_ONCE)];
	const struct tl_packet *made;

	while (!(made = script__next(s))) {
		const struct input *in = &m->conversation[below(m, m->conversations)];

		script__start(s, in->data + 1, in->bytes - 1, ++m->clients);
	}
	*p = *made;
	take_bytes(m, made->data, p);
}

static void from_frames(struct mutate *m, struct tl_packet *p)
{
	static const uint16_t linktypes[] = { TL_LINKTYPE_ETHERNET,  TL_LINKTYPE_NULL,
					      TL_LINKTYPE_RAW,	     TL_LINKTYPE_LOOP,
					      TL_LINKTYPE_LINUX_SLL, TL_LINKTYPE_IPV4,
					      TL_LINKTYPE_IPV6,	     TL_LINKTYPE_LINUX_SLL2 };
	const struct input *in = &m->frame[below(m, m->frames)];

	*p = (struct tl_packet){ .caplen = (uint32_t)in->bytes - 2,
				 .wirelen = (uint32_t)in->bytes - 2,
				 .linktype = linktypes[in->data[0] % 8] };
	take_bytes(m, in->data + 2, p);
}

static void from_traffic(struct mutate *m, struct tl_packet *p)
{
	int n;

	while (!(n = m->traffic->ops->poll(m->traffic, p, 1)))
		m->traffic->ops->wait(m->traffic, 0);
	drive__check(n == 1);
	take_bytes(m, p->data, p);
}

static void next_packet(struct mutate *m, struct tl_packet *p)
{
	uint32_t draw = below(m, 16);

	if (draw < 9)
		from_script(m, p);
	else if (draw < 15)
		from_traffic(m, p);
	else
		from_frames(m, p);
	/* µs between packets, now and then seconds, seldom back */
	draw = below(m, 4096);
	if (!draw)
		m->now_ns += next_random(m) % 5000000000u;
	else if (draw == 1)
		m->now_ns -= next_random(m) % 1000000000u;
	else
		m->now_ns += next_random(m) % 20000;
	p->ts_ns = m->now_ns;
}

/* --- what is changed ------------------------------------------------------------------------- */

static void flip_bits(struct mutate *m, struct tl_packet *p, uint32_t room)
{
	for (uint32_t n = 1 + below(m, 8); n--;)
		m->bytes[below(m, room)] ^= (uint8_t)(1u << below(m, 8));
	(void)p;
}

/* Lengths, offsets and counts love their limits. */
static void set_number(struct mutate *m, struct tl_packet *p, uint32_t room)
{
	static const uint16_t odd[] = { 0,    1,    2,	  0x7f,	  0x80,	  0xff,	  0x100,
					1460, 1500, 4095, 0x7fff, 0x8000, 0xfffe, 0xffff };
	uint32_t at = below(m, room);

	if (below(m, 2) && at + 1 < p->caplen)
		pb__set16(m->bytes + at, odd[below(m, 14)]);
	else
		m->bytes[at] = (uint8_t)odd[below(m, 14)];
}

static void cut(struct mutate *m, struct tl_packet *p)
{
	p->caplen = below(m, p->caplen + 1);
	if (below(m, 2))
		p->wirelen = p->caplen;
}

static void lengthen(struct mutate *m, struct tl_packet *p)
{
	uint32_t n = 1 + below(m, 600);

	for (uint32_t i = 0; i < n; i++)
		m->bytes[p->caplen + i] = (uint8_t)next_random(m);
	p->caplen += n;
	p->wirelen += n;
}

/* Random bytes as TCP options, where a plain Ethernet, IPv4, TCP packet has them. */
static void spoil_options(struct mutate *m, struct tl_packet *p)
{
	if (p->caplen < 75)
		return;
	m->bytes[46] = (uint8_t)((5 + below(m, 11)) << 4);
	for (uint32_t i = 0, n = below(m, 20); i < n; i++)
		m->bytes[54 + i] = (uint8_t)next_random(m);
}

/* Bytes of another conversation, at any place. */
static void splice(struct mutate *m, struct tl_packet *p)
{
	const struct input *in = &m->conversation[below(m, m->conversations)];
	uint32_t from = below(m, (uint32_t)in->bytes), at = below(m, p->caplen);
	uint32_t n = 1 + below(m, 200);

	if (n > in->bytes - from)
		n = (uint32_t)in->bytes - from;
	if (n > p->caplen - at)
		n = p->caplen - at;
	memcpy(m->bytes + at, in->data + from, n);
}

static void change(struct mutate *m, struct tl_packet *p)
{
	uint32_t headers = p->caplen < 80 ? p->caplen : 80;

	if (!p->caplen)
		return;
	switch (below(m, 9)) {
	case 0:
		flip_bits(m, p, headers);
		break;
	case 1:
		flip_bits(m, p, p->caplen);
		break;
	case 2:
		set_number(m, p, headers);
		break;
	case 3:
		set_number(m, p, p->caplen);
		break;
	case 4:
		cut(m, p);
		break;
	case 5:
		lengthen(m, p);
		break;
	case 6:
		spoil_options(m, p);
		break;
	case 7:
		splice(m, p);
		break;
	default:
		if (p->linktype != TL_LINKTYPE_ETHERNET)
			p->linktype = TL_LINKTYPE_ETHERNET;
		else if (p->caplen > 14)
			m->bytes[14 + below(m, p->caplen - 14)] = (uint8_t)next_random(m);
	}
	m->changed++;
}

/* --- where they go --------------------------------------------------------------------------- */

static uint64_t longer(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t decode_once(struct mutate *m, const struct tl_packet *p)
{
	struct tl_layers layers, quoted;
	struct tl_flow_key key;
	struct timespec from, to;
	uint8_t side;

	clock_gettime(CLOCK_MONOTONIC, &from);
	tl_decode(p, &layers);
	m->sum += layers.flags + (uint64_t)(tl_decode__l4_checksum_ok(p, &layers) + 1);
	if (tl_flow_key__of(&layers, &key, &side))
		m->sum += key.port[side];
	if (tl_decode__icmp_quote(p, &layers, &quoted))
		m->sum += quoted.src_port;
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (uint64_t)((to.tv_sec - from.tv_sec) * 1000000000ll + to.tv_nsec - from.tv_nsec);
}

/*
 * The clock of processor time is a system call and costs more than a packet, so that of the wall is
 * read, and what took long is done again: decoding is a pure function, an interrupt is not.
 */
static void decode_alone(struct mutate *m, const struct tl_packet *p)
{
	uint64_t first = decode_once(m, p), least = first;

	m->first_ns = longer(m->first_ns, first);
	if (first < SLOW_NS) {
		m->packet_ns = longer(m->packet_ns, first);
		return;
	}
	for (uint32_t i = 0; i < SLOW_AGAIN && least >= SLOW_NS; i++) {
		uint64_t again = decode_once(m, p);

		least = again < least ? again : least;
	}
	m->slow_packets += least >= SLOW_NS;
	m->packet_ns = longer(m->packet_ns, least);
}

static void deliver(struct mutate *m, const struct tl_packet *p)
{
	m->packets++;
	if (m->decode_only)
		decode_alone(m, p);
	else
		drive__packet(m->drive, p);
}

static void deliver_held(struct mutate *m)
{
	for (uint32_t i = 0; i < HELD_MAX; i++)
		if (m->held[i].behind && !--m->held[i].behind)
			deliver(m, &m->held[i].packet);
}

static void hold_back(struct mutate *m, const struct tl_packet *p)
{
	struct held *held = &m->held[below(m, HELD_MAX)];

	if (held->behind) {
		deliver(m, p);
		return;
	}
	memcpy(held->bytes, p->data, p->caplen);
	held->packet = *p;
	held->packet.data = held->bytes;
	held->behind = 1 + below(m, 8);
	m->reordered++;
	m->changed++;
}

/* A third of the packets come as they are, so that conversations get somewhere. */
static void one(struct mutate *m)
{
	uint32_t draw = below(m, 32);
	struct tl_packet p;

	next_packet(m, &p);
	if (draw < 18)
		change(m, &p);
	if (draw == 18) {
		m->dropped++;
		m->changed++;
	} else if (draw == 19) {
		hold_back(m, &p);
	} else {
		deliver(m, &p);
	}
	if (draw == 20) {
		deliver(m, &p);
		m->repeated++;
		m->changed++;
	}
	deliver_held(m);
}

/* --- runs ------------------------------------------------------------------------------------ */

static uint64_t longest_allowed(void)
{
	return DRIVE_OWN_MEMORY ? LONGEST_NS * SANITIZED_SLOWER : LONGEST_NS;
}

/* The slowest of a diagnosis, where slower than those before it. */
static void keep_longest(struct mutate *m, const struct drive *d)
{
	if (d->pass_ns > m->pass_ns) {
		m->pass_ns = d->pass_ns;
		m->pass_wall_ns = d->pass_wall_ns;
		m->pass_observe_ns = d->pass_observe_ns;
	}
	if (d->expire_ns > m->expire_ns) {
		m->expire_ns = d->expire_ns;
		m->expire_wall_ns = d->expire_wall_ns;
		m->expire_observe_ns = d->expire_observe_ns;
	}
	m->tick_ns = longer(m->tick_ns, d->tick_ns);
	m->judge_ns = longer(m->judge_ns, d->judge_ns);
}

/* One diagnosis: the same packets for the same seed and number. Leaves its times in `ret_times`. */
static void diagnose(struct mutate *m, uint64_t changed, uint32_t number, struct drive *ret_times)
{
	struct drive_opts opts = {
		.flow_memory = FLOW_MEMORY,
		.lose_every = number % 3 == 2 ? 7 : 0,
		.live = number & 1,
		.silent = number % 4 != 0,
	};
	uint64_t until = m->packets + CAPTURE_PACKETS;

	m->random = m->seed + ((uint64_t)number << 32);
	m->traffic = open_traffic(m->random);
	if (!m->decode_only)
		m->drive = drive__start(&opts);
	while (m->changed < changed && m->packets < until)
		one(m);
	memset(m->script, 0, sizeof(m->script));
	for (uint32_t i = 0; i < HELD_MAX; i++)
		m->held[i].behind = 0;
	m->traffic->ops->destroy(m->traffic);
	if (m->decode_only)
		return;
	drive__flush(m->drive);
	if (opts.silent || DRIVE_OWN_MEMORY)
		*ret_times = *m->drive;
	m->findings += drive__end(m->drive);
}

/* A diagnosis, and again where it took too long: the fastest of its runs is what it takes. */
static void capture(struct mutate *m, uint64_t changed, uint32_t number)
{
	struct mutate *start = malloc(sizeof(*start));
	struct drive *times = calloc(2, sizeof(*times));
	uint64_t again = m->again;

	drive__check(start && times);
	*start = *m;
	diagnose(m, changed, number, &times[0]);
	for (uint32_t i = 0; i < CAPTURE_AGAIN && times[0].pass_ns > longest_allowed(); i++) {
		printf("number %u took %.3f ms for %u packets: once more\n", number,
		       (double)times[0].pass_ns / 1e6, DRIVE_BATCH);
		*m = *start;
		again++;
		diagnose(m, changed, number, &times[1]);
		if (times[1].pass_ns < times[0].pass_ns)
			times[0] = times[1];
	}
	m->again = again;
	keep_longest(m, &times[0]);
	free(times);
	free(start);
}

static size_t allocated(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void report_passes(const struct mutate *m)
{
	printf("longest: %.3f ms of CPU time, which is what counts, for %u packets (%.3f ms by the "
	       "wall clock, %.3f ms of it the judge's); %llu diagnoses made again\n",
	       (double)m->pass_ns / 1e6, DRIVE_BATCH, (double)m->pass_wall_ns / 1e6,
	       (double)m->pass_observe_ns / 1e6, (unsigned long long)m->again);
	printf("a tick, of CPU time: %.3f ms to end flows (%.3f ms by the wall clock, of which the "
	       "judge's %.3f ms), %.3f ms of the worker, %.3f ms of the judge\n",
	       (double)m->expire_ns / 1e6, (double)m->expire_wall_ns / 1e6,
	       (double)m->expire_observe_ns / 1e6, (double)m->tick_ns / 1e6,
	       (double)m->judge_ns / 1e6);
}

static int report(const struct mutate *m, size_t left)
{
	uint64_t most = longest_allowed();

	printf("%s: %llu packets, %llu changed (%llu dropped, %llu repeated, %llu held back), "
	       "%llu findings; %zu bytes left\n",
	       m->decode_only ? "decode" : "all", (unsigned long long)m->packets,
	       (unsigned long long)m->changed, (unsigned long long)m->dropped,
	       (unsigned long long)m->repeated, (unsigned long long)m->reordered,
	       (unsigned long long)m->findings, left);
	if (m->decode_only)
		printf("longest: %.4f ms for one packet (%.3f ms with what came between), %llu "
		       "packets above %.3f ms\n",
		       (double)m->packet_ns / 1e6, (double)m->first_ns / 1e6,
		       (unsigned long long)m->slow_packets, (double)SLOW_NS / 1e6);
	else
		report_passes(m);
	return m->pass_ns > most || m->packet_ns > most || left > LEFT_MAX ? 1 : 0;
}

int main(int argc, char **argv)
{
	uint64_t changed = argc > 1 ? strtoull(argv[1], NULL, 10) : CHANGED_DEFAULT;
	struct mutate *m = calloc(1, sizeof(*m));
	size_t before = 0, left = 0;
	int rc;

	drive__check(m != NULL);
	m->decode_only = argc > 2 && !strcmp(argv[2], "decode");
	m->seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	m->bytes = malloc(PACKET_ROOM);
	m->now_ns = SCRIPT_START_NS;
	for (uint32_t i = 0; i < HELD_MAX; i++)
		m->held[i].bytes = malloc(PACKET_ROOM);
	if (!open_corpus(m))
		return 1;
	for (uint32_t i = 0; m->changed < changed; i++) {
		before = allocated();
		capture(m, changed, i);
		/* the first also makes what libraries keep for good */
		if (i && allocated() > before)
			left += allocated() - before;
	}
	rc = report(m, left);
	for (uint32_t i = 0; i < m->conversations; i++)
		free(m->conversation[i].data);
	for (uint32_t i = 0; i < m->frames; i++)
		free(m->frame[i].data);
	for (uint32_t i = 0; i < HELD_MAX; i++)
		free(m->held[i].bytes);
	free(m->bytes);
	free(m);
	return rc;
}
