// SPDX-License-Identifier: GPL-2.0-or-later
/* links: PkgConfig::bpf */
/*
 * Sends numbered frames (frame_format.h) out of an interface, at a rate or as fast as it goes, and
 * says how many went: {"sent":N,"bytes":N,"seconds":S,"rate":R,"mode":"…"}.
 *
 *   socket  AF_PACKET and sendmmsg; a frame that the link refused is sent again, so `sent` frames
 *           reached the other end of a veth, exactly
 *   live    frames made inside the kernel and redirected out of the interface (XDP): millions a
 *           second; a full ring at the far end drops them, so judge by the numbers that arrive
 *   pass    the same, handed to the stack of the interface as if it had received them
 *
 *   template for each size ──► head of the next number ──► batch of 64 ──► socket
 *                         └──► framegen.bpf.c ──► live run
 */
#include "frame_format.h"
#include "framegen.skel.h"
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	   64
#define LIVE_BATCH 64
#define SIZES_MAX  16
#define HEAD_WORDS ((FRAME_HEAD + 4 * FRAME_TAGS_MAX) / 4)

enum mode { MODE_SOCKET, MODE_LIVE, MODE_PASS };
static const char *const mode_names[] = { "socket", "live", "pass" };

struct options {
	const char *interface;
	uint64_t count;
	uint64_t first;
	double rate; /* frames a second, 0: no limit */
	double seconds;
	uint32_t sizes[SIZES_MAX];
	unsigned int size_count;
	bool size_range; /* sizes[0] to sizes[1] */
	uint32_t tags[FRAME_TAGS_MAX];
	unsigned int tag_count;
	uint32_t flows;
	bool both;
	uint16_t stream;
	enum mode mode;
};

/* Number 0, flow 0, forward. Words in host order. */
struct template
{
	uint32_t head[HEAD_WORDS];
	uint32_t sum;
	bool ready;
};

static struct template templates[FRAME_MAX + 1];
static uint8_t filler[FRAME_MAX + 4];
static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "framegen: %s: %s\n", what, why);
	exit(1);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint16_t ip_sum(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* Writes the head of number 0 at `frame`; the rest is filler. */
static void write_head(const struct options *o, uint32_t size, uint8_t *frame)
{
	uint8_t *ip;

	memset(frame, 0, 4 * HEAD_WORDS);
	memcpy(frame, (uint8_t[]){ 2, 0, 0, 0, 0, 0x02, 2, 0, 0, 0, 0, 0x01 }, 12);
	for (unsigned int i = 0; i < o->tag_count; i++)
		put32(frame + 12 + 4 * i, o->tags[i]);
	frame += 4 * o->tag_count;
	size -= 4 * o->tag_count;
	put16(frame + 12, ETH_P_IP);
	ip = frame + FRAME_IP;
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(size - FRAME_IP));
	put16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	put32(frame + FRAME_SADDR, 0x0a400001 | (uint32_t)(o->stream & 0xff) << 8);
	put32(frame + FRAME_DADDR, 0x0a410002 | (uint32_t)(o->stream & 0xff) << 8);
	put16(ip + 10, ip_sum(ip));
	put16(frame + FRAME_SPORT, FRAME_PORT_FIRST);
	put16(frame + FRAME_DPORT, FRAME_PORT_SERVER);
	put16(frame + FRAME_DPORT + 2, (uint16_t)(size - FRAME_IP - 20));
	put16(frame + FRAME_PAYLOAD, FRAME_MARK);
	put16(frame + FRAME_PAYLOAD + 2, FRAME_MARK2);
	put16(frame + FRAME_STREAM, o->stream);
}

