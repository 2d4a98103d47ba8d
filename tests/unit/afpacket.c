/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source tl_filter tl_link */
/* runs alone */
/*
 * The AF_PACKET source on a wire of its own (afpacket_bed.h): bytes, filters, the accounting.
 */
#include "afpacket_bed.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "packet_builder.h"

struct frames {
	uint8_t bytes[16][512];
	size_t length[16];
	uint32_t count;
};

static struct pb begin(struct frames *frames)
{
	return pb__start(frames->bytes[frames->count], sizeof(frames->bytes[0]));
}

static void finish(struct frames *frames, struct pb *b)
{
	static const char payload[] = "forty bytes of payload, more or less, ok";

	pb__ip(b, &(struct pb_ip){ .src = "10.0.0.1", .dst = "10.0.0.2" });
	pb__udp(b, 1000, 2000);
	pb__bytes(b, payload, sizeof(payload));
	frames->length[frames->count++] = pb__packet(b, 0, 1).caplen;
}

static void add_tagged(struct frames *frames, const uint16_t (*tags)[2], size_t count)
{
	struct pb b = begin(frames);

	pb__ethernet(&b);
	for (size_t i = 0; i < count; i++)
		pb__vlan(&b, tags[i][0], tags[i][1]);
	finish(frames, &b);
}

/* No tag; every bit of a TCI; priority only; QinQ; two of the old kind; three tags; 0x9100. */
static struct frames tagged_frames(void)
{
	struct frames frames = { .count = 0 };

	add_tagged(&frames, NULL, 0);
	add_tagged(&frames, (const uint16_t[][2]){ { 0x8100, 12 } }, 1);
	add_tagged(&frames, (const uint16_t[][2]){ { 0x8100, 0xffff } }, 1);
	add_tagged(&frames, (const uint16_t[][2]){ { 0x8100, 0x3000 } }, 1);
	add_tagged(&frames, (const uint16_t[][2]){ { 0x8100, 0 } }, 1);
	add_tagged(&frames, (const uint16_t[][2]){ { 0x88a8, 0xb123 } }, 1);
	add_tagged(&frames, (const uint16_t[][2]){ { 0x88a8, 0x5064 }, { 0x8100, 0x7007 } }, 2);
	add_tagged(&frames, (const uint16_t[][2]){ { 0x8100, 1 }, { 0x8100, 4095 } }, 2);
	add_tagged(&frames, (const uint16_t[][2]){ { 0x88a8, 1 }, { 0x8100, 2 }, { 0x8100, 3 } },
		   3);
	add_tagged(&frames, (const uint16_t[][2]){ { 0x9100, 77 } }, 1);
	return frames;
}

struct check {
	const struct frames *frames;
	uint32_t next;
	uint32_t snaplen;
};

static void check_frame(void *ctx, const struct tl_packet *packet)
{
	struct check *check = ctx;
	uint32_t i = check->next++;
	size_t length = check->frames->length[i];
	size_t kept = length < check->snaplen ? length : check->snaplen;

	cr_assert_eq(packet->wirelen, length, "frame %u: wire length %u", i, packet->wirelen);
	cr_assert_eq(packet->caplen, kept, "frame %u: %u bytes captured", i, packet->caplen);
	cr_assert_eq(memcmp(packet->data, check->frames->bytes[i], kept), 0, "frame %u", i);
	cr_assert_eq(packet->flags, 0);
}

static void send_and_check(uint32_t snaplen)
{
	struct frames frames = tagged_frames();
	struct check check = { .frames = &frames, .snaplen = snaplen };
	struct tl_source_live_opts opts = bed__opts();
	struct tl_source *source;
	struct tl_source_stats stats;
	uint64_t wire_bytes = 0, kept_bytes = 0;
	int fd = bed__sender();

	opts.snaplen = snaplen;
	bed__open(&opts, &source);
	for (uint32_t i = 0; i < frames.count; i++) {
		bed__send(fd, frames.bytes[i], frames.length[i]);
		wire_bytes += frames.length[i];
		kept_bytes += frames.length[i] < snaplen ? frames.length[i] : snaplen;
	}
	cr_assert_eq(
		bed__read(source, frames.count, 2000, (struct bed_visitor){ check_frame, &check }),
		frames.count);
	cr_assert_eq(bed__drain(source), 0);
	stats = bed__stats(source);
	bed__assert_closed(&stats);
	cr_assert_eq(stats.received, frames.count);
	cr_assert_eq(stats.received_bytes, wire_bytes);
	cr_assert_eq(stats.captured_bytes, kept_bytes);
	tl_source__destroy(source);
}

