/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_cli */
/* Any command line: words are separated by zero bytes or line ends. */
#include <stdlib.h>
#include <string.h>

#include "run_options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct option_group groups[] = { run_options__source, run_options__reduction,
					 run_options__recorder, run_options__analysis };
	struct run_options options = RUN_OPTIONS_INIT;
	struct option_table table = { groups, 4 };
	struct tl_recorder_opts recorder;
	struct tl_engine_opts engine;
	struct tl_error error;
	char *text = malloc(bytes + 1);
	char *argv[66] = { "fuzz" };
	struct command_line line = { .argv = argv };
	int argc = 1;

	if (!text)
		return 0;
	memcpy(text, data, bytes);
	text[bytes] = '\0';
	for (char *word = strtok(text, "\n"); word && argc < 65; word = strtok(NULL, "\n"))
		argv[argc++] = word;
	line.argc = argc;
	if (!options__parse(&table, &line, &options, &error) &&
	    !run_options__finish(&options, &line, &error))
		run_options__to_engine(&options, &engine, &recorder);
	run_options__free(&options);
	free(text);
	return 0;
}
