/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A wire between two interfaces that delays, reorders and loses what passes, with a tap in it, and
 * writes down what became of each frame of the server's: the truth for bench/e2e_verdicts_linux.sh.
 *
 *   SERVER_IF ── delay, reordering, loss "before" ──► TAP ── queue, delay, loss "after" ──►
 * CLIENT_IF SERVER_IF ◄─── delay, loss ───────────────────── TAP ◄─── delay, loss ─────────────────
 * CLIENT_IF
 *
 *   lossy_wire CLIENT_IF SERVER_IF TAP.pcap TRUTH [NAME=VALUE…]      until SIGINT or SIGTERM
 *
 * Names, with times in µs and chances in ‰: delay_before, delay_after, loss_before, loss_after,
 * reorder_before, reorder_after, late (how late a reordered frame is at most), ack_loss, burst
 * (chance that the frame after a lost one is lost, too), rate (Mbit/s behind the tap; 0: none),
 * queue (frames that wait for it at most), seed.
 *
 * TRUTH has a line for each frame of the server's that has TCP payload, in the order of sending:
 * port of the client, seq, payload bytes, number in TAP.pcap (0: lost before), 1 if it arrived.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define FRAME_BYTES 2048u
#define FLYING	    32768u
#define RECORDS	    4000000u
#define SNAP	    128u

enum option {
	DELAY_BEFORE,
	DELAY_AFTER,
	LOSS_BEFORE,
	LOSS_AFTER,
	REORDER_BEFORE,
	REORDER_AFTER,
	LATE,
	ACK_LOSS,
	BURST,
	RATE,
	QUEUE,
	SEED,
	OPTIONS,
};

static const char *const option_name[OPTIONS] = {
	"delay_before",	  "delay_after",   "loss_before", "loss_after",
	"reorder_before", "reorder_after", "late",	  "ack_loss",
	"burst",	  "rate",	   "queue",	  "seed",
};

/* A frame of the server's, and what became of it. */
struct record {
	uint32_t seq, bytes, tap_number;
	uint16_t port;
	bool arrived;
};

struct flying {
	uint64_t due_ns, order;
	uint32_t record; /* index + 1; 0: not one of those */
	uint32_t bytes;
	bool up, passed; /* to the server; past the tap */
	uint8_t data[FRAME_BYTES];
};