Test(afpacket, tags_are_as_on_the_wire)
{
	bed__enter();
	send_and_check(TL_SNAPLEN_DEFAULT);
}

Test(afpacket, snap_length_counts_bytes_of_the_wire)
{
	bed__enter();
	send_and_check(40);
	send_and_check(16);
	send_and_check(14);
}

/* --- a sender that never pauses ----------------------------------------------------------- */

struct sender {
	pthread_t thread;
	uint32_t stop;
	uint64_t sent; /* UDP to port 7; as many to port 9 */
};

/* UDP with a number in its payload, to port 7 and to port 9 in turn. */
static void *send_numbers(void *ctx)
{
	struct sender *sender = ctx;
	int fd = bed__sender();
	uint8_t frame[128];

	while (!tl_load_relaxed(&sender->stop)) {
		for (uint16_t port = 7; port <= 9; port += 2) {
			struct tl_packet packet = pb__udp_packet(
				frame, &(struct pb_ip){ .src = "10.0.0.1", .dst = "10.0.0.2" },
				(struct pb_ports){ 1000, port },
				(struct pb_payload){ &sender->sent, sizeof(sender->sent) });

			bed__send(fd, packet.data, packet.caplen);
		}
		tl_store_relaxed(&sender->sent, sender->sent + 1);
		if (sender->sent % 16 == 0) /* two CPUs have other work too */
			usleep(200);
	}
	close(fd);
	return NULL;
}

static void start(struct sender *sender)
{
	*sender = (struct sender){ 0 };
	cr_assert_eq(pthread_create(&sender->thread, NULL, send_numbers, sender), 0);
}

static uint64_t finish_sender(struct sender *sender)
{
	tl_store_relaxed(&sender->stop, 1);
	pthread_join(sender->thread, NULL);
	return sender->sent;
}

static uint16_t port_of(const struct tl_packet *packet)
{
	return (uint16_t)(packet->data[36] << 8 | packet->data[37]);
}

static uint64_t number_of(const struct tl_packet *packet)
{
	uint64_t number;

	memcpy(&number, packet->data + 42, sizeof(number));
	return number;
}

static void check_port_9(void *ctx, const struct tl_packet *packet)
{
	(void)ctx;
	cr_assert_eq(port_of(packet), 9);
}

Test(afpacket, filter_holds_from_the_first_packet)
{
	struct tl_filter *filter = bed__filter("udp dst port 9");
	struct sender sender;

	bed__enter();
	start(&sender);
	for (int round = 0; round < 5; round++) {
		struct tl_source_live_opts opts = bed__opts();
		struct tl_source_stats stats;
		struct tl_source *source;
		uint64_t got;

		opts.filter = filter;
		bed__open(&opts, &source);
		got = bed__read(source, 500, 3000, (struct bed_visitor){ check_port_9, NULL });
		cr_assert_geq(got, 500);
		got += bed__drain(source);
		stats = bed__stats(source);
		bed__assert_closed(&stats);
		cr_assert_eq(stats.captured, got);
		cr_assert_leq(stats.filtered, got + 1);
		cr_assert_geq(stats.filtered + 1, got);
		tl_source__destroy(source);
	}
	finish_sender(&sender);
	tl_filter__destroy(filter);
}

Test(afpacket, stop_is_exact_and_final)
{
	struct tl_source_live_opts opts = bed__opts();
	struct tl_source_stats stats, later;
	struct tl_source *source;
	struct sender sender;
	uint64_t got;

	bed__enter();
	start(&sender);
	bed__open(&opts, &source);
	got = bed__read(source, 1000, 3000, BED_COUNT);
	got += bed__drain(source);
	stats = bed__stats(source);
	bed__assert_closed(&stats);
	cr_assert_eq(stats.captured, got);
	usleep(50000);
	cr_assert_eq(bed__drain(source), 0, "packets came after the stop");
	later = bed__stats(source);
	cr_assert_eq(memcmp(&stats, &later, sizeof(stats)), 0, "counters moved after the stop");
	cr_assert_gt(finish_sender(&sender), got / 2, "the sender had ended before");
	tl_source__destroy(source);
}

struct swap_check {
	uint64_t next, missing;
};

static void check_no_gap_at_port_7(void *ctx, const struct tl_packet *packet)
{
	struct swap_check *check = ctx;

	if (port_of(packet) != 7)
		return;
	check->missing += number_of(packet) - check->next;
	check->next = number_of(packet) + 1;
}

