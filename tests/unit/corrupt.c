/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core tl_decode */
/* packet.corrupt and the checksum it rests on: real bytes, decoded. */
#include <criterion/criterion.h>
#include <errno.h>

#include "core/checksum.h"
#include "tapline/decode.h"
#include "unit/analysis_bed.h"

static struct bed *b;
static uint16_t next_id;

static void start(void)
{
	b = bed__start(false);
	next_id = 1;
}

static void stop(void)
{
	bed__free(b);
}

TestSuite(corrupt, .init = start, .fini = stop);

enum damage { WHOLE, PAYLOAD, OFFLOAD, GARBAGE, IP_HEADER, LENGTH, RST_BIT };

/* In the number of Content-Length, which the checksum tells. */
static void spoil_length(uint8_t *bytes, size_t count)
{
	uint8_t *at = memmem(bytes, count, "10\r\n\r\n", 6);

	if (at)
		*at = '9';
}

static void spoil(uint8_t *bytes, size_t count, enum damage damage, const struct tl_layers *l)
{
	uint8_t *field = bytes + l->l4_offset + 16;

	if (damage == PAYLOAD) {
		bytes[count - 3] ^= 0x40;
	} else if (damage == GARBAGE) {
		field[0] ^= 0x55;
	} else if (damage == LENGTH) {
		spoil_length(bytes, count);
	} else if (damage == RST_BIT) {
		bytes[l->l4_offset + 13] ^= TL_TCP_RST;
	} else if (damage == IP_HEADER) {
		bytes[l->l3_offset + 10] ^= 0x11;
	} else if (damage == OFFLOAD) {
		uint8_t pseudo[12] = { 0 };
		uint16_t sum;

		memcpy(pseudo, l->src, 4);
		memcpy(pseudo + 4, l->dst, 4);
		pseudo[9] = 6;
		pseudo[11] = (uint8_t)(count - l->l4_offset);
		sum = tl_checksum__fold(pseudo, sizeof(pseudo), 0);
		memcpy(field, &sum, 2);
	}
}

/* A segment of 100 bytes (0: an ACK) with real bytes. */
static void segment(uint64_t ms, bool from_client, const struct bed_tcp *t, enum damage damage)
{
	static uint8_t bytes[2048];
	struct pb_ip ip = { .src = from_client ? "10.0.1.5" : "10.0.2.10",
			    .dst = from_client ? "10.0.2.10" : "10.0.1.5",
			    .id = next_id++ };
	struct pb_tcp tcp = { .src_port = from_client ? 40000 : 80,
			      .dst_port = from_client ? 80 : 40000,
			      .seq = t->seq,
			      .ack = t->ack,
			      .flags = t->flags };
	struct tl_packet p = pb__tcp_packet(bytes, &ip, &tcp,
					    (struct pb_payload){ t->payload, t->payload_bytes });
	struct tl_layers l;

	tl_decode(&p, &l);
	spoil(bytes, p.caplen, damage, &l);
	tl_decode(&p, &l);
	p.ts_ns = BED_START_NS + ms * BED_MS;
	p.frame = ++b->frame;
	bed__packet(b, &p, &l);
}

/* `n` segments of the client, ACKed but for those from the damaged one on; it is sent again. */
static void transfer(unsigned n, unsigned damaged, enum damage damage, bool again)
{
	segment(0, true, &(struct bed_tcp){ .flags = TL_TCP_SYN, .seq = 1000 }, WHOLE);
	segment(1, false, &BED_SYNACK(5000, 1001), WHOLE);
	segment(2, true, &BED_ACK(1001, 5001), WHOLE);
	for (unsigned i = 0; i < n; i++) {
		segment(10 + i * 10, true, &BED_DATA(1001 + i * 100, 5001, 100),
			i == damaged ? damage : WHOLE);
		if (i == damaged && again)
			segment(300 + i * 10, true, &BED_DATA(1001 + i * 100, 5001, 100), WHOLE);
		if (i < damaged || !again)
			segment(12 + i * 10, false, &BED_ACK(5001, 1101 + i * 100), WHOLE);
		if (i == damaged && again)
			break;
	}
}