struct wire {
	uint32_t option[OPTIONS];
	int fd[2]; /* the client's, the server's */
	FILE *pcap;
	uint32_t frames; /* at the tap */
	uint64_t rng, order, busy_ns;
	bool losing[4];
	struct flying *pool; /* [FLYING] */
	uint32_t heap[FLYING], heap_count;
	uint32_t unused[FLYING], unused_count;
	struct record *record; /* [RECORDS] */
	uint32_t records;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "lossy_wire: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- chance ---------------------------------------------------------------------------------- */

static uint64_t draw(struct wire *w)
{
	w->rng ^= w->rng << 13;
	w->rng ^= w->rng >> 7;
	w->rng ^= w->rng << 17;
	return w->rng * 0x2545f4914f6cdd1du >> 20;
}

static bool chance(struct wire *w, uint32_t per_mille)
{
	return draw(w) % 1000 < per_mille;
}

/* `link`: each has bursts of its own. */
static bool loses(struct wire *w, unsigned link, uint32_t per_mille)
{
	uint32_t after_loss = w->option[BURST] ? w->option[BURST] : per_mille;

	w->losing[link] = chance(w, w->losing[link] ? after_loss : per_mille);
	return w->losing[link];
}

static uint64_t delay_ns(struct wire *w, enum option delay, enum option reorder)
{
	uint64_t us = w->option[delay];

	if (chance(w, w->option[reorder]))
		us += 1 + draw(w) % (w->option[LATE] ? w->option[LATE] : 1);
	return us * 1000;
}

/* --- frames on their way, earliest first ----------------------------------------------------- */

static bool earlier(const struct wire *w, uint32_t a, uint32_t b)
{
	const struct flying *x = &w->pool[a], *y = &w->pool[b];

	return x->due_ns != y->due_ns ? x->due_ns < y->due_ns : x->order < y->order;
}

static void push(struct wire *w, uint32_t frame)
{
	uint32_t i = w->heap_count++;

	w->pool[frame].order = w->order++;
	while (i && earlier(w, frame, w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = frame;
}

static uint32_t pop(struct wire *w)
{
	uint32_t top = w->heap[0], last = w->heap[--w->heap_count], i = 0;

	for (uint32_t child; (child = 2 * i + 1) < w->heap_count; i = child) {
		if (child + 1 < w->heap_count && earlier(w, w->heap[child + 1], w->heap[child]))
			child++;
		if (!earlier(w, w->heap[child], last))
			break;
		w->heap[i] = w->heap[child];
	}
	w->heap[i] = last;
	return top;
}

/* --- the server's frames --------------------------------------------------------------------- */

/* The record of a frame that has TCP payload: index + 1. */
static uint32_t write_down(struct wire *w, const uint8_t *data, uint32_t bytes)
{
	uint16_t type = (uint16_t)(data[12] << 8 | data[13]);
	uint32_t at = 14, size, header, seq;
	struct record *r = &w->record[w->records];

	if (bytes < 54 || w->records == RECORDS)
		return 0;
	if (type == ETHERTYPE_IP && data[23] == IPPROTO_TCP) {
		size = (uint32_t)(data[16] << 8 | data[17]) - 20;
		at += 20;
	} else if (type == ETHERTYPE_IPV6 && data[20] == IPPROTO_TCP && bytes >= 74) {
		size = (uint32_t)(data[18] << 8 | data[19]);
		at += 40;
	} else {
		return 0;
	}
	header = data[at + 12] >> 4 << 2;
	if (size <= header)
		return 0;
	memcpy(&seq, &data[at + 4], 4);
	*r = (struct record){ .seq = ntohl(seq),
			      .bytes = size - header,
			      .port = (uint16_t)(data[at + 2] << 8 | data[at + 3]) };
	return ++w->records;
}

/* --- the way --------------------------------------------------------------------------------- */

static void take_in(struct wire *w, bool up)
{
	struct flying *f;
	uint32_t frame;
	ssize_t bytes;

	while (w->unused_count) {
		frame = w->unused[w->unused_count - 1];
		f = &w->pool[frame];
		bytes = recv(w->fd[!up], f->data, FRAME_BYTES, MSG_DONTWAIT);
		if (bytes <= 0)
			return;
		f->bytes = (uint32_t)bytes;
		f->up = up;
		f->passed = false;
		f->record = up ? 0 : write_down(w, f->data, f->bytes);
		if (loses(w, up ? 2 : 0, w->option[up ? ACK_LOSS : LOSS_BEFORE]))
			continue;
		f->due_ns = clock_ns() + (up ? w->option[DELAY_AFTER] * 1000ull
					     : delay_ns(w, DELAY_BEFORE, REORDER_BEFORE));
		w->unused_count--;
		push(w, frame);
	}
}

static void tap(struct wire *w, const struct flying *f, uint64_t now_ns)
{
	uint32_t header[] = { (uint32_t)(now_ns / 1000000000u), (uint32_t)(now_ns % 1000000000u),
			      f->bytes < SNAP ? f->bytes : SNAP, f->bytes };

	fwrite(header, sizeof(header), 1, w->pcap);
	fwrite(f->data, header[2], 1, w->pcap);
	w->frames++;
	if (f->record)
		w->record[f->record - 1].tap_number = w->frames;
}

/* When it leaves the queue behind the tap; 0: it finds no room. */
static uint64_t depart_ns(struct wire *w, const struct flying *f, uint64_t now_ns)
{
	uint64_t each_ns = w->option[RATE] ? f->bytes * 8000ull / w->option[RATE] : 0;

	if (!each_ns)
		return now_ns;
	if (w->busy_ns < now_ns)
		w->busy_ns = now_ns;
	if (w->busy_ns - now_ns > w->option[QUEUE] * each_ns)
		return 0;
	w->busy_ns += each_ns;
	return w->busy_ns;
}

/* False: the frame is lost. */
static bool pass_tap(struct wire *w, struct flying *f)
{
	uint64_t now_ns = clock_ns(), leaves_ns = now_ns;

	tap(w, f, now_ns);
	f->passed = true;
	if (f->up) {
		f->due_ns = now_ns + w->option[DELAY_BEFORE] * 1000ull;
		return !loses(w, 3, w->option[ACK_LOSS]);
	}
	leaves_ns = depart_ns(w, f, now_ns);
	if (!leaves_ns || loses(w, 1, w->option[LOSS_AFTER]))
		return false;
	f->due_ns = leaves_ns + delay_ns(w, DELAY_AFTER, REORDER_AFTER);
	return true;
}

static void arrive(struct wire *w, const struct flying *f)
{
	if (send(w->fd[f->up], f->data, f->bytes, 0) < 0)
		return;
	if (f->record)
		w->record[f->record - 1].arrived = true;
}

static void move(struct wire *w)
{
	while (w->heap_count && w->pool[w->heap[0]].due_ns <= clock_ns()) {
		uint32_t frame = pop(w);
		struct flying *f = &w->pool[frame];

		if (f->passed) {
			arrive(w, f);
		} else if (pass_tap(w, f)) {
			push(w, frame);
			continue;
		}
		w->unused[w->unused_count++] = frame;
	}
}

/* --- start and end --------------------------------------------------------------------------- */

static int attach(const char *interface)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(ETH_P_ALL),
				       .sll_ifindex = (int)if_nametoindex(interface) };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	int one = 1, room = 32 << 20;

	if (fd < 0 || !address.sll_ifindex ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)))
		die(interface);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	return fd;
}

