/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_filter tl_bpf PkgConfig::bpf */
/*
 * Filters: compiling, matching, other link types, listings, long programs, counters.
 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "stress/filter_kernel.h"
#include "tl_abi.h"

/* A SYN from 10.0.0.1:40000 to 10.0.0.2:443. */
static const uint8_t syn[] = {
	0x02, 0,    0,	  0, 0,	 2, 0x02, 0,	0,  0, 0,    1,	   0x08, 0x00, 0x45, 0, 0,    40,
	0,    1,    0x40, 0, 64, 6, 0x66, 0xcd, 10, 0, 0,    1,	   10,	 0,    0,    2, 0x9c, 0x40,
	0x01, 0xbb, 0,	  0, 0,	 1, 0,	  0,	0,  0, 0x50, 0x02, 0xff, 0xff, 0,    0, 0,    0,
};

static struct tl_packet packet_of(const void *data, uint32_t bytes)
{
	return (struct tl_packet){ .data = data, .caplen = bytes, .wirelen = bytes };
}

static struct tl_filter *compiled(const char *expression)
{
	struct tl_error error = { "" };
	struct tl_filter *filter = NULL;
	int rc = tl_filter__compile(expression, TL_LINKTYPE_ETHERNET, 262144, &error, &filter);

	cr_assert_eq(rc, 0, "%s: %s", expression, error.what);
	return filter;
}

static bool matches(const char *expression, const struct tl_packet *packet)
{
	struct tl_filter *filter = compiled(expression);
	bool keep = tl_filter__match(filter, packet);

	tl_filter__destroy(filter);
	return keep;
}

Test(filter, keeps_what_the_expression_says)
{
	struct tl_packet p = packet_of(syn, sizeof(syn));

	cr_expect(matches("tcp dst port 443 and src host 10.0.0.1", &p));
	cr_expect(matches("tcp[tcpflags] == tcp-syn", &p));
	cr_expect_not(matches("udp or vlan", &p));
	cr_expect_not(matches("host 10.0.0.3", &p));
}

Test(filter, length_is_that_on_the_wire_and_loads_stop_at_the_captured_bytes)
{
	struct tl_packet p = packet_of(syn, sizeof(syn));

	p.wirelen = 1500;
	cr_expect(matches("len = 1500", &p));
	p.caplen = 30; /* the ports were not captured */
	cr_expect_not(matches("tcp port 443", &p));
	cr_expect(matches("ip", &p));
}

Test(filter, empty_expressions_keep_all)
{
	struct tl_packet p = packet_of(syn, 1);
	const char *const expressions[] = { NULL, "", "  " };

	for (size_t i = 0; i < 3; i++) {
		struct tl_filter *filter = compiled(expressions[i]);

		cr_expect(tl_filter__keeps_all(filter));
		cr_expect(tl_filter__match(filter, &p));
		tl_filter__destroy(filter);
	}
	cr_expect(tl_filter__match(NULL, &p));
	cr_expect(tl_filter__keeps_all(NULL));
}

Test(filter, an_error_carries_libpcaps_words)
{
	struct tl_error error = { "" };
	struct tl_filter *filter = NULL;

	cr_expect_eq(tl_filter__compile("tcp port and", 1, 65535, &error, &filter), -EINVAL);
	cr_expect_not_null(strstr(error.what, "syntax error"), "%s", error.what);
	cr_expect_eq(tl_filter__compile("ether host 10.0.0.1", 1, 65535, &error, &filter), -EINVAL);
	cr_expect_eq(tl_filter__compile("len / 0 = 1", 1, 65535, &error, &filter), -EINVAL);
	cr_expect_not_null(strstr(error.what, "division by zero"), "%s", error.what);
	cr_expect_null(filter);
}

Test(filter, other_link_types_are_compiled_once)
{
	struct tl_filter *filter = compiled("tcp port 443");
	const struct tl_filter *raw = tl_filter__for_linktype(filter, TL_LINKTYPE_RAW);
	struct tl_packet p = packet_of(syn + 14, sizeof(syn) - 14);

	cr_assert_not_null(raw);
	cr_expect(tl_filter__match(raw, &p));
	cr_expect_not(tl_filter__match(filter, &p));
	cr_expect_eq(raw, tl_filter__for_linktype(filter, TL_LINKTYPE_RAW));
	cr_expect_eq(filter, tl_filter__for_linktype(filter, TL_LINKTYPE_ETHERNET));
	tl_filter__destroy(filter);
	filter = compiled("ether host 02:00:00:00:00:01");
	cr_expect_null(tl_filter__for_linktype(filter, TL_LINKTYPE_RAW));
	cr_expect_null(tl_filter__for_linktype(filter, TL_LINKTYPE_RAW), "remembered");
	tl_filter__destroy(filter);
}

