/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/* connect.*: what the mirror left out of an attempt. */
#include <criterion/criterion.h>

#include "unit/analysis_bed.h"

static const struct bed_pair seed = { "10.0.1.5", "10.0.2.10", 40112, 8080 };
static const struct bed_pair web = { "10.0.1.5", "10.0.2.10", 40200, 80 };

/* The mirror leaves out a RST of so many: who sent a SYN alone was refused like the others. */
Test(connect_missed, a_lone_syn_to_a_service_that_refuses_is_no_warning)
{
	struct bed *b = bed__start(false);

	bed__healthy(b, &web, 0);
	for (uint16_t i = 0; i < 24; i++) {
		struct bed_pair p = seed;

		p.client_port = (uint16_t)(41000 + i);
		bed__from_client(b, &p, 1000 + i * 10, BED_SYN(1000));
		if (i % 12 != 5)
			bed__from_server(
				b, &p, 1001 + i * 10,
				(struct bed_tcp){ .flags = TL_TCP_RST | TL_TCP_ACK, .ack = 1001 });
	}
	bed__end(b);
	cr_assert_not_null(bed__only(b, "connect.refused"));
	cr_expect_eq(bed__only(b, "connect.refused")->count, 22);
	cr_expect_eq(bed__count(b, "connect.no_answer", TL_WARNING), 0);
	bed__free(b);
}