Test(afpacket, replaced_filter_loses_nothing_both_keep)
{
	struct tl_filter *both = bed__filter("udp dst port 7 or udp dst port 9");
	struct tl_filter *one = bed__filter("udp dst port 7");
	struct tl_source_live_opts opts = bed__opts();
	struct swap_check check = { 0 };
	struct tl_source_stats stats;
	struct tl_source *source;
	struct sender sender;

	bed__enter();
	opts.filter = both;
	bed__open(&opts, &source);
	start(&sender);
	for (int i = 0; i < 300; i++) {
		cr_assert_eq(source->ops->set_filter(source, i % 2 ? both : one), 0);
		bed__read(source, UINT64_MAX, 2,
			  (struct bed_visitor){ check_no_gap_at_port_7, &check });
	}
	finish_sender(&sender);
	bed__read(source, UINT64_MAX, 50, (struct bed_visitor){ check_no_gap_at_port_7, &check });
	cr_assert_eq(bed__drain(source), 0);
	stats = bed__stats(source);
	bed__assert_closed(&stats);
	cr_assert_eq(stats.received, 2 * sender.sent);
	cr_assert_eq(check.missing, 0,
		     "%lu packets that both filters keep were lost; ring full %lu", check.missing,
		     stats.dropped.ring_full);
	cr_assert_eq(check.next, sender.sent);
	cr_assert_gt(stats.filtered, 0);
	cr_assert_lt(stats.filtered, sender.sent);
	tl_source__destroy(source);
	tl_filter__destroy(both);
	tl_filter__destroy(one);
}

/* --- loss --------------------------------------------------------------------------------- */

struct loss_check {
	uint64_t next, lost, told, places;
};

static void check_loss(void *ctx, const struct tl_packet *packet)
{
	struct loss_check *check = ctx;
	uint64_t number = number_of(packet);

	if (packet->flags & TL_PACKET_AFTER_LOSS) {
		cr_assert_gt(packet->lost_before, 0);
		check->told += packet->lost_before;
		check->places++;
	} else {
		cr_assert_eq(packet->lost_before, 0);
	}
	cr_assert_eq(number - check->next > 0, !!(packet->flags & TL_PACKET_AFTER_LOSS),
		     "packet %lu, after %lu, flags %u", number, check->next, packet->flags);
	check->lost += number - check->next;
	check->next = number + 1;
}

static uint64_t send_numbered(int fd, uint64_t first, uint64_t count)
{
	uint8_t frame[1024], payload[800] = { 0 };

	for (uint64_t i = first; i < first + count; i++) {
		struct tl_packet packet;

		memcpy(payload, &i, sizeof(i));
		packet = pb__udp_packet(
			frame, &(struct pb_ip){ .src = "10.0.0.1", .dst = "10.0.0.2" },
			(struct pb_ports){ 1, 7 }, (struct pb_payload){ payload, sizeof(payload) });
		bed__send(fd, packet.data, packet.caplen);
	}
	return first + count;
}

Test(afpacket, loss_is_counted_and_told_where_it_was)
{
	struct tl_source_live_opts opts = bed__opts();
	struct loss_check check = { 0 };
	struct tl_source_stats stats;
	struct tl_source *source;
	uint64_t sent = 0;
	int fd;

	bed__enter();
	fd = bed__sender();
	opts.buffer_bytes = 1 << 20;
	bed__open(&opts, &source);
	for (int round = 0; round < 4; round++) {
		sent = send_numbered(fd, sent, 5000); /* 4.5 MB into 1 MiB */
		stats = bed__stats(source);	      /* as a progress line would, at any moment */
		cr_assert_gt(stats.dropped.ring_full, 0);
		bed__read(source, UINT64_MAX, 30, (struct bed_visitor){ check_loss, &check });
		sent = send_numbered(fd, sent, 10); /* the packets behind the loss */
		bed__read(source, 10, 1000, (struct bed_visitor){ check_loss, &check });
	}
	cr_assert_eq(bed__drain(source), 0);
	stats = bed__stats(source);
	bed__assert_closed(&stats);
	cr_assert_eq(stats.received, sent);
	cr_assert_eq(stats.dropped.ring_full, check.lost);
	cr_assert_eq(check.told, check.lost);
	cr_assert_geq(check.places, 4);
	cr_assert_geq(stats.freezes, 4);
	tl_source__destroy(source);
}

