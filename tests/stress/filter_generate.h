/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random filters: tcpdump expressions from a grammar, and classic programs that are valid but that
 * no compiler would write. Addresses, ports and tags come from small pools, which filter_packets.h
 * uses too, so that filters match something.
 *
 *   filter  := primary | "not" primary | filter ("and"|"or") filter | layer ["and" filter]
 *   layer   := vlan | mpls | pppoes
 *   primary := host | net | port | portrange | proto | ether | arithmetic relation | flags | length
 */
#ifndef FILTER_GENERATE_H
#define FILTER_GENERATE_H

#include <linux/filter.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "stress/filter_random.h"

static const char *const pool_ip4[] = { "10.0.0.1",    "10.0.0.2",	 "10.0.1.77",
					"192.168.1.1", "192.168.1.2",	 "172.16.200.3",
					"224.0.0.5",   "255.255.255.255" };
static const char *const pool_ip6[] = { "2001:db8::1", "2001:db8::2", "fe80::1", "ff02::1" };
static const char *const pool_mac[] = { "02:00:00:00:00:01", "02:00:00:00:00:02",
					"ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05" };
static const uint16_t pool_port[] = { 22, 53, 80, 443, 4789, 8080, 40000, 65535 };
static const uint16_t pool_vlan[] = { 0, 1, 12, 100, 4095 };
static const uint32_t pool_number[] = {
	0,  1,	2,  3,	  4,   5,   6,	   7,	   8,	   12,	       14,	   16,
	20, 24, 31, 32,	  33,  40,  54,	   63,	   64,	   128,	       255,	   256,
	80, 53, 17, 0x45, 443, 100, 65535, 0x8100, 0x0800, 0x7fffffff, 0x80000000, 0xffffffff
};

struct text {
	char s[8192];
	size_t n;
	uint64_t *rng;
};

__attribute__((format(printf, 2, 3))) static inline void say(struct text *t, const char *format,
							     ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->s + t->n, sizeof(t->s) - t->n, format, args);
	va_end(args);
	if (n > 0 && t->n + (size_t)n < sizeof(t->s))
		t->n += (size_t)n;
}

static inline const char *pick_direction(struct text *t)
{
	static const char *const list[] = { "", "", "src ", "dst ", "src or dst ", "src and dst " };

	return RANDOM_PICK(t->rng, list);
}

static inline void say_address(struct text *t)
{
	static const char *const nets4[] = { "10.0.0.0/8", "10.0.0.0/31", "192.168.1.0/24",
					     "224.0.0.0/4", "172.16.200.0/30" };
	static const char *const nets6[] = { "2001:db8::/32", "fe80::/10", "2001:db8::/127",
					     "ff00::/8" };
	const char *direction = pick_direction(t);

	switch (random_below(t->rng, 4)) {
	case 0:
		say(t, "%shost %s", direction, RANDOM_PICK(t->rng, pool_ip4));
		break;
	case 1:
		say(t, "%snet %s", direction, RANDOM_PICK(t->rng, nets4));
		break;
	case 2:
		say(t, "%shost %s", direction, RANDOM_PICK(t->rng, pool_ip6));
		break;
	default:
		say(t, "%snet %s", direction, RANDOM_PICK(t->rng, nets6));
	}
}

static inline void say_port(struct text *t)
{
	static const char *const protos[] = { "", "", "tcp ", "udp ", "sctp " };
	const char *proto = RANDOM_PICK(t->rng, protos);
	const char *direction = pick_direction(t);
	uint16_t low = RANDOM_PICK(t->rng, pool_port);

	if (random_one_in(t->rng, 3))
		say(t, "%s%sportrange %u-%u", proto, direction, low,
		    low + random_below(t->rng, 65536u - low));
	else
		say(t, "%s%sport %u", proto, direction, low);
}

static inline void say_protocol(struct text *t)
{
	static const char *const names[] = { "ip",
					     "ip6",
					     "arp",
					     "rarp",
					     "tcp",
					     "udp",
					     "icmp",
					     "icmp6",
					     "sctp",
					     "igmp",
					     "esp",
					     "ah",
					     "pim",
					     "vrrp",
					     "stp",
					     "iso",
					     "llc",
					     "ip broadcast",
					     "ip multicast",
					     "ip6 multicast",
					     "ether broadcast",
					     "ether multicast",
					     "ip proto 47",
					     "ip6 proto 44",
					     "ether proto 0x88cc",
					     "ether proto \\ip",
					     "decnet",
					     "netbeui",
					     "ipx",
					     "clnp" };

	say(t, "%s", RANDOM_PICK(t->rng, names));
}

static inline void say_ether(struct text *t)
{
	static const char *const directions[] = { "host", "src", "dst" };

	say(t, "ether %s %s", RANDOM_PICK(t->rng, directions), RANDOM_PICK(t->rng, pool_mac));
}

