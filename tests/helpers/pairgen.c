/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two captures of one path, of which everything is known: for `tapline compare`.
 *
 *	client ──── A ════ delays, losses, NAT, … ════ B ──── server
 *
 *	helper_pairgen A.pcap B.pcap [NAME=NUMBER…]
 *
 *	packets=N     of both directions (100000)     rate=N       in a second (100000)
 *	up_us=N       A to B takes so long (300)      down_us=N    B to A (300)
 *	jitter_us=N   and up to so much more (200)    flows=N      (1000)
 *	offset_ns=N   B's clock less A's, at first    drift_ppb=N  B's clock gains on A's
 *	lose_up=N     one in N does not reach B       lose_down=N  one in N does not reach A
 *	alter=N       the Nth packet has another payload behind the path, the checksum put right
 *	nat=1         another client address at B     vlan=N       a tag at B
 *	twice=N       one in N is twice in B          snap_b=N     B's snapshot length
 *	late_b=MS     B begins so much later          early_b=MS   B ends so much earlier
 *	usec_a=1      A's times in µs                 seed=N       of payloads, numbers and jitter
 *
 * Prints what is true of them, as NAME=NUMBER.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/packet_builder.h"

#define HEADERS	    66u
#define PAYLOAD	    96u
#define FRAME	    (HEADERS + 4 + PAYLOAD)
#define QUEUE	    262144u
#define START_NS    1795341600000000000ull
#define US	    1000ull
#define CLIENT	    0x0a000105u
#define NAT_ADDRESS 0xcb007109u
#define SERVER	    0xc0000214u

enum name {
	PACKETS,
	RATE,
	UP_US,
	DOWN_US,
	JITTER_US,
	FLOWS,
	OFFSET_NS,
	DRIFT_PPB,
	LOSE_UP,
	LOSE_DOWN,
	ALTER,
	NAT,
	VLAN,
	TWICE,
	SNAP_B,
	LATE_B,
	EARLY_B,
	USEC_A,
	SEED,
	NAMES
};

static const char *const names[NAMES] = {
	"packets",   "rate",	"up_us",     "down_us", "jitter_us", "flows", "offset_ns",
	"drift_ppb", "lose_up", "lose_down", "alter",	"nat",	     "vlan",  "twice",
	"snap_b",    "late_b",	"early_b",   "usec_a",	"seed",
};

static long long option[NAMES] = {
	[PACKETS] = 100000, [RATE] = 100000, [UP_US] = 300,    [DOWN_US] = 300,
	[JITTER_US] = 200,  [FLOWS] = 1000,  [SNAP_B] = 65535, [SEED] = 1,
};

struct packet {
	uint64_t number;
	uint64_t sent_ns;
	uint64_t ns; /* when it passes the point, true time */
	uint32_t flow, seq, ack;
	bool up;
};

/* One point: what is seen at once, and what comes behind the path, in order of time. */
struct point {
	FILE *out;
	bool is_b;
	struct packet *queue; /* owned; [QUEUE] */
	uint64_t first, count;
	uint64_t last_ns; /* of the queue: nothing overtakes */
	uint64_t written;
};

static uint64_t random_state, end_ns, altered, lost[2], doubled;