/* The ring overflows again and again before the packets behind the first loss are read. */
Test(afpacket, each_of_several_losses_has_its_place)
{
	struct tl_source_live_opts opts = bed__opts();
	struct loss_check check = { 0 };
	struct tl_source_stats stats;
	struct tl_source *source;
	uint64_t sent = 0;
	int fd;

	bed__enter();
	fd = bed__sender();
	opts.buffer_bytes = 1 << 20;
	bed__open(&opts, &source);
	sent = send_numbered(fd, sent, 3000); /* 2.7 MB into 1 MiB */
	for (int round = 0; round < 6; round++) {
		bed__read(source, 150, 1000, (struct bed_visitor){ check_loss, &check });
		sent = send_numbered(fd, sent, 1000);
	}
	bed__read(source, UINT64_MAX, 30, (struct bed_visitor){ check_loss, &check });
	sent = send_numbered(fd, sent, 10);
	bed__read(source, 10, 1000, (struct bed_visitor){ check_loss, &check });
	cr_assert_eq(bed__drain(source), 0);
	stats = bed__stats(source);
	bed__assert_closed(&stats);
	cr_assert_eq(stats.received, sent);
	cr_assert_eq(stats.dropped.ring_full, check.lost);
	cr_assert_eq(check.told, check.lost);
	cr_assert_geq(check.places, 3);
	tl_source__destroy(source);
}

Test(afpacket, borrowed_bytes_stay)
{
	struct tl_source_live_opts opts = bed__opts();
	static struct tl_packet held[TL_BATCH_MAX];
	struct tl_source_stats stats;
	struct tl_source *source;
	uint64_t sent, got;
	int n, fd;

	bed__enter();
	fd = bed__sender();
	opts.buffer_bytes = 1 << 20;
	bed__open(&opts, &source);
	sent = send_numbered(fd, 0, 100);
	usleep(30000);
	n = tl_source__poll(source, held, TL_BATCH_MAX);
	cr_assert_eq(n, 100);
	sent = send_numbered(fd, sent, 5000);
	/* everything but the held packets is read, and not released either */
	for (int more = 1, tries = 0; tries < 20; tries += more <= 0) {
		static struct tl_packet rest[TL_BATCH_MAX];

		more = tl_source__poll(source, rest, TL_BATCH_MAX);
		n += more > 0 ? more : 0;
		source->ops->wait(source, 5);
	}
	for (uint64_t i = 0; i < 100; i++)
		cr_assert_eq(number_of(&held[i]), i, "a borrowed packet was overwritten");
	tl_source__release(source, (uint64_t)n);
	got = (uint64_t)n + bed__drain(source);
	stats = bed__stats(source);
	bed__assert_closed(&stats);
	cr_assert_eq(stats.captured, got);
	cr_assert_eq(stats.received, sent);
	tl_source__destroy(source);
}

/* --- without the right to load programs --------------------------------------------------- */

static void keep_only(uint32_t capability)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	data[0].effective = data[0].permitted = 1u << capability;
	cr_assert_eq(syscall(SYS_capset, &header, data), 0);
}

Test(afpacket, filters_without_the_right_to_load_programs)
{
	struct tl_filter *both = bed__filter("udp dst port 7 or vlan 5");
	struct tl_filter *one = bed__filter("udp dst port 9");
	struct tl_source_live_opts opts = bed__opts();
	struct tl_error error = { "" };
	struct tl_source_stats stats;
	struct tl_source *source;
	struct sender sender;
	char mode[128];
	FILE *sysctl;
	int locked = 0;
	int fd;

	sysctl = fopen("/proc/sys/kernel/unprivileged_bpf_disabled", "re");
	if (sysctl) {
		cr_assert_eq(fscanf(sysctl, "%d", &locked), 1);
		fclose(sysctl);
	}
	if (!locked)
		cr_skip_test("anyone may load programs here");
	bed__enter();
	fd = bed__sender();
	keep_only(CAP_NET_RAW);
	opts.filter = both;
	cr_assert_eq(tl_source_afpacket__create(&opts, &error, mode, &source), 0, "%s", error.what);
	cr_assert(strstr(mode, "user space"), "%s", mode);
	sender = (struct sender){ 0 };
	for (; sender.sent < 200; sender.sent++)
		send_numbered(fd, sender.sent, 1);
	cr_assert_eq(bed__read(source, 200, 2000, BED_COUNT), 200);
	cr_assert_eq(source->ops->set_filter(source, one), 0);
	send_numbered(fd, 200, 100);
	cr_assert_eq(bed__read(source, 1, 50, BED_COUNT), 0);
	cr_assert_eq(bed__drain(source), 0);
	stats = bed__stats(source);
	bed__assert_closed(&stats);
	cr_assert_eq(stats.received, 300);
	cr_assert_eq(stats.filtered, 100);
	cr_assert_eq(stats.captured, 200);
	tl_source__destroy(source);
	tl_filter__destroy(both);
	tl_filter__destroy(one);
}