static void set_option(struct wire *w, const char *word)
{
	const char *value = strchr(word, '=');

	for (unsigned i = 0; value && i < OPTIONS; i++)
		if (!strncmp(word, option_name[i], (size_t)(value - word)) &&
		    strlen(option_name[i]) == (size_t)(value - word)) {
			w->option[i] = (uint32_t)strtoul(value + 1, NULL, 10);
			return;
		}
	fprintf(stderr, "lossy_wire: %s: no such option\n", word);
	exit(2);
}

static struct wire *make(char **argv)
{
	static const uint32_t header[] = { 0xa1b23c4d, 2 | 4 << 16, 0, 0, 65535, 1 };
	struct wire *w = calloc(1, sizeof(*w));

	if (!w)
		die("memory");
	w->pool = calloc(FLYING, sizeof(*w->pool));
	w->record = calloc(RECORDS, sizeof(*w->record));
	if (!w->pool || !w->record)
		die("memory");
	for (char **word = argv + 5; *word; word++)
		set_option(w, *word);
	w->rng = (w->option[SEED] + 1) * 0x9e3779b97f4a7c15u;
	for (uint32_t i = 0; i < FLYING; i++)
		w->unused[w->unused_count++] = i;
	w->fd[0] = attach(argv[1]);
	w->fd[1] = attach(argv[2]);
	w->pcap = fopen(argv[3], "w");
	if (!w->pcap || fwrite(header, sizeof(header), 1, w->pcap) != 1)
		die(argv[3]);
	return w;
}

static void write_truth(const struct wire *w, const char *path)
{
	FILE *file = fopen(path, "w");

	if (!file)
		die(path);
	for (uint32_t i = 0; i < w->records; i++)
		fprintf(file, "%u %u %u %u %d\n", w->record[i].port, w->record[i].seq,
			w->record[i].bytes, w->record[i].tap_number, w->record[i].arrived);
	if (fclose(file))
		die(path);
}

int main(int argc, char **argv)
{
	struct sigaction act = { .sa_handler = on_signal };
	struct wire *w;

	if (argc < 5) {
		fprintf(stderr,
			"usage: lossy_wire CLIENT_IF SERVER_IF TAP.pcap TRUTH [NAME=VALUE...]\n");
		return 2;
	}
	w = make(argv);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	fprintf(stderr, "lossy_wire: ready\n");
	while (!stopped) {
		struct pollfd fds[] = { { w->fd[0], POLLIN, 0 }, { w->fd[1], POLLIN, 0 } };
		struct timespec wait = { 0, 100000000 };
		uint64_t now_ns = clock_ns();

		if (w->heap_count) {
			uint64_t due_ns = w->pool[w->heap[0]].due_ns;

			wait.tv_nsec = due_ns <= now_ns		      ? 0
				       : due_ns - now_ns < 100000000u ? (long)(due_ns - now_ns)
								      : 100000000;
		}
		ppoll(fds, 2, &wait, NULL);
		take_in(w, true);
		take_in(w, false);
		move(w);
	}
	write_truth(w, argv[4]);
	return fclose(w->pcap) ? 1 : 0;
}