Test(corrupt, a_damaged_segment_that_is_sent_again_is_a_warning)
{
	const struct tl_finding *f;

	transfer(10, 5, PAYLOAD, true);
	bed__end(b);
	f = bed__only(b, "packet.corrupt");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_str_eq(bed__detail_string(f, "layer"), "tcp");
	cr_expect_eq(bed__detail(f, "sent_again"), 1);
	cr_expect_eq(f->count, 1);
	cr_expect_eq(f->evidence_count, 2);
	cr_expect_eq(f->evidence[0].frame, 14);
	cr_expect_eq(f->evidence[1].frame, 15);
}

Test(corrupt, what_the_receiver_acked_is_worth_knowing_only)
{
	const struct tl_finding *f;

	transfer(10, 5, PAYLOAD, false);
	bed__end(b);
	f = bed__only(b, "packet.corrupt");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_INFO);
	cr_expect_eq(bed__detail(f, "acked"), 1);
	cr_expect_eq(f->counter_evidence_count, 1);
}

Test(corrupt, a_damaged_ip_header_names_its_layer)
{
	const struct tl_finding *f;

	transfer(10, 5, IP_HEADER, true);
	bed__end(b);
	f = bed__only(b, "packet.corrupt");
	cr_assert_not_null(f);
	cr_expect_str_eq(bed__detail_string(f, "layer"), "ipv4");
}

Test(corrupt, the_sum_of_the_pseudo_header_is_offload)
{
	transfer(10, 5, OFFLOAD, true);
	bed__end(b);
	cr_expect_eq(bed__count(b, "packet.", TL_INFO), 0);
}

Test(corrupt, a_sender_whose_checksums_are_all_bad_is_offload)
{
	segment(0, true, &(struct bed_tcp){ .flags = TL_TCP_SYN, .seq = 1000 }, GARBAGE);
	segment(1, false, &BED_SYNACK(5000, 1001), WHOLE);
	segment(2, true, &BED_ACK(1001, 5001), GARBAGE);
	for (unsigned i = 0; i < 10; i++) {
		segment(10 + i * 10, true, &BED_DATA(1001 + i * 100, 5001, 100), GARBAGE);
		segment(12 + i * 10, false, &BED_ACK(5001, 1101 + i * 100), WHOLE);
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "packet.", TL_INFO), 0);
}

Test(corrupt, whole_packets_are_no_finding)
{
	transfer(10, 20, WHOLE, false);
	bed__end(b);
	cr_expect_eq(bed__count(b, "packet.", TL_INFO), 0);
}

/* --- what others make of a damaged segment: nothing, until it comes again ----------------------
 */

static const struct bed_tcp *said(uint32_t seq, uint32_t ack, const char *text)
{
	static struct bed_tcp t;

	t = BED_DATA(seq, ack, (uint32_t)strlen(text));
	t.payload = (const uint8_t *)text;
	return &t;
}

/* A POST whose one segment is damaged; then the same whole, or not; and the answer. */
static void post(enum damage damage, bool again)
{
	static const char text[] = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"
				   "0123456789";
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	uint32_t end = 1001 + sizeof(text) - 1, answered = 5001 + sizeof(ok) - 1;

	segment(0, true, &(struct bed_tcp){ .flags = TL_TCP_SYN, .seq = 1000 }, WHOLE);
	segment(1, false, &BED_SYNACK(5000, 1001), WHOLE);
	segment(2, true, &BED_ACK(1001, 5001), WHOLE);
	segment(10, true, said(1001, 5001, text), damage);
	if (again)
		segment(210, true, said(1001, 5001, text), WHOLE);
	segment(2300, false, &BED_ACK(5001, end), WHOLE);
	segment(2310, false, said(5001, end, ok), WHOLE);
	segment(2320, true, &BED_FIN(end, answered), WHOLE);
	segment(2330, false, &BED_FIN(answered, end + 1), WHOLE);
	segment(2340, true, &BED_ACK(end + 1, answered + 1), WHOLE);
	bed__end(b);
}