static void *compile_and_match(void *ctx)
{
	struct tl_filter *shared = ctx;
	struct tl_packet p = packet_of(syn, sizeof(syn));
	long wrong = 0;

	for (int i = 0; i < 200; i++) {
		char expression[64];
		struct tl_filter *own;
		const struct tl_filter *raw = tl_filter__for_linktype(shared, TL_LINKTYPE_RAW);

		snprintf(expression, sizeof(expression), "tcp port %d", 300 + i);
		if (tl_filter__compile(expression, 1, 65535, NULL, &own)) {
			wrong++;
			continue;
		}
		wrong += tl_filter__match(own, &p) != (300 + i == 443) || !raw;
		tl_filter__destroy(own);
	}
	return (void *)wrong;
}

Test(filter, threads_may_compile_at_the_same_time)
{
	struct tl_filter *shared = compiled("tcp");
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, compile_and_match, shared), 0);
	for (int i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_expect_eq((long)wrong, 0);
	}
	tl_filter__destroy(shared);
}

Test(filter, classic_programs_are_checked)
{
	const struct sock_filter ret = { .code = BPF_RET | BPF_K, .k = 1 };
	const struct sock_filter bad[] = {
		{ .code = BPF_JMP | BPF_JA, .k = 5 },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .jt = 1 },
		{ .code = BPF_ALU | BPF_DIV | BPF_K, .k = 0 },
		{ .code = BPF_ALU | BPF_MOD | BPF_K, .k = 0 },
		{ .code = BPF_ALU | BPF_LSH | BPF_K, .k = 32 },
		{ .code = BPF_ST, .k = 16 },
		{ .code = BPF_LDX | BPF_MEM, .k = 16 },
		{ .code = BPF_LDX | BPF_W | BPF_ABS },
		{ .code = 0xffff },
	};
	struct tl_filter *filter = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct sock_filter program[] = { bad[i], ret };

		cr_expect_eq(tl_filter__from_classic(program, 2, 1, &filter), -EINVAL, "%zu", i);
	}
	cr_expect_eq(tl_filter__from_classic(bad, 0, 1, &filter), -EINVAL);
	cr_expect_eq(tl_filter__from_classic(&bad[5], 1, 1, &filter), -EINVAL, "no return");
	cr_assert_eq(tl_filter__from_classic(&ret, 1, 1, &filter), 0);
	cr_expect(tl_filter__keeps_all(filter));
	cr_expect_null(tl_filter__for_linktype(filter, TL_LINKTYPE_RAW));
	tl_filter__destroy(filter);
}

Test(filter, loops_are_not_translated_but_still_match_files)
{
	struct tl_filter *filter = compiled("ip6 protochain 6");
	const struct tl_ebpf_opts opts = { .count_map_fd = -1, .accept_return = 1 };
	struct tl_packet p = packet_of(syn, sizeof(syn));
	struct bpf_insn *insns;
	size_t count;

	cr_expect_eq(tl_filter__to_xdp_ebpf(filter, &opts, &insns, &count), -EINVAL);
	cr_expect_eq(tl_filter__to_skb_ebpf(filter, &opts, &insns, &count), -EINVAL);
	cr_expect_not(tl_filter__match(filter, &p));
	tl_filter__destroy(filter);
}

Test(filter, listing_begins_as_tcpdumps)
{
	struct tl_filter *filter = compiled("arp");
	char *listing = NULL;
	size_t bytes;
	FILE *out = open_memstream(&listing, &bytes);

	cr_assert_eq(tl_filter__dump(filter, out), 0);
	fclose(out);
	cr_expect_eq(strncmp(listing, "(000) ldh      [12]\n", 20), 0, "%s", listing);
	cr_expect_not_null(strstr(listing, "eBPF for XDP, "));
	cr_expect_not_null(strstr(listing, "eBPF for AF_PACKET, "));
	cr_expect_not_null(strstr(listing, "w7 != 0x806"), "%s", listing);
	cr_expect_null(strstr(listing, "code 0x"), "an instruction without a name: %s", listing);
	free(listing);
	tl_filter__destroy(filter);
}