static const struct template *template_of(const struct options *o, uint32_t size)
{
	struct template *t = &templates[size];
	uint32_t head_bytes = FRAME_HEAD + 4 * o->tag_count;
	uint8_t frame[FRAME_MAX + 4] = { 0 };

	if (t->ready)
		return t;
	memcpy(frame, filler, size);
	write_head(o, size, frame);
	memcpy(frame + head_bytes, filler + head_bytes, size - head_bytes);
	t->sum = FRAME_SEED * size;
	for (uint32_t word = 0; word < (size + 3) / 4; word++)
		t->sum += get32(frame + 4 * word) * frame_weight(word);
	for (uint32_t word = 0; word < head_bytes / 4; word++)
		t->head[word] = get32(frame + 4 * word);
	t->ready = true;
	return t;
}

static uint32_t size_of(const struct options *o, uint64_t number)
{
	uint32_t mixed = (uint32_t)((number * 0x9e3779b97f4a7c15ULL) >> 40);

	if (o->size_range)
		return o->sizes[0] + mixed % (o->sizes[1] - o->sizes[0] + 1);
	return o->sizes[mixed % o->size_count];
}

/* The same rules as framegen.bpf.c. Returns the frame's size. */
static uint32_t number_frame(const struct options *o, uint64_t number, uint8_t *frame)
{
	uint32_t size = size_of(o, number);
	const struct template *t = template_of(o, size);
	uint32_t head[HEAD_WORDS], sum = t->sum, tags = o->tag_count;
	uint32_t words = FRAME_HEAD / 4 + tags;
	uint32_t port = FRAME_PORT_FIRST + (uint32_t)(number % o->flows);

	memcpy(head, t->head, sizeof(head));
	if (o->both && (number / o->flows) % 2) {
		const uint32_t *w = t->head + tags;

		head[6 + tags] = (w[6] & 0xffff0000U) | (w[7] & 0xffff);
		head[7 + tags] = (w[8] & 0xffff0000U) | (w[6] & 0xffff);
		head[8 + tags] = (w[7] & 0xffff0000U) | FRAME_PORT_SERVER;
		head[9 + tags] = port << 16 | (w[9] & 0xffff);
	} else {
		head[8 + tags] = (head[8 + tags] & 0xffff0000U) | port;
	}
	head[12 + tags] = (uint32_t)(number >> 32);
	head[13 + tags] = (uint32_t)number;
	for (uint32_t i = 6 + tags; i < 14 + tags; i++)
		sum += (head[i] - t->head[i]) * frame_weight(i);
	head[14 + tags] = sum;
	for (uint32_t i = 0; i < words; i++)
		put32(frame + 4 * i, head[i]);
	return size;
}

struct sender {
	int fd;
	struct mmsghdr messages[BATCH];
	struct iovec iovs[BATCH];
	uint8_t frames[BATCH][FRAME_MAX + 4];
};

static void sender_open(struct sender *s, unsigned int ifindex)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = (int)ifindex };
	int bytes = 8 << 20;

	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		die("socket", strerror(errno));
	setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	if (bind(s->fd, (struct sockaddr *)&address, sizeof(address)))
		die("bind", strerror(errno));
	for (int i = 0; i < BATCH; i++) {
		memcpy(s->frames[i], filler, FRAME_MAX);
		s->iovs[i].iov_base = s->frames[i];
		s->messages[i].msg_hdr = (struct msghdr){ .msg_iov = &s->iovs[i], .msg_iovlen = 1 };
	}
}

/* Sends all of the batch; what the link refuses for want of room goes again. Returns its bytes. */
static uint64_t send_batch(struct sender *s, unsigned int count)
{
	unsigned int done = 0, refused = 0;
	uint64_t bytes = 0;

	while (done < count) {
		int sent = sendmmsg(s->fd, s->messages + done, count - done, 0);

		if (sent > 0) {
			done += (unsigned int)sent;
			refused = 0;
			continue;
		}
		if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			die("sendmmsg", strerror(errno));
		if (++refused > 1000000)
			die("sendmmsg", "the link takes nothing more");
		sched_yield();
	}
	for (unsigned int i = 0; i < count; i++)
		bytes += s->iovs[i].iov_len;
	return bytes;
}