Test(corrupt, a_damaged_head_is_not_read)
{
	post(LENGTH, true);
	cr_expect_eq(bed__count(b, "packet.corrupt", TL_WARNING), 1);
	cr_expect_eq(bed__count(b, "http.", TL_INFO), 0);
	cr_expect_eq(bed__count(b, "tcp.", TL_INFO), 0, "the loss has that cause");
}

Test(corrupt, a_damaged_head_that_was_damaged_for_this_capture_alone_is_not_judged)
{
	post(LENGTH, false);
	cr_expect_eq(bed__count(b, "packet.corrupt", TL_INFO), 1);
	cr_expect_eq(bed__count(b, "http.", TL_INFO), 0);
	cr_expect_eq(bed__count(b, "mirror.", TL_INFO), 0);
}

Test(corrupt, a_reset_that_the_wire_made_is_none)
{
	struct bed_tcp t = BED_DATA(1001, 5001, 100);

	segment(0, true, &(struct bed_tcp){ .flags = TL_TCP_SYN, .seq = 1000 }, WHOLE);
	segment(1, false, &BED_SYNACK(5000, 1001), WHOLE);
	segment(2, true, &BED_ACK(1001, 5001), WHOLE);
	segment(10, true, &t, RST_BIT);
	segment(300, true, &t, WHOLE);
	segment(310, false, &BED_ACK(5001, 1101), WHOLE);
	bed__end(b);
	cr_expect_eq(bed__count(b, "packet.corrupt", TL_WARNING), 1);
	cr_expect_eq(bed__count(b, "tcp.", TL_INFO), 0);
}

Test(corrupt, bytes_that_are_damaged_each_time_they_are_sent_are_a_warning)
{
	segment(0, true, &(struct bed_tcp){ .flags = TL_TCP_SYN, .seq = 1000 }, WHOLE);
	segment(1, false, &BED_SYNACK(5000, 1001), WHOLE);
	segment(2, true, &BED_ACK(1001, 5001), WHOLE);
	for (unsigned i = 0; i < 10; i++)
		segment(10 + i, true, &BED_ACK(1001, 5001), WHOLE);
	for (unsigned i = 0; i < 4; i++)
		segment(100 + (200u << i), true, &BED_DATA(1001, 5001, 100), PAYLOAD);
	bed__end(b);
	cr_assert_not_null(bed__only(b, "packet.corrupt"));
	cr_expect_eq(bed__only(b, "packet.corrupt")->severity, TL_WARNING);
	cr_expect_eq(bed__detail(bed__only(b, "packet.corrupt"), "damaged_again"), 3);
}

/* --- the checksum: the same verdicts as the decoder's, which was written apart from it -------- */

Test(corrupt, checksum_agrees_with_the_decoder)
{
	static uint8_t bytes[2048], payload[1400];

	for (unsigned n = 0; n < 1400; n += 7) {
		struct pb_ip ip = { .src = n % 2 ? "10.0.0.1" : "2001:db8::1",
				    .dst = n % 2 ? "10.0.0.2" : "2001:db8::2" };
		struct pb_tcp tcp = { .src_port = 1, .dst_port = 2, .seq = n * 77 };
		struct tl_packet p;
		struct tl_layers l;

		for (unsigned i = 0; i < n; i++)
			payload[i] = (uint8_t)(i * n + 13);
		p = pb__tcp_packet(bytes, &ip, &tcp, (struct pb_payload){ payload, n });
		tl_decode(&p, &l);
		cr_expect_eq(tl_checksum__transport(&p, &l), 1, "%u bytes", n);
		bytes[p.caplen - 1 - n / 2] ^= 1;
		tl_decode(&p, &l);
		cr_expect_eq(tl_checksum__transport(&p, &l), tl_decode__l4_checksum_ok(&p, &l));
		p.caplen -= 1;
		tl_decode(&p, &l);
		cr_expect_eq(tl_checksum__transport(&p, &l), -ENODATA, "cut off");
	}
}
