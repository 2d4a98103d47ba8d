/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tracker_copies.h. */
#include "core/tracker_copies.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tapline/cursor.h"

#define HEAD_BYTES 64u
#define TAIL_BYTES 32u

#define FADE_AT	     8192u
#define PAIRS_LEAST  8u
#define FIRSTS_LEAST 16u
#define RUN_US	     10000u /* in which equal datagrams are one run */

#define SEED_BYTES 256u

#define PROTO_TCP     6
#define PROTO_UDP     17
#define PROTO_ICMP6   58
#define ETHERTYPE_ARP 0x0806
#define ARP_BYTES     28u

int tl_copies__init(struct tl_copies *copies)
{
	size_t bytes = TL_COPIES_BUCKETS * sizeof(*copies->bucket);

	copies->bucket = aligned_alloc(64, bytes);
	if (!copies->bucket)
		return -ENOMEM;
	memset(copies->bucket, 0, bytes);
	copies->seed = 0x7461706c696e65u;
	copies->secret = 0x9e3779b97f4a7c15u;
	return 0;
}

void tl_copies__fini(struct tl_copies *copies)
{
	free(copies->bucket);
	copies->bucket = NULL;
}

/* Two words, one multiplication; what they are multiplied by is secret, so that none cancels out.
 */
static inline uint64_t mix(const struct tl_copies *copies, uint64_t h, uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)(h ^ a) * (b ^ copies->secret);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load_8(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline uint64_t load_4(const uint8_t *p)
{
	uint32_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static inline uint64_t mix_16(const struct tl_copies *copies, uint64_t h, const uint8_t *p)
{
	return mix(copies, h, load_8(p), load_8(p + 8));
}

/* The last words may overlap those before them; none reaches out. */
static uint64_t mix_bytes(const struct tl_copies *copies, uint64_t h, const uint8_t *p,
			  size_t bytes)
{
	for (; bytes > 16; bytes -= 16, p += 16)
		h = mix_16(copies, h, p);
	if (bytes >= 8)
		return mix(copies, h, load_8(p), load_8(p + bytes - 8));
	if (bytes >= 4)
		return mix(copies, h, load_4(p), load_4(p + bytes - 4));
	return bytes ? mix(copies, h, p[0], (uint64_t)p[bytes / 2] << 8 | p[bytes - 1]) : h;
}

void tl_copies__begin(struct tl_copies *copies, const struct tl_packet *first)
{
	size_t bytes = first->caplen < SEED_BYTES ? first->caplen : SEED_BYTES;
	uint64_t h = mix(copies, copies->seed, first->ts_ns, first->wirelen);

	copies->seed = mix_bytes(copies, h, first->data, bytes);
	copies->secret = mix(copies, copies->seed, h, first->ts_ns);
	copies->has_begun = true;
}

/* The packet's `bytes` from `offset` on, as far as they were captured. */
static inline struct tl_cursor part_of(const struct tl_packet *packet, uint32_t offset,
				       uint32_t bytes)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);

	tl_cursor__skip(&c, offset);
	tl_cursor__limit(&c, bytes);
	return c;
}

/* The first of its bytes, and the last. */
static inline uint64_t mix_sample(const struct tl_copies *copies, uint64_t h, struct tl_cursor part)
{
	size_t left = tl_cursor__left(&part);
	const uint8_t *p = tl_cursor__take(&part, left);

	if (!p || left <= HEAD_BYTES)
		return mix_bytes(copies, h, p, p ? left : 0);
	for (uint32_t at = 0; at < HEAD_BYTES; at += 16)
		h = mix_16(copies, h, p + at);
	for (uint32_t at = TAIL_BYTES; at; at -= 16)
		h = mix_16(copies, h, p + left - at);
	return h;
}

/* What a second look at the same packet may have changed. Never 0. */
static inline uint32_t path_of(const struct tl_copies *copies, const struct tl_packet *packet,
			       const struct tl_layers *l)
{
	uint64_t h = (uint32_t)l->ttl << 16 | (uint32_t)l->tunnel.type << 8 | l->vlan_count;
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	const uint8_t *macs = NULL;

	if (packet->interface || l->tunnel.id)
		h = mix(copies, h, (uint64_t)packet->interface << 32, l->tunnel.id);
	for (uint32_t i = 0; i < l->vlan_count && i < TL_VLAN_MAX; i++)
		h = mix(copies, h, l->vlan[i] & 0xfffu, 0);
	if (packet->linktype == TL_LINKTYPE_ETHERNET && l->l3_offset > l->l2_offset + 13) {
		tl_cursor__skip(&c, l->l2_offset);
		macs = tl_cursor__take(&c, 12);
	}
	h = h << 32 ^ copies->seed;
	h = macs ? mix(copies, h, load_4(macs + 8), load_8(macs)) : mix(copies, h, 0, 0);
	return (uint32_t)(h >> 32) | 1;
}

