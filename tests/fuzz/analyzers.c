/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_decode tl_flow tl_export */
/*
 * All analyzers together, from packets to what is written: any conversations (script.h), through
 * decoder, flow table, tracker, analyzers, judge and both writers (drive.h).
 * Input: one byte (bit 0: live; bits 1-2: one observation in 2, 3, 4 is lost), then records.
 */
#include "fuzz/drive.h"
#include "fuzz/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct script script;
	const struct tl_packet *packet;
	struct drive_opts opts = { 0 };
	struct drive *d;

	if (!bytes)
		return 0;
	opts.live = data[0] & 1;
	opts.lose_every = data[0] & 6 ? (data[0] >> 1 & 3u) + 1 : 0;
	d = drive__start(&opts);
	script = (struct script){ 0 };
	script__start(&script, data + 1, bytes - 1, data[0] >> 3);
	while ((packet = script__next(&script)))
		drive__packet(d, packet);
	drive__end(d);
	return 0;
}