/* Frames that may go now; with a rate, a millisecond's worth, once they are due. */
static uint64_t allowance(const struct options *o, double start, uint64_t sent, unsigned int batch)
{
	uint64_t left = o->count ? o->count - sent : UINT64_MAX;
	struct timespec wait;
	double due;

	if (o->rate > 0 && o->rate / 1000.0 < batch)
		batch = o->rate > 1000.0 ? (unsigned int)(o->rate / 1000.0) : 1;
	if (left > batch)
		left = batch;
	due = o->rate > 0 ? start + (double)sent / o->rate - now_s() : 0;
	if (due > 0) {
		wait.tv_sec = (time_t)due;
		wait.tv_nsec = (long)((due - (double)wait.tv_sec) * 1e9);
		nanosleep(&wait, NULL);
	}
	return left;
}

static bool finished(const struct options *o, double start, uint64_t sent)
{
	return stopped || (o->count && sent >= o->count) ||
	       (o->seconds > 0 && now_s() - start >= o->seconds);
}

static uint64_t run_socket(const struct options *o, double start, uint64_t *ret_bytes)
{
	static struct sender sender;
	uint64_t sent = 0;

	sender_open(&sender, if_nametoindex(o->interface));
	while (!finished(o, start, sent)) {
		unsigned int count = (unsigned int)allowance(o, start, sent, BATCH);

		for (unsigned int i = 0; i < count; i++)
			sender.iovs[i].iov_len =
				number_frame(o, o->first + sent + i, sender.frames[i]);
		*ret_bytes += send_batch(&sender, count);
		sent += count;
	}
	close(sender.fd);
	return sent;
}

static struct framegen_bpf *live_load(const struct options *o, unsigned int ifindex)
{
	const struct template *t = template_of(o, o->sizes[0]);
	struct framegen_bpf *skeleton = framegen_bpf__open();

	if (!skeleton)
		die("kernel program", strerror(errno));
	skeleton->rodata->head_words = FRAME_HEAD / 4 + o->tag_count;
	skeleton->rodata->flows = o->flows;
	skeleton->rodata->both = o->both;
	skeleton->rodata->out_ifindex = ifindex;
	skeleton->rodata->pass = o->mode == MODE_PASS;
	skeleton->rodata->template_sum = t->sum;
	for (unsigned int i = 0; i < HEAD_WORDS; i++)
		skeleton->bss->template_words[i] = htonl(t->head[i]);
	skeleton->bss->next_number = o->first;
	if (framegen_bpf__load(skeleton))
		die("kernel program", strerror(errno));
	return skeleton;
}

static uint64_t run_live(const struct options *o, double start, uint64_t *ret_bytes)
{
	unsigned int ifindex = if_nametoindex(o->interface);
	struct framegen_bpf *skeleton = live_load(o, ifindex);
	struct xdp_md context = { .data_end = o->sizes[0], .ingress_ifindex = ifindex };
	uint8_t frame[FRAME_MAX + 4];
	uint64_t sent = 0;
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = o->sizes[0],
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .batch_size = LIVE_BATCH,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	memcpy(frame, filler, sizeof(frame));
	number_frame(o, 0, frame);
	while (!finished(o, start, sent)) {
		uint64_t count = allowance(o, start, sent, 1 << 16);

		run.repeat = (int)count;
		if (bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.number_frame), &run))
			die("live run", strerror(errno));
		sent = skeleton->bss->next_number - o->first;
	}
	*ret_bytes = sent * o->sizes[0];
	framegen_bpf__destroy(skeleton);
	return sent;
}

static void parse_sizes(struct options *o, char *text)
{
	char *dash = strchr(text, '-');

	o->size_count = 0;
	o->size_range = dash != NULL;
	if (dash)
		*dash = ',';
	for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		if (o->size_count == SIZES_MAX)
			die("--size", "too many");
		o->sizes[o->size_count++] = (uint32_t)strtoul(word, NULL, 10);
	}
	if (dash && (o->size_count != 2 || o->sizes[0] > o->sizes[1]))
		die("--size", "a range is LOW-HIGH");
}