/* ARP and the like: all behind the MACs and tags, without the padding that a tag takes up. */
static bool key_of_other(const struct tl_copies *copies, const struct tl_packet *packet,
			 const struct tl_layers *layers, struct tl_print_key *ret_key)
{
	uint32_t offset = 12u + 4u * layers->vlan_count;

	if (packet->linktype != TL_LINKTYPE_ETHERNET || layers->l2_offset || layers->tunnel.type ||
	    packet->caplen <= offset) {
		ret_key->path = 0;
		return false;
	}
	ret_key->strength = layers->ethertype == ETHERTYPE_ARP ? TL_PRINT_STRONG : TL_PRINT_WEAK;
	ret_key->wirelen = packet->wirelen;
	ret_key->hash =
		mix_sample(copies, copies->seed,
			   part_of(packet, offset,
				   ret_key->strength ? 2 + ARP_BYTES : packet->caplen - offset));
	ret_key->path = path_of(copies, packet, layers);
	return true;
}

static inline uint64_t mix_addresses(const struct tl_copies *copies, uint64_t h,
				     const struct tl_layers *l)
{
	if (l->ip_version != 4)
		return mix_16(copies, mix_16(copies, h, l->src), l->dst);
	return mix(copies, h, load_4(l->src), load_4(l->dst));
}

/* What is behind the ports of TCP and UDP, where TCP's fields are 0. */
static inline uint64_t mix_ports(const struct tl_copies *copies, uint64_t h,
				 const struct tl_layers *l)
{
	uint64_t ports = (uint64_t)l->src_port << 48 | (uint64_t)l->dst_port << 32 |
			 (uint32_t)l->l4_checksum << 16 | l->window;

	h = mix(copies, h, ports, (uint64_t)l->seq << 32 | l->ack);
	for (uint32_t i = 0; i < l->sack_count; i++)
		h = mix(copies, h, l->sack[i].left, l->sack[i].right);
	return h;
}

/* A later fragment has no ports, and of others than TCP and UDP the header is sampled as well. */
static inline uint64_t hash_of_ip(const struct tl_copies *copies, const struct tl_packet *packet,
				  const struct tl_layers *l)
{
	uint64_t ids = (uint64_t)l->ip_id << 32 | (l->fragment_offset >> 3 & 0xffffu) << 16 |
		       (uint32_t)l->tcp_flags << 8 | l->proto;
	uint32_t tsval = l->flags & TL_LAYERS_TCP_TS ? l->tsval : 0;
	uint32_t from = l->payload_offset, end = from + l->payload_bytes;
	uint64_t h = mix_addresses(copies, copies->seed, l);

	h = mix(copies, h, ids, (uint64_t)l->payload_bytes << 32 | tsval);
	if (l->proto == PROTO_TCP || l->proto == PROTO_UDP)
		h = mix_ports(copies, h, l);
	else if (l->l4_offset)
		from = l->l4_offset;
	return end > from ? mix_sample(copies, h, part_of(packet, from, end - from)) : h;
}

bool tl_copies__key(const struct tl_copies *copies, const struct tl_packet *packet,
		    const struct tl_layers *layers, struct tl_print_key *ret_key)
{
	if (!layers->ip_version || !layers->src || !layers->dst)
		return key_of_other(copies, packet, layers, ret_key);
	ret_key->hash = hash_of_ip(copies, packet, layers);
	ret_key->path = path_of(copies, packet, layers);
	/* A SYN is sent again after a second (RFC 6298, section 2.1), as is what asks for a
	 * neighbour. */
	ret_key->strength =
		layers->ip_id || layers->tcp_flags & TL_TCP_SYN || layers->proto == PROTO_ICMP6
			? TL_PRINT_STRONG
			: TL_PRINT_WEAK;
	ret_key->wirelen = packet->wirelen;
	return true;
}

