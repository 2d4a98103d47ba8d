/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tapline repair: make whole what a crash, a full disk or a power cut left unfinished. */
#include <errno.h>
#include <inttypes.h>

#include "commands.h"
#include "options.h"
#include "tapline/repair.h"

static int help(void)
{
	printf("Usage: tapline repair FILE ...\n\n"
	       "Cuts each pcapng or pcap file after its last whole block, in place. All packets\n"
	       "before the cut are kept byte for byte. Not for a file that is being recorded.\n"
	       "\n  -h, --help                  this text\n");
	return EXIT_DONE;
}

static int repair_one(const char *path)
{
	struct tl_repair_result result;
	struct tl_error error;

	if (tl_repair__file(path, &error, &result))
		return complain(EXIT_FAILED, "%s", error.what);
	if (!result.cut_bytes)
		printf("%s: whole, %" PRIu64 " packets\n", path, result.packets);
	else
		printf("%s: %" PRIu64 " packets kept, %" PRIu64 " bytes cut off (%s)\n", path,
		       result.packets, result.cut_bytes, result.why);
	return EXIT_DONE;
}

int cmd_repair(int argc, char **argv)
{
	struct tl_error error = { "" };
	int status = EXIT_DONE;
	const struct option_table table = { NULL, 0 };
	struct command_line line = { .argc = argc, .argv = argv };
	int err = options__parse(&table, &line, NULL, &error);

	if (err == -ECANCELED)
		return help();
	if (err)
		return complain(EXIT_BAD_CALL, "%s", error.what);
	if (line.operand == argc)
		return complain(EXIT_BAD_CALL, "no file; name the captures to repair");
	for (int i = line.operand; i < argc; i++)
		if (repair_one(argv[i]))
			status = EXIT_FAILED;
	return status;
}
