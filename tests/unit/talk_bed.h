/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conversations with bytes in them, over the analysis bed: keeps the sequence numbers.
 *
 *	struct talk t = talk__open(b, &pair, 0);          SYN, SYN-ACK, ACK
 *	talk__client(&t, 10, "GET / HTTP/1.1\r\n\r\n", 18);  in segments, each ACKed at once
 *	talk__server(&t, 60, answer, sizeof(answer));
 *	talk__fin(&t, TALK_CLIENT, 70);
 */
#ifndef TAPLINE_TESTS_TALK_BED_H
#define TAPLINE_TESTS_TALK_BED_H

#include "unit/analysis_bed.h"

enum talk_side { TALK_CLIENT, TALK_SERVER };

struct talk {
	struct bed *b;
	const struct bed_pair *pair;
	uint32_t next[2]; /* sequence number, by side */
	uint32_t segment; /* bytes of one; 0: BED_PAYLOAD */
	bool twice;	  /* the mirror shows each packet twice */
	bool only_client; /* the mirror shows one direction */
	bool no_ack;	  /* what is said is not ACKed by itself */
};

static inline void talk__packet(struct talk *t, enum talk_side side, uint64_t ms, struct bed_tcp p)
{
	if (t->only_client && side == TALK_SERVER)
		return;
	for (unsigned i = 0; i < 1u + t->twice; i++) {
		p.is_copy = i;
		if (side == TALK_CLIENT)
			bed__from_client(t->b, t->pair, ms, p);
		else
			bed__from_server(t->b, t->pair, ms, p);
	}
}

static inline struct talk talk__begin(struct bed *b, const struct bed_pair *pair)
{
	return (struct talk){ .b = b, .pair = pair, .next = { 1000, 5000 } };
}

static inline void talk__handshake(struct talk *t, uint64_t ms)
{
	talk__packet(t, TALK_CLIENT, ms, BED_SYN(t->next[TALK_CLIENT]));
	t->next[TALK_CLIENT]++;
	talk__packet(t, TALK_SERVER, ms + 1,
		     BED_SYNACK(t->next[TALK_SERVER], t->next[TALK_CLIENT]));
	t->next[TALK_SERVER]++;
	talk__packet(t, TALK_CLIENT, ms + 2, BED_ACK(t->next[TALK_CLIENT], t->next[TALK_SERVER]));
}

static inline struct talk talk__open(struct bed *b, const struct bed_pair *pair, uint64_t ms)
{
	struct talk t = talk__begin(b, pair);

	talk__handshake(&t, ms);
	return t;
}

static inline void talk__ack(struct talk *t, enum talk_side side, uint64_t ms)
{
	talk__packet(t, side, ms, BED_ACK(t->next[side], t->next[!side]));
}

struct talk_words {
	const void *data; /* NULL: zeros */
	size_t bytes;
};

static inline void talk__say(struct talk *t, enum talk_side side, uint64_t ms,
			     struct talk_words said)
{
	const uint8_t *data = said.data;
	size_t bytes = said.bytes;
	size_t most = t->segment ? t->segment : BED_PAYLOAD;

	for (size_t at = 0; at < bytes;) {
		size_t n = bytes - at < most ? bytes - at : most;
		struct bed_tcp p = BED_DATA(t->next[side], t->next[!side], (uint32_t)n);

		p.payload = data ? data + at : NULL;
		if (at + n < bytes)
			p.flags = TL_TCP_ACK;
		talk__packet(t, side, ms, p);
		t->next[side] += (uint32_t)n;
		at += n;
	}
	if (!t->no_ack)
		talk__ack(t, !side, ms);
}

static inline void talk__client(struct talk *t, uint64_t ms, const void *data, size_t bytes)
{
	talk__say(t, TALK_CLIENT, ms, (struct talk_words){ data, bytes });
}

static inline void talk__server(struct talk *t, uint64_t ms, const void *data, size_t bytes)
{
	talk__say(t, TALK_SERVER, ms, (struct talk_words){ data, bytes });
}

static inline void talk__fin(struct talk *t, enum talk_side side, uint64_t ms)
{
	talk__packet(t, side, ms, BED_FIN(t->next[side], t->next[!side]));
	t->next[side]++;
	talk__ack(t, !side, ms);
}

static inline void talk__rst(struct talk *t, enum talk_side side, uint64_t ms)
{
	struct bed_tcp p = BED_RST(t->next[side]);

	p.flags |= TL_TCP_ACK;
	p.ack = t->next[!side];
	talk__packet(t, side, ms, p);
}

/* Both sides close. */
static inline void talk__close(struct talk *t, uint64_t ms)
{
	talk__fin(t, TALK_CLIENT, ms);
	talk__fin(t, TALK_SERVER, ms + 1);
}

#endif