/*
 * Does this mirror, as far as is known, show packets twice on one path? A burst may come before the
 * first copy does, so many firsts do not disprove it; a mirror that does not copy has no seconds.
 */
static bool copying(const struct tl_copies *copies)
{
	return copies->seconds >= 2 && copies->seconds > copies->firsts / 16;
}

enum tl_print_strength tl_copies__id_strength(const struct tl_copies *copies)
{
	return copies->id_stays > copies->id_moves ? TL_PRINT_WEAK : TL_PRINT_GUESSED;
}

static void learn_gap(struct tl_copies *copies, uint32_t age_us)
{
	copies->gap_us -= copies->gap_us / 64;
	if (copies->gap_us < age_us)
		copies->gap_us = age_us;
}

static void learn(struct tl_copies *copies, const struct tl_print *print, uint32_t age_us)
{
	copies->seconds++;
	copies->thirds += print->copies > 0;
	learn_gap(copies, age_us);
}

/* What was learned long ago counts less. */
static void fade(struct tl_copies *copies)
{
	if (copies->firsts + copies->seconds >= FADE_AT) {
		copies->firsts /= 2;
		copies->seconds /= 2;
		copies->thirds /= 2;
	}
	if (copies->singles + copies->pairs + copies->runs >= FADE_AT) {
		copies->singles /= 2;
		copies->pairs /= 2;
		copies->runs /= 2;
	}
	if (copies->id_stays + copies->id_moves >= FADE_AT) {
		copies->id_stays /= 2;
		copies->id_moves /= 2;
	}
}

/* Do nearly all datagrams without an identity come exactly twice? `singles` are all their firsts.
 */
static bool comes_in_pairs(const struct tl_copies *copies)
{
	return copies->pairs >= PAIRS_LEAST && copies->pairs >= copies->singles / 4 * 3 &&
	       copies->runs <= copies->pairs / 8;
}

/* Do the surer kinds say that it does not? */
static bool is_plain(const struct tl_copies *copies)
{
	return copies->firsts >= FIRSTS_LEAST && !copying(copies);
}

/* How late a copy on the same path may come when nothing in the packet tells it from a repeat. */
static uint32_t weak_gap_us(const struct tl_copies *copies)
{
	uint32_t gap = copying(copies) || comes_in_pairs(copies) ? 4 * copies->gap_us + 100 : 1000;

	return gap < TL_COPIES_WEAK_GAP_US ? gap : TL_COPIES_WEAK_GAP_US;
}

/* A packet and the earlier one that it equals. */
struct pair {
	const struct tl_print *print;
	const struct tl_print_key *key;
	const struct tl_copy_hint *hint;
	uint32_t age_us;
};

/* How often a packet comes again. */
static uint32_t most_copies(const struct tl_copies *copies)
{
	return copies->thirds > copies->seconds / 4 ? 2 : 1;
}

static bool is_weak_copy(const struct tl_copies *copies, const struct pair *pair)
{
	const struct tl_copy_hint *hint = pair->hint;

	/* Its TSval would have moved on if it had been sent again. */
	if (hint && hint->tick_us && pair->age_us > hint->tick_us)
		return pair->age_us <= TL_COPIES_STRONG_GAP_US;
	if (pair->age_us > weak_gap_us(copies))
		return false;
	/* No sender can know of a loss sooner than a round trip. */
	if (hint && hint->occupies)
		return (copying(copies) && !hint->loss_signal) || !hint->min_rtt_us ||
		       pair->age_us < hint->min_rtt_us / 2;
	return (copying(copies) || (!hint && comes_in_pairs(copies) && !is_plain(copies))) &&
	       pair->print->copies < most_copies(copies);
}

static bool is_copy(const struct tl_copies *copies, const struct pair *pair)
{
	if (pair->print->path != pair->key->path)
		return pair->age_us <= (pair->key->strength ? TL_COPIES_OTHER_PATH_GAP_US
							    : TL_COPIES_STRONG_GAP_US);
	if (pair->key->strength == TL_PRINT_STRONG)
		return pair->age_us <= TL_COPIES_STRONG_GAP_US;
	if (pair->key->strength == TL_PRINT_GUESSED)
		return pair->age_us <= TL_COPIES_GUESSED_GAP_US &&
		       pair->print->copies < most_copies(copies);
	return is_weak_copy(copies, pair);
}

/*
 * A datagram without an identity that equals an earlier one on the same path. How they come is
 * counted; the print stays as long as a run may go on. True when the caller is done with it.
 */