/* --- in the kernel ------------------------------------------------------------------------- */

static void need_kernel(void)
{
	if (kernel_probe())
		cr_skip_test("the kernel does not let us load BPF programs: run as root");
}

/* What "host a or host b or …" of `count` addresses compiles to; the last one is 10.0.0.1. */
static struct tl_filter *many_hosts(uint32_t count)
{
	struct sock_filter *insns = calloc(4 * count + 4, sizeof(*insns)), *at = insns;
	struct tl_filter *filter = NULL;

	for (uint32_t field = 26; field <= 30; field += 4) {
		*at++ = (struct sock_filter){ .code = BPF_LD | BPF_W | BPF_ABS, .k = field };
		for (uint32_t i = 1; i <= count; i++) {
			uint32_t to_end = 0;

			*at++ = (struct sock_filter){ .code = BPF_JMP | BPF_JEQ | BPF_K,
						      .jf = 1,
						      .k = 0x0a000001 + (count - i) * 0x101 };
			to_end = 4 * count + 3 - (uint32_t)(at - insns) - 1;
			*at++ = (struct sock_filter){ .code = BPF_JMP | BPF_JA, .k = to_end };
		}
	}
	*at++ = (struct sock_filter){ .code = BPF_RET | BPF_K, .k = 0 };
	*at++ = (struct sock_filter){ .code = BPF_RET | BPF_K, .k = 1 };
	cr_assert_eq(tl_filter__from_classic(insns, (size_t)(at - insns), 1, &filter), 0);
	free(insns);
	return filter;
}

static void expect_verdict(const struct tl_filter *filter, bool keep)
{
	struct test_packet p = { .data = (uint8_t *)(uintptr_t)syn, .bytes = sizeof(syn) };
	struct tl_packet packet = packet_of(syn, sizeof(syn));

	cr_expect_eq(tl_filter__match(filter, &packet), keep);
	for (enum way way = 0; way < WAY_COUNT; way++) {
		size_t count;
		int fd;

		if (way == WAY_TAGGED)
			continue; /* there the packet has another tag, and is another packet */
		fd = load_way(filter, way, &count);
		cr_assert_geq(fd, 0, "%s: %s", way_names[way], strerror(-fd));
		cr_expect_eq(run_way(fd, way, &p), keep ? ACCEPTED : 0, "%s", way_names[way]);
		close(fd);
	}
}

Test(filter, lists_of_hosts_load)
{
	struct tl_filter *filter;

	need_kernel();
	for (uint32_t count = 500; count <= 2000; count *= 2) {
		filter = many_hosts(count);
		expect_verdict(filter, true);
		tl_filter__destroy(filter);
	}
}

Test(filter, lists_of_port_ranges_load)
{
	char text[4096] = "portrange 1-2", *at = text + strlen(text);
	struct tl_filter *filter;

	need_kernel();
	for (int i = 1; i <= 60; i++)
		at += sprintf(at, " or portrange %d-%d", 322 + 2 * i, 323 + 2 * i);
	filter = compiled(text);
	expect_verdict(filter, true); /* 442-443 is the last */
	tl_filter__destroy(filter);
}

/* A chain of tests, the last of which is out of reach of a 16-bit jump from the first. */
static struct tl_filter *far_jumps(uint32_t wanted_port, size_t count)
{
	struct sock_filter *insns = calloc(count + 4, sizeof(*insns));
	struct tl_filter *filter = NULL;

	insns[0] = (struct sock_filter){ .code = BPF_LD | BPF_H | BPF_ABS, .k = 36 };
	insns[1] = (struct sock_filter){
		.code = BPF_JMP | BPF_JEQ | BPF_K, .k = wanted_port, .jt = 0, .jf = 1
	};
	insns[2] = (struct sock_filter){ .code = BPF_JMP | BPF_JA, .k = (uint32_t)count };
	for (size_t i = 3; i < count + 2; i++)
		insns[i] = (struct sock_filter){ .code = BPF_LD | BPF_B | BPF_ABS, .k = 14 };
	insns[count + 2] = (struct sock_filter){ .code = BPF_RET | BPF_K, .k = 0 };
	insns[count + 3] = (struct sock_filter){ .code = BPF_RET | BPF_K, .k = 1 };
	cr_assert_eq(tl_filter__from_classic(insns, count + 4, 1, &filter), 0);
	free(insns);
	return filter;
}