static inline void say_flags(struct text *t)
{
	static const char *const forms[] = {
		"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
		"tcp[tcpflags] == tcp-syn",
		"tcp[13] & 7 != 0",
		"icmp[icmptype] == icmp-echo",
		"icmp[icmptype] == icmp-unreach and icmp[icmpcode] == 3",
		"icmp6[icmp6type] == icmp6-echoreply",
		"ip[6:2] & 0x1fff != 0",
		"ip[0] & 0xf != 5",
		"tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
		"udp[((ip[0] & 0xf) << 2) : 2] > 512",
		"ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2) != 0",
		"ether[12:2] = 0x8100",
		"ether[14:2] & 0xfff = 12",
		"ether[11:4] = 0x00810000",
	};

	say(t, "%s", RANDOM_PICK(t->rng, forms));
}

static inline void say_length(struct text *t)
{
	uint32_t bytes = random_below(t->rng, 200);

	switch (random_below(t->rng, 5)) {
	case 0:
		say(t, "greater %u", bytes);
		break;
	case 1:
		say(t, "less %u", bytes);
		break;
	case 2:
		say(t, "len > %u", bytes);
		break;
	case 3:
		say(t, "len <= %u", bytes);
		break;
	default:
		say(t, "len & 3 = %u", bytes & 3);
	}
}

static inline void say_arithmetic(struct text *t, int depth)
{
	static const char *const operators[] = {
		"+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"
	};
	static const char *const protos[] = { "ether", "ether", "ip",  "ip6",	"tcp",
					      "udp",   "icmp",	"arp", "icmp6", "sctp" };
	static const uint8_t sizes[] = { 1, 1, 2, 4 };

	switch (random_below(t->rng, depth > 0 ? 6 : 3)) {
	case 0:
		say(t, "%u", RANDOM_PICK(t->rng, pool_number));
		break;
	case 1:
		say(t, "len");
		break;
	case 2:
		say(t, "%s[%u:%u]", RANDOM_PICK(t->rng, protos), random_below(t->rng, 44),
		    RANDOM_PICK(t->rng, sizes));
		break;
	case 3:
		say(t, "%s[", RANDOM_PICK(t->rng, protos));
		say_arithmetic(t, depth - 1);
		say(t, ":%u]", RANDOM_PICK(t->rng, sizes));
		break;
	default:
		say(t, "(");
		say_arithmetic(t, depth - 1);
		say(t, " %s ", RANDOM_PICK(t->rng, operators));
		say_arithmetic(t, depth - 1);
		say(t, ")");
	}
}

static inline void say_relation(struct text *t)
{
	static const char *const relations[] = { "=", "!=", ">", "<", ">=", "<=" };

	say_arithmetic(t, 3);
	say(t, " %s ", RANDOM_PICK(t->rng, relations));
	say_arithmetic(t, 2);
}

static inline void say_layer(struct text *t)
{
	switch (random_below(t->rng, 7)) {
	case 0:
	case 1:
		say(t, "vlan");
		break;
	case 2:
		say(t, "vlan %u", RANDOM_PICK(t->rng, pool_vlan));
		break;
	case 3:
		say(t, "mpls");
		break;
	case 4:
		say(t, "mpls %u", random_below(t->rng, 3) + 16);
		break;
	case 5:
		say(t, "pppoes");
		break;
	default:
		say(t, "pppoes %u", random_below(t->rng, 3));
	}
}

static inline void say_primary(struct text *t)
{
	switch (random_below(t->rng, 10)) {
	case 0:
	case 1:
		say_address(t);
		break;
	case 2:
	case 3:
		say_port(t);
		break;
	case 4:
		say_protocol(t);
		break;
	case 5:
		say_ether(t);
		break;
	case 6:
		say_flags(t);
		break;
	case 7:
		say_length(t);
		break;
	default:
		say_relation(t);
	}
}

static inline void say_filter(struct text *t, int depth)
{
	switch (random_below(t->rng, depth > 0 ? 8 : 3)) {
	case 0:
	case 1:
	case 2:
		say_primary(t);
		break;
	case 3:
		say(t, "not (");
		say_filter(t, depth - 1);
		say(t, ")");
		break;
	case 4:
		say(t, "(");
		say_layer(t);
		say(t, " and ");
		say_filter(t, depth - 1);
		say(t, ")");
		break;
	default:
		say(t, "(");
		say_filter(t, depth - 1);
		say(t, random_one_in(t->rng, 2) ? " and " : " or ");
		say_filter(t, depth - 1);
		say(t, ")");
	}
}

/* --- classic programs ---------------------------------------------------------------------- */