static bool watch_run(struct tl_copies *copies, struct tl_print *print, const struct pair *pair)
{
	bool was_known = comes_in_pairs(copies);
	bool is_at_once = pair->age_us <= weak_gap_us(copies);

	if (print->copies) {
		copies->runs += !copying(copies) && pair->age_us <= RUN_US;
		/* Where each comes twice, the third is a first again. */
		return !copying(copies) && !was_known && pair->age_us <= RUN_US;
	}
	if (!is_at_once)
		return false;
	copies->pairs++;
	learn_gap(copies, pair->age_us);
	print->copies = 1;
	copies->untold++;
	copies->untold_bytes += pair->key->wirelen;
	return true;
}

/* Those that passed for datagrams of their own until it was known what they are. */
static void settle_untold(struct tl_copies *copies)
{
	if (!comes_in_pairs(copies) || is_plain(copies))
		return;
	copies->due += copies->untold;
	copies->due_bytes += copies->untold_bytes;
	copies->untold = 0;
	copies->untold_bytes = 0;
}

/* The print to give up: a free one, of which the last are, or the oldest. */
static struct tl_print *oldest_of(struct tl_print_bucket *bucket, uint32_t now_us)
{
	struct tl_print *oldest = &bucket->print[0];

	for (uint32_t i = 0; i < 4; i++) {
		struct tl_print *print = &bucket->print[i];

		if (!print->path)
			return print;
		if (now_us - print->time_us > now_us - oldest->time_us)
			oldest = print;
	}
	return oldest;
}

/* Is it a datagram that nothing in it tells from others? */
static bool is_bare(const struct tl_print_key *key, const struct tl_copy_hint *hint)
{
	return key->strength == TL_PRINT_WEAK && !hint;
}

/* Would a copy of it be known for one? */
static bool is_sure(const struct tl_print_key *key, const struct tl_copy_hint *hint)
{
	return key->strength == TL_PRINT_STRONG || (hint && hint->occupies);
}

/* It is no copy, and takes the place of `print`. */
static inline void begin_print(struct tl_copies *copies, struct tl_print *print,
			       const struct tl_print_key *key, uint32_t now_us)
{
	fade(copies);
	*print = (struct tl_print){
		.hash_low = (uint32_t)(key->hash >> 16),
		.hash_high = (uint16_t)(key->hash >> 48),
		.time_us = now_us,
		.path = key->path,
	};
}

static inline void count_first(struct tl_copies *copies, const struct tl_print_key *key,
			       const struct tl_copy_hint *hint)
{
	copies->firsts += is_sure(key, hint);
	copies->singles += is_bare(key, hint);
}

void tl_copies__remember(struct tl_copies *copies, const struct tl_print_key *key, uint64_t ts_ns,
			 const struct tl_copy_hint *hint)
{
	uint32_t now_us = (uint32_t)(ts_ns / 1000);
	struct tl_print_bucket *bucket = &copies->bucket[key->hash & (TL_COPIES_BUCKETS - 1)];

	count_first(copies, key, hint);
	begin_print(copies, oldest_of(bucket, now_us), key, now_us);
}

bool tl_copies__check(struct tl_copies *copies, const struct tl_print_key *key, uint64_t ts_ns,
		      const struct tl_copy_hint *hint)
{
	struct tl_print *equal = tl_copies__find(copies, key);
	uint32_t now_us = (uint32_t)(ts_ns / 1000);
	int32_t age_us = equal ? (int32_t)(now_us - equal->time_us) : 0;
	/* Two taps may disagree on the order by a little. */
	struct pair pair = { equal, key, hint, (uint32_t)(age_us < 0 ? -age_us : age_us) };
	bool same_path = equal && equal->path == key->path;

	if (!equal) {
		tl_copies__remember(copies, key, ts_ns, hint);
		return false;
	}
	if (is_copy(copies, &pair)) {
		if (is_sure(key, hint) && same_path)
			learn(copies, equal, pair.age_us);
		else if (is_bare(key, hint) && same_path)
			copies->pairs += !equal->copies;
		if (equal->copies < UINT16_MAX)
			equal->copies++;
		return true;
	}
	if (is_bare(key, hint) && same_path && watch_run(copies, equal, &pair)) {
		settle_untold(copies);
		return false;
	}
	count_first(copies, key, hint);
	begin_print(copies, equal, key, now_us);
	return false;
}