Test(filter, jumps_of_any_length_arrive)
{
	struct tl_filter *near = far_jumps(443, 3000), *none = far_jumps(444, 3000);
	const struct tl_ebpf_opts opts = { .count_map_fd = -1, .accept_return = 1 };
	struct bpf_insn *insns;
	size_t count;

	need_kernel();
	cr_assert_eq(tl_filter__to_xdp_ebpf(near, &opts, &insns, &count), 0);
	cr_expect_gt(count, 32767, "this must need more than one hop: %zu", count);
	free(insns);
	expect_verdict(near, true);
	expect_verdict(none, false);
	tl_filter__destroy(near);
	tl_filter__destroy(none);
}

Test(filter, shifts_by_32_give_0_and_division_by_0_rejects)
{
	struct sock_filter insns[] = {
		{ .code = BPF_LD | BPF_IMM, .k = 0xffffffff },
		{ .code = BPF_LDX | BPF_IMM, .k = 32 },
		{ .code = BPF_ALU | BPF_LSH | BPF_X },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .k = 0, .jt = 1 },
		{ .code = BPF_RET | BPF_K, .k = 0 },
		{ .code = BPF_RET | BPF_K, .k = 1 },
	};
	struct tl_filter *filter;

	need_kernel();
	cr_assert_eq(tl_filter__from_classic(insns, 6, 1, &filter), 0);
	expect_verdict(filter, true);
	tl_filter__destroy(filter);
	insns[1].k = 0;
	insns[2].code = BPF_ALU | BPF_DIV | BPF_X;
	insns[4].k = 1; /* whatever the quotient, only the division itself can reject */
	cr_assert_eq(tl_filter__from_classic(insns, 6, 1, &filter), 0);
	expect_verdict(filter, false);
	tl_filter__destroy(filter);
}

static struct tl_filter_count run_counted(const struct tl_filter *filter, bool is_xdp, int times)
{
	struct tl_filter_count sum = { 0 }, per_cpu[512];
	int map = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "tl_count", 4, sizeof(sum), 1, NULL);
	const struct tl_ebpf_opts opts = { .count_map_fd = map, .accept_return = 7 };
	struct test_packet p = { .data = (uint8_t *)(uintptr_t)syn, .bytes = sizeof(syn) };
	struct bpf_insn *insns;
	uint32_t key = 0;
	size_t count;
	int fd;

	cr_assert_geq(map, 0);
	if (is_xdp)
		cr_assert_eq(tl_filter__to_xdp_ebpf(filter, &opts, &insns, &count), 0);
	else
		cr_assert_eq(tl_filter__to_skb_ebpf(filter, &opts, &insns, &count), 0);
	fd = bpf_prog_load(is_xdp ? BPF_PROG_TYPE_XDP : BPF_PROG_TYPE_SOCKET_FILTER, "tl_count",
			   "GPL", insns, count, NULL);
	cr_assert_geq(fd, 0);
	free(insns);
	for (int i = 0; i < times; i++)
		run_way(fd, is_xdp ? WAY_XDP : WAY_SOCKET, &p);
	memset(per_cpu, 0, sizeof(per_cpu));
	cr_assert_eq(bpf_map_lookup_elem(map, &key, per_cpu), 0);
	for (size_t i = 0; i < 512; i++) {
		sum.seen += per_cpu[i].seen;
		sum.seen_bytes += per_cpu[i].seen_bytes;
		sum.kept += per_cpu[i].kept;
		sum.kept_bytes += per_cpu[i].kept_bytes;
	}
	close(fd);
	close(map);
	return sum;
}

Test(filter, counts_what_it_sees_and_keeps)
{
	struct tl_filter *keeps = compiled("tcp"), *rejects = compiled("udp");

	need_kernel();
	for (int is_xdp = 0; is_xdp < 2; is_xdp++) {
		struct tl_filter_count k = run_counted(keeps, is_xdp, 5);
		struct tl_filter_count r = run_counted(rejects, is_xdp, 3);

		cr_expect(k.seen == 5 && k.kept == 5);
		cr_expect(k.seen_bytes == 5 * sizeof(syn) && k.kept_bytes == 5 * sizeof(syn));
		cr_expect(r.seen == 3 && r.kept == 0);
		cr_expect(r.seen_bytes == 3 * sizeof(syn) && r.kept_bytes == 0);
	}
	tl_filter__destroy(keeps);
	tl_filter__destroy(rejects);
}
