/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source tl_filter tl_link */
/* runs alone */
/*
 * Two sockets on one interface: whatever belongs to a pair of hosts arrives at the same one.
 */
#include "afpacket_bed.h"

#include "packet_builder.h"

#define SOCKETS 2
#define PAIRS	32

struct pair {
	char a[48], b[48];
};

static struct pair pair_v4(int i)
{
	struct pair pair;

	snprintf(pair.a, sizeof(pair.a), "10.1.%d.1", i);
	snprintf(pair.b, sizeof(pair.b), "10.2.0.%d", i + 1);
	return pair;
}

static struct pair pair_v6(int i)
{
	struct pair pair;

	snprintf(pair.a, sizeof(pair.a), "2001:db8::%x", i + 1);
	snprintf(pair.b, sizeof(pair.b), "2001:db8:0:1::%x", 7 * i + 3);
	return pair;
}

static struct pb_ip there(const struct pair *pair)
{
	return (struct pb_ip){ .src = pair->a, .dst = pair->b };
}

static struct pb_ip back(const struct pair *pair)
{
	return (struct pb_ip){ .src = pair->b, .dst = pair->a };
}

/* --- shapes in which packets of one flow appear; each starts behind the Ethernet header ------ */

static void transport(struct pb *b, const struct pb_ip *ip)
{
	pb__ip(b, ip);
	pb__tcp(b, &(struct pb_tcp){ .src_port = 40000, .dst_port = 80, .flags = TL_TCP_ACK });
}

static void plain(struct pb *b, const struct pair *pair)
{
	struct pb_ip ip = there(pair);

	transport(b, &ip);
}

static void reply_other_ports(struct pb *b, const struct pair *pair)
{
	struct pb_ip ip = back(pair);

	pb__ip(b, &ip);
	pb__udp(b, 53, 4000);
	pb__bytes(b, NULL, 20);
}

static void vlan(struct pb *b, const struct pair *pair)
{
	struct pb_ip ip = back(pair);

	pb__vlan(b, 0x8100, 5);
	transport(b, &ip);
}

static void qinq(struct pb *b, const struct pair *pair)
{
	pb__vlan(b, 0x88a8, 5);
	pb__vlan(b, 0x8100, 6);
	plain(b, pair);
}

static void mpls(struct pb *b, const struct pair *pair)
{
	pb__mpls(b, 16, false);
	pb__mpls(b, 17, true);
	plain(b, pair);
}

static void pppoe(struct pb *b, const struct pair *pair)
{
	pb__pppoe(b, 9, strchr(pair->a, ':') ? 0x57 : 0x21);
	plain(b, pair);
}

static void fragment_first(struct pb *b, const struct pair *pair)
{
	struct pb_ip ip = there(pair);

	ip.more_fragments = !strchr(pair->a, ':');
	pb__ip(b, &ip);
	if (!ip.more_fragments)
		pb__ipv6_fragment(b, 0, true, 7);
	pb__udp(b, 1, 4789); /* looks like a tunnel, and must not be followed: its rest is not */
	pb__vxlan(b, 7);
	pb__ethernet(b);
	pb__ip(b, &(struct pb_ip){ .src = "192.0.2.1", .dst = "192.0.2.77" });
	pb__bytes(b, NULL, 64);
}

static void fragment_later(struct pb *b, const struct pair *pair)
{
	struct pb_ip ip = there(pair);

	ip.fragment_offset = strchr(pair->a, ':') ? 0 : 1480;
	ip.proto = strchr(pair->a, ':') ? 0 : 17;
	pb__ip(b, &ip);
	if (!ip.proto)
		pb__ipv6_fragment(b, 1480, false, 7);
	pb__bytes(b, "\xff\xfe\xfd\xfc\xfb\xfa", 6);
	pb__bytes(b, NULL, 40);
}

static void outer(struct pb *b)
{
	pb__ip(b, &(struct pb_ip){ .src = "172.16.0.1", .dst = "172.16.9.9" });
}

static void vxlan(struct pb *b, const struct pair *pair)
{
	outer(b);
	pb__udp(b, 50001, 4789);
	pb__vxlan(b, 42);
	pb__ethernet(b);
	pb__vlan(b, 0x8100, 3);
	plain(b, pair);
}

static void geneve(struct pb *b, const struct pair *pair)
{
	outer(b);
	pb__udp(b, 50001, 6081);
	pb__geneve(b, 42, 8);
	pb__ethernet(b);
	plain(b, pair);
}

static void gtpu(struct pb *b, const struct pair *pair)
{
	outer(b);
	pb__udp(b, 2152, 2152);
	pb__gtpu(b, 42);
	plain(b, pair);
}

static void gre(struct pb *b, const struct pair *pair)
{
	outer(b);
	pb__gre(b, &(struct pb_gre){ .has_key = true, .has_sequence = true, .has_checksum = true });
	plain(b, pair);
}

static void erspan2(struct pb *b, const struct pair *pair)
{
	outer(b);
	pb__gre(b, &(struct pb_gre){ .has_sequence = true, .protocol = 0x88be });
	pb__bytes(b, "\x10\x01\x00\x02\x00\x00\x00\x00", 8);
	pb__ethernet(b);
	plain(b, pair);
}

static void erspan3(struct pb *b, const struct pair *pair)
{
	outer(b);
	pb__gre(b, &(struct pb_gre){ .has_sequence = true, .protocol = 0x22eb });
	pb__bytes(b, "\x20\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01", 12);
	pb__bytes(b, NULL, 8);
	pb__ethernet(b);
	plain(b, pair);
}

static void ip_in_ip(struct pb *b, const struct pair *pair)
{
	outer(b);
	plain(b, pair);
}

