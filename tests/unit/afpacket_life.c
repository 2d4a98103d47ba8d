/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source tl_filter tl_link */
/* runs alone */
/*
 * The interface comes and goes under the AF_PACKET source; a quiet link; wrong calls.
 */
#include "afpacket_bed.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "packet_builder.h"

#define MS	    1000000u
#define QUEUES_MAX  2
#define PATIENCE_NS (5000ull * MS)

static uint64_t sent;

static void send_some(uint32_t count)
{
	int fd = bed__sender();

	for (uint32_t i = 0; i < count; i++) {
		uint8_t frame[128];
		char address[16];
		struct tl_packet packet;

		snprintf(address, sizeof(address), "10.0.%u.1", i % 64); /* for every socket some */
		packet = pb__udp_packet(frame, &(struct pb_ip){ .src = address, .dst = "10.9.0.2" },
					(struct pb_ports){ 1, 7 }, (struct pb_payload){ &i, 4 });
		bed__send(fd, packet.data, packet.caplen);
	}
	sent += count;
	close(fd);
}

/* Reads from all sockets until `count` came. */
static uint64_t read_all(struct tl_source **sources, uint32_t queues, uint64_t count)
{
	uint64_t end = bed__now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	uint64_t got = 0;

	while (got < count && bed__now_ns(CLOCK_MONOTONIC) < end)
		for (uint32_t i = 0; i < queues; i++)
			got += bed__read(sources[i], count - got, 5, BED_COUNT);
	return got;
}

/* Polls until each source says `wanted`: they look every 100 ms, on a machine that may be busy. */
static void until(struct tl_source **sources, uint32_t queues, int wanted)
{
	uint64_t end = bed__now_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	uint32_t reached = 0;

	while (reached < queues && bed__now_ns(CLOCK_MONOTONIC) < end) {
		struct tl_packet packets[TL_BATCH_MAX];

		reached = 0;
		for (uint32_t i = 0; i < queues; i++) {
			int n = tl_source__poll(sources[i], packets, TL_BATCH_MAX);

			cr_assert_leq(n, 0, "a packet nobody sent");
			reached += n == wanted;
			sources[i]->ops->wait(sources[i], 10);
		}
	}
	cr_assert_eq(reached, queues, "poll never said %d", wanted);
}

static void come_and_go(uint32_t queues)
{
	struct tl_source_live_opts opts = bed__opts();
	struct tl_source *sources[QUEUES_MAX];
	struct tl_source_stats sum = { 0 };

	opts.queue_count = queues;
	opts.buffer_bytes = 2 << 20;
	bed__open(&opts, sources);
	send_some(100);
	cr_assert_eq(read_all(sources, queues, 100), 100);

	bed__shell("ip link set " BED_WIRE " down");
	until(sources, queues, -ENETDOWN);
	bed__shell("ip link set " BED_WIRE " up");
	until(sources, queues, 0);
	send_some(100);
	cr_assert_eq(read_all(sources, queues, 100), 100);

	for (int round = 0; round < 3; round++) {
		send_some(50); /* is in the ring when the interface goes */
		bed__shell("ip link del " BED_SENDER);
		cr_assert_eq(read_all(sources, queues, 50), 50);
		until(sources, queues, -ENETDOWN);
		bed__add_link();
		until(sources, queues, 0);
		send_some(100);
		cr_assert_eq(read_all(sources, queues, 100), 100);
	}
	for (uint32_t i = 0; i < queues; i++) {
		struct tl_source_stats stats;

		cr_assert_eq(bed__drain(sources[i]), 0);
		stats = bed__stats(sources[i]);
		bed__assert_closed(&stats);
		tl_source_stats__add(&sum, &stats);
	}
	cr_assert_eq(sum.received, sent);
	cr_assert_eq(sum.captured, sent);
	for (uint32_t i = 0; i < queues; i++)
		tl_source__destroy(sources[i]);
}

Test(afpacket_life, one_socket_survives_its_interface)
{
	bed__enter();
	come_and_go(1);
}

Test(afpacket_life, two_sockets_survive_their_interface)
{
	bed__enter();
	come_and_go(2);
}

static void give_up_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	cr_assert_eq(syscall(SYS_capset, &header, data), 0);
}