/* "100" or "0x88a8:0x6064": the tag control word as it goes on the wire. */
static void parse_tag(struct options *o, const char *text)
{
	const char *colon = strchr(text, ':');
	uint32_t type = colon ? (uint32_t)strtoul(text, NULL, 0) : ETH_P_8021Q;

	if (o->tag_count == FRAME_TAGS_MAX)
		die("--vlan", "two tags at most");
	o->tags[o->tag_count++] =
		type << 16 | ((uint32_t)strtoul(colon ? colon + 1 : text, NULL, 0) & 0xffff);
}

static void usage(void)
{
	puts("framegen -i IF (-n COUNT | -t SECONDS) [-r RATE] [-s SIZE|LOW-HIGH|A,B,…]\n"
	     "  [--vlan [TPID:]TCI]… [--flows N] [--both] [--stream ID] [--first NUMBER]\n"
	     "  [--mode socket|live|pass]");
	exit(2);
}

static void parse_mode(struct options *o, const char *text)
{
	for (unsigned int i = 0; i < 3; i++)
		if (!strcmp(text, mode_names[i])) {
			o->mode = (enum mode)i;
			return;
		}
	usage();
}

static void check(const struct options *o)
{
	if (!o->interface || (!o->count && o->seconds <= 0) || !o->size_count)
		usage();
	if (!if_nametoindex(o->interface))
		die(o->interface, "no such interface");
	for (unsigned int i = 0; i < o->size_count; i++)
		if (o->sizes[i] < FRAME_HEAD + 4 * o->tag_count || o->sizes[i] > FRAME_MAX)
			die("--size", "60 (and 4 for each tag) to 9216");
	if (o->flows < 1 || o->flows > FRAME_FLOWS_MAX)
		die("--flows", "1 to 50000");
	if (o->mode != MODE_SOCKET && (o->size_count > 1 || o->sizes[0] > 3400))
		die("--size", "a live run sends one size, up to 3400");
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "vlan", 1, NULL, 'v' },  { "flows", 1, NULL, 'f' },
		{ "both", 0, NULL, 'b' },  { "stream", 1, NULL, 'x' },
		{ "first", 1, NULL, 'F' }, { "mode", 1, NULL, 'm' },
		{ "size", 1, NULL, 's' },  { 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "i:n:t:r:s:", longs, NULL)) != -1) {
		switch (option) {
		case 'i':
			o->interface = optarg;
			break;
		case 'n':
			o->count = strtoull(optarg, NULL, 10);
			break;
		case 't':
			o->seconds = strtod(optarg, NULL);
			break;
		case 'r':
			o->rate = strtod(optarg, NULL);
			break;
		case 's':
			parse_sizes(o, optarg);
			break;
		case 'v':
			parse_tag(o, optarg);
			break;
		case 'f':
			o->flows = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'b':
			o->both = true;
			break;
		case 'x':
			o->stream = (uint16_t)strtoul(optarg, NULL, 10);
			break;
		case 'F':
			o->first = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			parse_mode(o, optarg);
			break;
		default:
			usage();
		}
	}
	check(o);
}

int main(int argc, char **argv)
{
	struct options o = { .flows = 1, .sizes = { 60 }, .size_count = 1 };
	uint64_t sent, bytes = 0;
	double start, seconds;

	parse(&o, argc, argv);
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	for (uint32_t i = 0; i < sizeof(filler); i++)
		filler[i] = (uint8_t)(i * 31 + (i >> 8) + o.stream);
	start = now_s();
	sent = o.mode == MODE_SOCKET ? run_socket(&o, start, &bytes) : run_live(&o, start, &bytes);
	seconds = now_s() - start;
	printf("{\"sent\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"rate\":%.0f,"
	       "\"mode\":\"%s\"}\n",
	       sent, bytes, seconds, (double)sent / (seconds > 0 ? seconds : 1e-9),
	       mode_names[o.mode]);
	return 0;
}