#define CLASSIC_ROOM 96

static inline uint32_t classic_offset(uint64_t *rng)
{
	if (random_one_in(rng, 24))
		return random_below(rng, 9000);
	return random_one_in(rng, 40) ? RANDOM_PICK(rng, pool_number) : random_below(rng, 60);
}

/* An instruction that is no jump and no return. */
static inline struct sock_filter classic_plain(uint64_t *rng)
{
	static const uint16_t loads[] = {
		BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_H | BPF_ABS, BPF_LD | BPF_B | BPF_ABS,
		BPF_LD | BPF_H | BPF_ABS, BPF_LD | BPF_B | BPF_ABS, BPF_LD | BPF_B | BPF_IND,
		BPF_LD | BPF_W | BPF_IND, BPF_LD | BPF_H | BPF_IND, BPF_LDX | BPF_B | BPF_MSH,
	};
	static const uint16_t operations[] = { BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_MOD, BPF_AND,
					       BPF_OR,	BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG };
	struct sock_filter insn = { .code = RANDOM_PICK(rng, loads), .k = classic_offset(rng) };
	uint16_t op = RANDOM_PICK(rng, operations);

	switch (random_below(rng, 12)) {
	case 0:
		return (struct sock_filter){ .code = BPF_LD | BPF_IMM,
					     .k = RANDOM_PICK(rng, pool_number) };
	case 1:
		return (struct sock_filter){ .code = BPF_LDX | BPF_IMM,
					     .k = random_below(rng, 70) };
	case 2:
		return (struct sock_filter){ .code = random_one_in(rng, 2)
							     ? BPF_LD | BPF_W | BPF_LEN
							     : BPF_LDX | BPF_W | BPF_LEN };
	case 3:
		return (struct sock_filter){ .code = random_one_in(rng, 2) ? BPF_ST : BPF_STX,
					     .k = random_below(rng, BPF_MEMWORDS) };
	case 4:
		return (struct sock_filter){ .code = random_one_in(rng, 2) ? BPF_LD | BPF_MEM
									   : BPF_LDX | BPF_MEM,
					     .k = random_below(rng, BPF_MEMWORDS) };
	case 5:
		return (struct sock_filter){ .code = random_one_in(rng, 2) ? BPF_MISC | BPF_TAX
									   : BPF_MISC | BPF_TXA };
	case 6:
		return (struct sock_filter){ .code = (uint16_t)(BPF_ALU | op |
								(op == BPF_NEG ? BPF_K : BPF_X)) };
	case 7:
		insn.code = BPF_ALU | op | BPF_K;
		insn.k = op == BPF_LSH || op == BPF_RSH ? random_below(rng, 32)
							: RANDOM_PICK(rng, pool_number);
		if ((op == BPF_DIV || op == BPF_MOD) && !insn.k)
			insn.k = 3;
		return insn;
	default:
		return insn;
	}
}

static inline struct sock_filter classic_jump(uint64_t *rng, size_t left)
{
	static const uint16_t tests[] = { BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET };
	uint32_t reach = left < 12 ? (uint32_t)left : 12;
	struct sock_filter insn = {
		.code = (uint16_t)(BPF_JMP | RANDOM_PICK(rng, tests) |
				   (random_one_in(rng, 3) ? BPF_X : BPF_K)),
		.jt = (uint8_t)random_below(rng, reach),
		.jf = (uint8_t)random_below(rng, reach),
	};

	insn.k = BPF_SRC(insn.code) == BPF_K ? RANDOM_PICK(rng, pool_number) : 0;
	if (random_one_in(rng, 10))
		insn = (struct sock_filter){ .code = BPF_JMP | BPF_JA,
					     .k = random_below(rng, reach) };
	return insn;
}

/*
 * A valid program of up to CLASSIC_ROOM instructions; count. It begins by filling all scratch
 * cells: libpcap does not say what they hold before.
 */
static inline size_t generate_classic(uint64_t *rng, struct sock_filter *insns)
{
	size_t count = 20 + random_below(rng, CLASSIC_ROOM - 20);

	for (size_t i = 0; i < BPF_MEMWORDS; i++)
		insns[i] = (struct sock_filter){ .code = BPF_ST, .k = (uint32_t)i };
	for (size_t i = BPF_MEMWORDS; i < count; i++) {
		if (i == count - 1 || random_one_in(rng, 40))
			insns[i] = (struct sock_filter){ .code = random_one_in(rng, 2)
									 ? BPF_RET | BPF_A
									 : BPF_RET | BPF_K,
							 .k = random_below(rng, 3) };
		else
			insns[i] = random_one_in(rng, 4) ? classic_jump(rng, count - i - 1)
							 : classic_plain(rng);
	}
	return count;
}

#endif