/* The interface comes back after the capture has given up its capabilities. */
static void come_back_without_capabilities(uint32_t queues)
{
	struct tl_source_live_opts opts = bed__opts();
	struct tl_source *sources[QUEUES_MAX];
	int go[2];

	opts.queue_count = queues;
	opts.buffer_bytes = 2 << 20;
	bed__open(&opts, sources);
	cr_assert_eq(pipe(go), 0);
	if (!fork()) { /* the world outside, which keeps its rights */
		char byte;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(go[1]);
		for (int round = 0; round < 3; round++) {
			if (read(go[0], &byte, 1) != 1)
				_exit(1);
			bed__shell("ip link del " BED_SENDER);
			usleep(300000);
			bed__add_link();
			usleep(400000);
			send_some(64);
		}
		_exit(0);
	}
	give_up_capabilities();
	for (int round = 0; round < 3; round++) {
		cr_assert_eq(write(go[1], "", 1), 1);
		cr_assert_eq(read_all(sources, queues, 64), 64, "round %d", round);
	}
	for (uint32_t i = 0; i < queues; i++)
		tl_source__destroy(sources[i]);
}

Test(afpacket_life, reopening_needs_no_capability)
{
	bed__enter();
	come_back_without_capabilities(1);
}

Test(afpacket_life, reopening_a_group_needs_no_capability)
{
	bed__enter();
	come_back_without_capabilities(2);
}

Test(afpacket_life, watermark_follows_the_clock_on_a_quiet_link)
{
	struct tl_source_live_opts opts = bed__opts();
	struct tl_packet packets[TL_BATCH_MAX];
	struct tl_source *source;
	uint64_t before, mark;

	bed__enter();
	bed__open(&opts, &source);
	for (int i = 0; i < 10; i++) {
		usleep(20000);
		before = bed__now_ns(CLOCK_REALTIME);
		cr_assert_eq(tl_source__poll(source, packets, TL_BATCH_MAX), 0);
		mark = source->ops->watermark(source);
		cr_assert_gt(mark, before - 50ull * MS);
		cr_assert_lt(mark, bed__now_ns(CLOCK_REALTIME));
	}
	tl_source__destroy(source);
}

Test(afpacket_life, packet_of_a_quiet_link_comes_soon)
{
	struct tl_source_live_opts opts = bed__opts();
	struct tl_source *source;
	uint64_t start, took, best = UINT64_MAX;

	bed__enter();
	bed__open(&opts, &source);
	for (int i = 0; i < 10; i++) {
		usleep(20000);
		start = bed__now_ns(CLOCK_MONOTONIC);
		send_some(1);
		cr_assert_eq(bed__read(source, 1, 1000, BED_COUNT), 1);
		took = bed__now_ns(CLOCK_MONOTONIC) - start;
		best = took < best ? took : best;
	}
	/* the block's timeout is 4 ms; a busy machine may be late, but not ten times */
	cr_assert_lt(best, 20ull * MS, "%lu ns", best);
	tl_source__destroy(source);
}

static int refused(struct tl_source_live_opts *opts, const char *words)
{
	struct tl_source *source = NULL;
	struct tl_error error = { "" };
	char mode[128];
	int err = tl_source_afpacket__create(opts, &error, mode, &source);

	cr_assert(strstr(error.what, words), "\"%s\" does not say \"%s\"", error.what, words);
	cr_assert_null(source);
	return err;
}

Test(afpacket_life, wrong_calls_are_told_in_words)
{
	struct tl_source_live_opts opts = bed__opts();

	bed__enter();
	opts.interface = "tlap-nowhere-at-all";
	cr_assert_eq(refused(&opts, "no such interface; interfaces here: lo, tlap-"), -ENODEV);
	opts.interface = BED_WIRE;
	opts.cutoff_bytes = 100;
	cr_assert_eq(refused(&opts, "--backend afxdp"), -EOPNOTSUPP);
	opts.cutoff_bytes = 0;
	bed__shell("ip link set " BED_WIRE " down");
	cr_assert_eq(refused(&opts, "ip link set " BED_WIRE " up"), -ENETDOWN);
	bed__shell("ip link set " BED_WIRE " up");
	give_up_capabilities();
	cr_assert_eq(refused(&opts, "CAP_NET_RAW; run it as root"), -EPERM);
}

Test(afpacket_life, loopback_shows_each_packet_once)
{
	struct tl_source_live_opts opts = bed__opts();
	struct tl_source_stats stats;
	struct tl_source *source;

	bed__enter();
	bed__shell("ip link set lo up");
	opts.interface = "lo";
	bed__open(&opts, &source);
	/* an echo request and its reply: two packets, each sent and received on this interface */
	bed__shell("ping -q -c 1 127.0.0.1 >/dev/null");
	cr_assert_eq(bed__drain(source), 2);
	stats = bed__stats(source);
	bed__assert_closed(&stats);
	cr_assert_eq(stats.received, 2);
	tl_source__destroy(source);
}
