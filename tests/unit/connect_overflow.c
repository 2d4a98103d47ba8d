/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/* connect.queue_overflow: SYN-ACKs after the client's data that are no sign of a full queue. */
#include <criterion/criterion.h>

#include "unit/analysis_bed.h"

static const struct bed_pair seed = { "10.0.1.5", "10.0.2.10", 40112, 8080 };
static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(connect_overflow, .init = begin, .fini = end);

/* The answer takes 350 ms; a deferred accept repeats its SYN-ACK a second after the first one. */
Test(connect_overflow, synack_that_crosses_the_data_on_a_long_way)
{
	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__from_server(b, &seed, 350, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 351, BED_ACK(1001, 9001));
	bed__from_client(b, &seed, 1300, BED_DATA(1001, 9001, 5));
	bed__from_server(b, &seed, 1525, BED_SYNACK(9000, 1001));
	bed__from_server(b, &seed, 1650, BED_ACK(9001, 1006));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

/* A balancer sent the repeated SYN to another server. */
Test(connect_overflow, synack_of_another_server)
{
	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__from_client(b, &seed, 1000, BED_SYN(1000));
	bed__from_server(b, &seed, 1050, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 1051, BED_ACK(1001, 9001));
	bed__from_client(b, &seed, 1052, BED_DATA(1001, 9001, 5));
	bed__from_server(b, &seed, 1500, BED_SYNACK(77000, 1001));
	bed__from_server(b, &seed, 1501, BED_ACK(9001, 1006));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.queue_overflow", TL_INFO), 0);
}