/* A router tells the client that its packet was lost. */
static void icmp_error(struct pb *b, const struct pair *pair)
{
	if (strchr(pair->a, ':')) {
		pb__ip(b, &(struct pb_ip){ .src = "2001:db8:ffff::1", .dst = pair->a });
		pb__icmp6(b, 1, 0, 0);
	} else {
		pb__ip(b, &(struct pb_ip){ .src = "172.30.0.1", .dst = pair->a });
		pb__icmp(b, 3, 1, 0);
	}
	plain(b, pair);
}

static void extensions(struct pb *b, const struct pair *pair)
{
	struct pb_ip ip = back(pair);

	pb__ip(b, &ip);
	if (strchr(pair->a, ':')) {
		pb__ipv6_extension(b, 0, 8);
		pb__ipv6_extension(b, 60, 16);
		pb__ipv6_fragment(b, 0, false, 3);
	}
	/* an inner packet behind the extension headers shows that they were passed */
	pb__ip(b, &(struct pb_ip){ .src = pair->a, .dst = pair->b });
	pb__udp(b, 1, 2);
}

static void (*const shapes[])(struct pb *b, const struct pair *pair) = {
	plain,		vlan,		qinq,	  mpls,	      pppoe,	  reply_other_ports,
	fragment_first, fragment_later, vxlan,	  geneve,     gtpu,	  gre,
	erspan2,	erspan3,	ip_in_ip, icmp_error, extensions,
};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* --- reading ------------------------------------------------------------------------------- */

/* The pair's and the shape's number are in the sender's address. */
struct seen {
	int queue[2 * PAIRS][SHAPES]; /* -1: nowhere yet */
	uint64_t elsewhere[SOCKETS];  /* packets without IP */
	uint64_t count[SOCKETS];
};

static void note(void *ctx, const struct tl_packet *packet)
{
	struct seen *seen = ctx;

	cr_assert_lt(packet->queue, SOCKETS);
	seen->count[packet->queue]++;
	if (packet->data[6] != 2) {
		seen->elsewhere[packet->queue]++;
		return;
	}
	cr_assert_eq(seen->queue[packet->data[7]][packet->data[8]], -1, "a packet came twice");
	seen->queue[packet->data[7]][packet->data[8]] = (int)packet->queue;
}

static void send_all(int fd)
{
	for (int i = 0; i < 2 * PAIRS; i++) {
		struct pair pair = i < PAIRS ? pair_v4(i) : pair_v6(i);

		for (size_t shape = 0; shape < SHAPES; shape++) {
			uint8_t bytes[512];
			struct pb b = pb__start(bytes, sizeof(bytes));

			pb__ethernet(&b);
			shapes[shape](&b, &pair);
			bytes[7] = (uint8_t)i;
			bytes[8] = (uint8_t)shape;
			bed__send(fd, bytes, pb__packet(&b, 0, 1).caplen);
		}
	}
}

/* ARP, LLDP, an 802.3 length that reads like a protocol number, and a broken IP header. */
static void send_others(int fd)
{
	static const uint16_t types[] = { 0x0806, 0x88cc, 47, 17, 41, 0x0800 };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint8_t frame[64] = { 0x01, 0x80, 0xc2, 0, 0, 0, 6 };

		frame[12] = (uint8_t)(types[i] >> 8);
		frame[13] = (uint8_t)types[i];
		memset(frame + 14, (int)(16 * i), 50);
		bed__send(fd, frame, sizeof(frame));
	}
}

static void open_two(struct tl_source **sources)
{
	struct tl_source_live_opts opts = bed__opts();
	struct tl_error error = { "" };
	char mode[128];

	opts.queue_count = SOCKETS;
	cr_assert_eq(tl_source_afpacket__create(&opts, &error, mode, sources), 0, "%s", error.what);
	cr_assert(strstr(mode, "eBPF fanout over 2 sockets"), "%s", mode);
}

Test(afpacket_fanout, a_flow_stays_at_one_socket)
{
	static struct seen seen;
	struct tl_source *sources[SOCKETS];
	struct tl_source_stats sum = { 0 };
	int fd;

	bed__enter();
	memset(seen.queue, 0xff, sizeof(seen.queue));
	open_two(sources);
	fd = bed__sender();
	send_all(fd);
	send_others(fd);
	for (int i = 0; i < SOCKETS; i++) {
		struct tl_source_stats stats;

		bed__read(sources[i], UINT64_MAX, 100, (struct bed_visitor){ note, &seen });
		cr_assert_eq(bed__drain(sources[i]), 0);
		stats = bed__stats(sources[i]);
		bed__assert_closed(&stats);
		tl_source_stats__add(&sum, &stats);
	}
	cr_assert_eq(sum.received, 2 * PAIRS * SHAPES + 6);
	for (int i = 0; i < 2 * PAIRS; i++)
		for (size_t shape = 0; shape < SHAPES; shape++)
			cr_assert_eq(seen.queue[i][shape], seen.queue[i][0],
				     "pair %d: shape %zu is at socket %d, plain at %d", i, shape,
				     seen.queue[i][shape], seen.queue[i][0]);
	cr_assert_eq(seen.elsewhere[0] + seen.elsewhere[1], 6);
	cr_assert(!seen.elsewhere[0] || !seen.elsewhere[1], "packets without IP were parted");
	/* of 64 pairs, neither socket gets fewer than 12: a fair hash fails that once in 10^6 */
	for (int i = 0; i < SOCKETS; i++)
		cr_assert_geq(seen.count[i], 12 * SHAPES);
	for (int i = 0; i < SOCKETS; i++)
		tl_source__destroy(sources[i]);
}
