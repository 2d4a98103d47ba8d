/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the app analyzer share: the report of one request and its answer, which its
 * worker half (app.c) emits, and the two judges that weigh it.
 *
 *	packets ─► exchange ─► report ─┬─► core/app_judge.c      app.no_response, app.slow
 *	               │               └─► core/latency_judge.c  latency.breakdown
 *	               └─ waits (core/app_wait.c) ─► report of a request that still waits
 */
#ifndef TAPLINE_ANALYZERS_APP_H
#define TAPLINE_ANALYZERS_APP_H

#include "core/analyzer_impl.h"
#include "core/exchange.h"
#include "core/facts.h"

enum app_protocol {
	APP_TCP = 0, /* unknown; learned */
	APP_HTTP,
	APP_MYSQL,
	APP_POSTGRESQL,
	APP_TLS,
	APP_PROTOCOLS,
};

enum app_outcome {
	APP_ANSWERED,
	APP_CLIENT_GAVE_UP, /* FIN or RST by the client, or no packet any more */
	APP_SERVER_CLOSED,  /* FIN: it has the request and is done with it */
	APP_SERVER_CUT,	    /* RST */
	APP_STILL_WAITING,  /* at the end of the capture */
};

#define APP_LABEL 64

struct app_report {
	struct tl_exchange_turn turn;
	uint64_t key;	  /* of what is asked for, on this server */
	uint64_t wait_ns; /* last of the request (or its last retransmission) to the answer, less
			     the RTT */
	uint64_t connect_ns, tls_ns; /* 0 but for the first on a connection */
	uint64_t first_ns, first_frame;
	uint64_t end_ns;    /* what ended it, when it was not answered */
	uint64_t end_frame; /* 0: no packet */
	uint32_t rtt_us;    /* of the handshake; 0: unknown */
	uint8_t protocol;   /* enum app_protocol */
	uint8_t outcome;    /* enum app_outcome */
	bool is_push;	    /* asks for something that may well take long */
	bool is_first;	    /* nothing was answered on this connection before */
	bool is_queued;	    /* it waited for the program to accept the connection */
	/* The turn goes on: the client waits still, or (APP_ANSWERED) does not any more. */
	bool is_interim;
	char label[APP_LABEL]; /* "GET /index.html", "select"; "" */
};

_Static_assert(sizeof(struct app_report) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* How long answers to one thing take: a histogram with four steps an octave, from 64 µs on. */
#define APP_STEPS 80u

struct app_norm {
	uint64_t key;
	uint32_t count;
	uint32_t unanswered;
	uint16_t step[APP_STEPS];
};

/*
 * core/app_wait.c: requests that wait for their answer, so that those which wait for long are found
 * without looking at all flows. A wheel of slots of 100 ms; a wait is looked at when its time
 * comes.
 */
struct app_waits;

/* Room for `count`. 0, -ENOMEM. */
int app_waits__create(uint32_t count, struct app_waits **ret_waits);
void app_waits__destroy(struct app_waits *waits);

struct app_wait {
	void *state; /* both borrowed until __remove */
	const struct tl_flow *flow;
};
/* Looked at after `due_ns`. A number for __remove; 0: no room, it goes unwatched. */
uint32_t app_waits__add(struct app_waits *waits, struct app_wait wait, uint64_t due_ns);
void app_waits__remove(struct app_waits *waits, uint32_t number);
/* Returns when the wait is to be looked at again, after `now_ns`. Adds and removes none. */
typedef uint64_t app_wait_fn(void *ctx, const struct app_wait *wait, uint64_t now_ns);
void app_waits__tick(struct app_waits *waits, uint64_t now_ns, app_wait_fn *look, void *ctx);

struct app_judge;
struct latency_judge;

const char *app_protocol__name(uint8_t protocol);

int app_judge__create(const struct tl_analyzer_judge *view, struct app_judge **ret_judge);
void app_judge__destroy(struct app_judge *judge);
/* True when the request took long against others like it, as far as that is known. */
bool app_judge__observe(struct app_judge *judge, const struct tl_subject *subject,
			const struct app_report *report);
/* Words anew what settles at `now_ns`; `all`: everything. */
void app_judge__tell(struct app_judge *judge, uint64_t now_ns, bool all);

int latency_judge__create(const struct tl_analyzer_judge *view, struct latency_judge **ret_judge);
void latency_judge__destroy(struct latency_judge *judge);
void latency_judge__observe(struct latency_judge *judge, const struct tl_subject *subject,
			    const struct app_report *report, bool is_slow);
void latency_judge__tell(struct latency_judge *judge, uint64_t now_ns, bool all);

#endif