static uint64_t next_random(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static void fail(const char *why)
{
	fprintf(stderr, "pairgen: %s\n", why);
	exit(1);
}

/* --- frames ---------------------------------------------------------------------------------- */

static void fill_payload(const struct packet *p, uint8_t *at)
{
	uint64_t x = p->number * 0x9e3779b97f4a7c15ull + (uint64_t)option[SEED];

	for (uint32_t i = 0; i < PAYLOAD; i += 8) {
		x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9ull;
		memcpy(at + i, &x, 8);
	}
}

/* As it looks at a point; `behind`: the path is behind it. Its length. */
static uint32_t make_frame(const struct point *at, const struct packet *p, bool behind, uint8_t *f)
{
	uint32_t client = at->is_b && option[NAT] ? NAT_ADDRESS : CLIENT, l3 = 14, sum;
	uint16_t port = (uint16_t)(20000 + p->flow);
	uint8_t *ip, *tcp;

	memcpy(f, "\2\0\0\0\0\2\2\0\0\0\0\1\x08\0", 14);
	if (at->is_b && option[VLAN]) {
		pb__set16(f + 12, 0x8100);
		pb__set16(f + 14, (uint32_t)option[VLAN]);
		pb__set16(f + 16, 0x0800);
		l3 = 18;
	}
	ip = f + l3;
	tcp = ip + 20;
	memset(ip, 0, 52);
	ip[0] = 0x45;
	pb__set16(ip + 2, 52 + PAYLOAD);
	pb__set16(ip + 4, (uint32_t)(p->number / 2 % 65535 + 1));
	ip[6] = 0x40;
	ip[8] = behind ? 63 : 64;
	ip[9] = 6;
	pb__set32(ip + 12, p->up ? client : SERVER);
	pb__set32(ip + 16, p->up ? SERVER : client);
	pb__set16(ip + 10, ~pb__sum(ip, 20, 0));
	pb__set16(tcp, p->up ? port : 443);
	pb__set16(tcp + 2, p->up ? 443 : port);
	pb__set32(tcp + 4, p->seq);
	pb__set32(tcp + 8, p->ack);
	tcp[12] = 0x80;
	tcp[13] = TL_TCP_ACK | TL_TCP_PSH;
	pb__set16(tcp + 14, 512);
	memcpy(tcp + 20, "\1\1\x08\x0a", 4);
	pb__set32(tcp + 24, (uint32_t)(p->sent_ns / 1000000));
	fill_payload(p, tcp + 32);
	if (behind && p->number == (uint64_t)option[ALTER]) {
		tcp[32 + 60] ^= 0x20;
		altered++;
	}
	sum = pb__sum(ip + 12, 8, 6 + 32 + PAYLOAD);
	pb__set16(tcp + 16, ~pb__sum(tcp, 32 + PAYLOAD, sum));
	return l3 + 52 + PAYLOAD;
}

/* --- files ----------------------------------------------------------------------------------- */

static void open_point(struct point *at, const char *path, bool is_b)
{
	uint32_t head[6] = { !is_b && option[USEC_A] ? 0xa1b2c3d4 : 0xa1b23c4d, 4u << 16 | 2 };

	*at = (struct point){ .out = fopen(path, "wb"), .is_b = is_b };
	at->queue = malloc(QUEUE * sizeof(*at->queue));
	if (!at->out || !at->queue)
		fail(path);
	setvbuf(at->out, NULL, _IOFBF, 1 << 20);
	head[4] = is_b ? (uint32_t)option[SNAP_B] : 65535;
	head[5] = TL_LINKTYPE_ETHERNET;
	fwrite(head, 1, sizeof(head), at->out);
}

static void write_packet(struct point *at, const struct packet *p, bool behind)
{
	uint64_t since = p->ns - START_NS, ns = p->ns;
	bool usec = !at->is_b && option[USEC_A];
	uint8_t frame[FRAME];
	uint32_t head[4];

	if (at->is_b &&
	    (since < (uint64_t)option[LATE_B] * 1000 * US ||
	     (option[EARLY_B] && p->ns + (uint64_t)option[EARLY_B] * 1000 * US > end_ns)))
		return;
	if (at->is_b)
		ns += (uint64_t)option[OFFSET_NS] +
		      (uint64_t)((double)since * (double)option[DRIFT_PPB] / 1e9);
	head[3] = make_frame(at, p, behind, frame);
	head[2] = at->is_b && head[3] > option[SNAP_B] ? (uint32_t)option[SNAP_B] : head[3];
	head[0] = (uint32_t)(ns / 1000000000u);
	head[1] = (uint32_t)(ns % 1000000000u / (usec ? 1000 : 1));
	for (int i = 0;
	     i < 1 + (at->is_b && option[TWICE] && p->number % (uint64_t)option[TWICE] == 7); i++) {
		fwrite(head, 1, sizeof(head), at->out);
		fwrite(frame, 1, head[2], at->out);
		at->written++;
		doubled += (uint64_t)i;
	}
}

static void arrive(struct point *at, uint64_t until_ns)
{
	while (at->count && at->queue[at->first % QUEUE].ns <= until_ns) {
		write_packet(at, &at->queue[at->first % QUEUE], true);
		at->first++;
		at->count--;
	}
}

static void send_on(struct point *at, const struct packet *p, long long delay_us)
{
	struct packet *q = &at->queue[(at->first + at->count) % QUEUE];
	uint64_t jitter_ns = (uint64_t)option[JITTER_US] * US;

	if (at->count == QUEUE)
		fail("too many on their way: a smaller delay, or a lower rate");
	*q = *p;
	q->ns += (uint64_t)delay_us * US + (jitter_ns ? next_random() % jitter_ns : 0);
	if (q->ns <= at->last_ns)
		q->ns = at->last_ns + 1;
	at->last_ns = q->ns;
	at->count++;
}

/* --- the run --------------------------------------------------------------------------------- */

static bool is_lost(const struct packet *p)
{
	uint64_t each = (uint64_t)option[p->up ? LOSE_UP : LOSE_DOWN];

	return each && p->number / 2 % each == each / 2;
}

static void run(struct point points[2])
{
	uint32_t(*seq)[2] = calloc((size_t)option[FLOWS], sizeof(*seq));

	if (!seq)
		fail("out of memory");
	for (uint64_t i = 0; i < 2 * (uint64_t)option[FLOWS]; i++)
		seq[i / 2][i % 2] = (uint32_t)next_random();
	for (uint64_t n = 0; n < (uint64_t)option[PACKETS]; n++) {
		struct packet p = { .number = n, .up = n % 2 == 0 };
		struct point *near = &points[!p.up], *far = &points[p.up];

		p.ns = START_NS + n * 1000000000u / (uint64_t)option[RATE];
		p.flow = (uint32_t)(n / 2 % (uint64_t)option[FLOWS]);
		p.seq = seq[p.flow][!p.up];
		p.ack = seq[p.flow][p.up];
		seq[p.flow][!p.up] += PAYLOAD;
		p.sent_ns = p.ns;
		arrive(&points[0], p.ns);
		arrive(&points[1], p.ns);
		write_packet(near, &p, false);
		if (is_lost(&p))
			lost[!p.up]++;
		else
			send_on(far, &p, option[p.up ? UP_US : DOWN_US]);
	}
	arrive(&points[0], UINT64_MAX);
	arrive(&points[1], UINT64_MAX);
	free(seq);
}

static void read_option(const char *text)
{
	const char *value = strchr(text, '=');

	for (int i = 0; value && i < NAMES; i++) {
		if (strlen(names[i]) != (size_t)(value - text) ||
		    strncmp(names[i], text, (size_t)(value - text)))
			continue;
		option[i] = strtoll(value + 1, NULL, 10);
		return;
	}
	fail(text);
}

int main(int argc, char **argv)
{
	struct point points[2];

	if (argc < 3)
		fail("which files?");
	option[ALTER] = -1;
	for (int i = 3; i < argc; i++)
		read_option(argv[i]);
	random_state = (uint64_t)option[SEED];
	end_ns = START_NS + (uint64_t)option[PACKETS] * 1000000000u / (uint64_t)option[RATE];
	for (int i = 0; i < 2; i++)
		open_point(&points[i], argv[1 + i], i == 1);
	run(points);
	for (int i = 0; i < 2; i++) {
		free(points[i].queue);
		if (fclose(points[i].out))
			fail(argv[1 + i]);
	}
	printf("in_a=%llu\nin_b=%llu\nlost_up=%llu\nlost_down=%llu\naltered=%llu\ndoubled=%llu\n",
	       (unsigned long long)points[0].written, (unsigned long long)points[1].written,
	       (unsigned long long)lost[0], (unsigned long long)lost[1],
	       (unsigned long long)altered, (unsigned long long)doubled);
	return 0;
}
