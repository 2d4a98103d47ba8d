/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See run_options.h. Names and meanings are those of tcpdump and dumpcap where they have them. */
#include "run_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define FILTER_FILE_MAX (1u << 20)

static int refuse(struct tl_error *ret_error, const char *option, const char *text, const char *why)
{
	snprintf(ret_error->what, sizeof(ret_error->what), "%s%s%.80s: %s", option,
		 *text ? " " : "", text, why);
	return -EINVAL;
}

/* --- options with a grammar of their own --------------------------------------------------- */

static int choose(const char *text, const char *const *names, uint32_t count, uint32_t *ret_index)
{
	for (uint32_t i = 0; i < count; i++) {
		if (!strcmp(text, names[i])) {
			*ret_index = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_backend(void *options, const char *text, struct tl_error *ret_error)
{
	static const char *const names[] = { "auto", "afxdp", "afpacket" };
	struct run_options *o = options;
	uint32_t index;

	if (choose(text, names, 3, &index))
		return refuse(ret_error, "--backend", text, "give auto, afxdp or afpacket");
	o->backend = (enum tl_backend)index;
	return 0;
}

static int parse_xdp(void *options, const char *text, struct tl_error *ret_error)
{
	static const char *const names[] = { "auto", "native", "generic", "off" };
	struct run_options *o = options;
	uint32_t index;

	if (choose(text, names, 4, &index))
		return refuse(ret_error, "--xdp", text, "give native, generic or off");
	o->xdp = (enum tl_xdp_mode)index;
	return 0;
}

static int parse_compress(void *options, const char *text, struct tl_error *ret_error)
{
	static const char *const names[] = { "none", "zstd", "lz4" };
	struct run_options *o = options;

	if (choose(text, names, 3, &o->compress))
		return refuse(ret_error, "--compress", text, "give zstd or lz4");
	return 0;
}

static int parse_io(void *options, const char *text, struct tl_error *ret_error)
{
	static const char *const names[] = { "auto", "uring", "pwrite" };
	struct run_options *o = options;

	if (choose(text, names, 3, &o->io))
		return refuse(ret_error, "--io", text, "give auto, uring or pwrite");
	return 0;
}

static int parse_fail_on(void *options, const char *text, struct tl_error *ret_error)
{
	static const char *const names[] = { "info", "warning", "error" };
	struct run_options *o = options;
	uint32_t index;

	if (choose(text, names, 3, &index))
		return refuse(ret_error, "--fail-on", text, "give info, warning or error");
	o->fail_on = (int)index;
	return 0;
}

/* tcpdump: millions of bytes, or with k, m, g powers of 1024. */
static int parse_rotate_size(void *options, const char *text, struct tl_error *ret_error)
{
	struct run_options *o = options;
	uint64_t millions;

	if (!options__parse_u64(text, &millions) && millions && millions < UINT64_MAX / 1000000)
		o->rotate_bytes = millions * 1000000;
	else if (strpbrk(text, "kKmMgG") == NULL || options__parse_size(text, &o->rotate_bytes) ||
		 !o->rotate_bytes)
		return refuse(ret_error, "-C", text,
			      "give a size in millions of bytes, such as 100");
	return 0;
}

/* dumpcap's NAME:VALUE. Sizes are in kB (1000 bytes), durations in seconds, also fractions. */
static int parse_limit(const char *option, const char *text, struct tl_recorder_limits *limits,
		       struct tl_error *ret_error)
{
	const char *colon = strchr(text, ':');
	size_t name_bytes = colon ? (size_t)(colon - text) : 0;
	char *end = NULL;
	double value = colon ? strtod(colon + 1, &end) : 0;

	if (!colon || end == colon + 1 || *end || !(value > 0 && value < 1e15))
		return refuse(ret_error, option, text,
			      "give NAME:NUMBER, such as duration:60 or filesize:10000");
	if (!strncmp(text, "duration", name_bytes) && name_bytes == 8)
		limits->duration_ns = (uint64_t)(value * 1e9);
	else if (!strncmp(text, "filesize", name_bytes) && name_bytes == 8)
		limits->bytes = (uint64_t)(value * 1000);
	else if (!strncmp(text, "packets", name_bytes) && name_bytes == 7)
		limits->packets = (uint64_t)value;
	else if (!strncmp(text, "files", name_bytes) && name_bytes == 5)
		limits->files = (uint64_t)value;
	else
		return refuse(ret_error, option, text,
			      "the names are duration, filesize, packets and files");
	return 0;
}

static int parse_ring(void *options, const char *text, struct tl_error *ret_error)
{
	struct run_options *o = options;

	o->has_ring = true;
	return parse_limit("-b", text, &o->ring, ret_error);
}

static int parse_stop(void *options, const char *text, struct tl_error *ret_error)
{
	struct run_options *o = options;

	return parse_limit("-a", text, &o->stop, ret_error);
}

/* --- tables -------------------------------------------------------------------------------- */

#define AT(field) offsetof(struct run_options, field)
#define GROUP(name, heading, rows)                                                                 \
	const struct option_group name = { .title = heading,                                       \
					   .specs = rows,                                          \
					   .count = sizeof(rows) / sizeof(rows[0]) }

static const struct option_spec source_specs[] = {
	{ 'i', "interface", OPTION_LIST, "IF",
	  "capture on this interface; may be repeated; any: all that are up", AT(interfaces),
	  NULL },
	{ 'r', "read", OPTION_LIST, "FILE",
	  "read a pcap or pcapng file (- is standard input); several: in order of time", AT(files),
	  NULL },
	{ 'c', NULL, OPTION_U64, "N", "stop after N packets", AT(packets), NULL },
	{ 's', "snapshot-length", OPTION_U32, "BYTES", "keep this much of a packet (0: all)",
	  AT(snaplen), NULL },
	{ 'B', "buffer-size", OPTION_U64, "KIB", "size of each socket's ring", AT(buffer_kib),
	  NULL },
	{ 'F', NULL, OPTION_STRING, "FILE", "the filter is in FILE; SIGHUP reads it again",
	  AT(filter_file), NULL },
	{ 'p', "no-promiscuous-mode", OPTION_FLAG, NULL, "leave promiscuous mode alone",
	  AT(not_promiscuous), NULL },
	{ 0, "ignore-outgoing", OPTION_FLAG, NULL, "not what this host sends on the interface",
	  AT(ignore_outgoing), NULL },
	{ 'n', NULL, OPTION_IGNORE, NULL, "names are never resolved; taken for tcpdump's sake", 0,
	  NULL },
	{ 'Z', "relinquish-privileges", OPTION_STRING, "USER",
	  "become USER once everything is open", AT(user), NULL },
	{ 'D', "list-interfaces", OPTION_FLAG, NULL, "list the interfaces and end",
	  AT(list_interfaces), NULL },
	{ 'd', NULL, OPTION_FLAG, NULL, "print the compiled filter, classic and eBPF, and end",
	  AT(dump_filter), NULL },
	{ 0, "backend", OPTION_CALL, "NAME", "auto, afxdp or afpacket", 0, parse_backend },
	{ 0, "xdp", OPTION_CALL, "MODE", "native, generic or off", 0, parse_xdp },
	{ 0, "workers", OPTION_U32, "N", "threads that capture and analyze", AT(workers), NULL },
	{ 0, "cpus", OPTION_STRING, "LIST", "pin the workers to these, such as 0,2-5", AT(cpus),
	  NULL },
	{ 0, "busy-poll", OPTION_FLAG, NULL, "AF_XDP: poll the driver instead of waiting",
	  AT(busy_poll), NULL },
	{ 'a', "autostop", OPTION_CALL, "LIMIT",
	  "stop after duration:S, filesize:KB, packets:N or files:N", 0, parse_stop },
	{ 'q', "quiet", OPTION_FLAG, NULL, "no progress and no closing summary on stderr",
	  AT(quiet), NULL },
};
GROUP(run_options__source, "Packets come from", source_specs);

static const struct option_spec reduction_specs[] = {
	{ 0, "sample", OPTION_U32, "N", "keep 1 packet in N", AT(sample), NULL },
	{ 0, "sample-flows", OPTION_U32, "N", "keep 1 flow in N, whole", AT(sample_flows), NULL },
	{ 0, "headers-only", OPTION_FLAG, NULL, "keep the headers through the transport layer",
	  AT(headers_only), NULL },
	{ 0, "cutoff", OPTION_SIZE, "BYTES", "keep the first BYTES of each flow", AT(cutoff_bytes),
	  NULL },
};
GROUP(run_options__reduction, "Less of it, decided in the kernel", reduction_specs);

static const struct option_spec recorder_specs[] = {
	{ 'w', "write", OPTION_STRING, "FILE", "record to FILE as pcapng (- is standard output)",
	  AT(write), NULL },
	{ 'U', "packet-buffered", OPTION_FLAG, NULL, "write each batch at once",
	  AT(packet_buffered), NULL },
	{ 'C', NULL, OPTION_CALL, "MB", "a new file after this many millions of bytes", 0,
	  parse_rotate_size },
	{ 'G', NULL, OPTION_U64, "SECONDS", "a new file each SECONDS; strftime(3) in the name",
	  AT(rotate_seconds), NULL },
	{ 'W', NULL, OPTION_U64, "N", "with -C a ring of N files; with -G end after N files",
	  AT(file_count), NULL },
	{ 'b', "ring-buffer", OPTION_CALL, "LIMIT",
	  "a new file after duration:S, filesize:KB or packets:N; files:N keeps N", 0, parse_ring },
	{ 0, "quota", OPTION_SIZE, "SIZE", "all files together; the oldest go first",
	  AT(quota_bytes), NULL },
	{ 0, "min-free", OPTION_SIZE, "SIZE", "leave this much of the disk free",
	  AT(min_free_bytes), NULL },
	{ 0, "max-age", OPTION_TIME, "TIME", "delete older files, such as 12h or 7d",
	  AT(max_age_ns), NULL },
	{ 0, "compress", OPTION_CALL, "NAME", "closed files, with zstd or lz4", 0, parse_compress },
	{ 0, "io", OPTION_CALL, "NAME", "how files are written: auto, uring or pwrite", 0,
	  parse_io },
	{ 0, "summary", OPTION_STRING, "FILE", "the closing summary as JSON (- is standard output)",
	  AT(summary), NULL },
};
GROUP(run_options__recorder, "Recording", recorder_specs);

static const struct option_spec analysis_specs[] = {
	{ 0, "json", OPTION_FLAG, NULL, "JSON lines instead of text", AT(json), NULL },
	{ 0, "fail-on", OPTION_CALL, "SEVERITY",
	  "exit status 3 on findings of info, warning or error, or worse", 0, parse_fail_on },
	{ 0, "flow-memory", OPTION_SIZE, "SIZE", "memory of the flow tables", AT(flow_memory_bytes),
	  NULL },
};
GROUP(run_options__analysis, "Analysis", analysis_specs);

/* --- after parsing ------------------------------------------------------------------------- */

static bool is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !S_ISDIR(st.st_mode);
}

static int join_operands(struct run_options *o, const struct command_line *line)
{
	char **argv = line->argv;
	int at = line->operand;
	size_t bytes = 1;

	while (at < line->argc && o->files.count && is_file(argv[at]))
		if (string_list__add(&o->files, argv[at++]))
			return -ENOMEM;
	for (int i = at; i < line->argc; i++)
		bytes += strlen(argv[i]) + 1;
	o->filter = calloc(1, bytes);
	if (!o->filter)
		return -ENOMEM;
	for (int i = at; i < line->argc; i++) {
		if (i > at)
			strcat(o->filter, " ");
		strcat(o->filter, argv[i]);
	}
	return 0;
}

static int read_filter_file(struct run_options *o, struct tl_error *ret_error)
{
	FILE *f = fopen(o->filter_file, "r");
	size_t bytes;
	char *text;

	if (!f)
		return refuse(ret_error, "-F", o->filter_file, strerror(errno));
	text = malloc(FILTER_FILE_MAX);
	if (!text) {
		fclose(f);
		return -ENOMEM;
	}
	bytes = fread(text, 1, FILTER_FILE_MAX - 1, f);
	fclose(f);
	text[bytes] = '\0';
	free(o->filter);
	o->filter = text;
	return 0;
}

static int check(const struct run_options *o, struct tl_error *ret_error)
{
	bool rotates = o->rotate_bytes || o->rotate_seconds || o->has_ring;

	if (rotates && !o->write)
		return refuse(ret_error, "-w", "", "missing: rotation needs a file to write");
	if (rotates && !strcmp(o->write, "-"))
		return refuse(ret_error, "-w", "-", "standard output cannot be rotated");
	if (o->has_ring && (o->rotate_bytes || o->rotate_seconds))
		return refuse(ret_error, "-b", "", "does not go with -C or -G; use one of them");
	if (o->file_count && !o->rotate_bytes && !o->rotate_seconds)
		return refuse(ret_error, "-W", "", "needs -C or -G");
	if (o->write && o->summary && !strcmp(o->write, "-") && !strcmp(o->summary, "-"))
		return refuse(ret_error, "--summary", "-",
			      "standard output is taken by -w -; give a file");
	return 0;
}

int run_options__finish(struct run_options *o, const struct command_line *line,
			struct tl_error *ret_error)
{
	int err = join_operands(o, line);

	if (!err && o->filter_file && o->filter[0])
		return refuse(ret_error, "-F", o->filter_file,
			      "a filter was given on the command line too; use one of them");
	if (!err && o->filter_file)
		err = read_filter_file(o, ret_error);
	if (!err && o->packets && (!o->stop.packets || o->packets < o->stop.packets))
		o->stop.packets = o->packets;
	return err ? err : check(o, ret_error);
}

void run_options__free(struct run_options *options)
{
	free(options->filter);
	string_list__free(&options->files);
	string_list__free(&options->interfaces);
}

static void name_files(const struct run_options *o, struct tl_recorder_opts *rec)
{
	if (o->has_ring) {
		rec->naming = TL_NAME_DUMPCAP;
		rec->rotate = o->ring;
	} else if (o->rotate_seconds) {
		rec->naming = TL_NAME_STRFTIME;
		rec->rotate.duration_ns = o->rotate_seconds * 1000000000ull;
		rec->rotate.bytes = o->rotate_bytes;
		rec->rotate.files = o->file_count;
		rec->stop_after_files = o->file_count && !o->rotate_bytes;
	} else if (o->rotate_bytes) {
		rec->naming = TL_NAME_TCPDUMP;
		rec->rotate.bytes = o->rotate_bytes;
		rec->rotate.files = o->file_count;
	}
}

void run_options__to_engine(const struct run_options *o, struct tl_engine_opts *ret_engine,
			    struct tl_recorder_opts *ret_recorder)
{
	*ret_recorder = (struct tl_recorder_opts){
		.path = o->write,
		.stop = o->stop,
		.packet_buffered = o->packet_buffered,
		.quota_bytes = o->quota_bytes,
		.min_free_bytes = o->min_free_bytes,
		.max_age_ns = o->max_age_ns,
		.cpu = -1,
		.application = "tapline " TAPLINE_VERSION,
		.owner = o->user,
		.may_wait = o->files.count > 0,
	};
	ret_recorder->compress = o->compress;
	ret_recorder->io = o->io;
	name_files(o, ret_recorder);
	*ret_engine = (struct tl_engine_opts){
		.interfaces = o->interfaces.at,
		.interface_count = o->interfaces.count,
		.files = o->files.at,
		.file_count = o->files.count,
		.filter = o->filter,
		.filter_file = o->filter_file,
		.snaplen = o->snaplen,
		.backend = o->backend,
		.xdp = o->xdp,
		.workers = o->workers,
		.cpus = o->cpus,
		.buffer_bytes = o->buffer_kib * 1024,
		.promiscuous = !o->not_promiscuous,
		.ignore_outgoing = o->ignore_outgoing,
		.busy_poll = o->busy_poll,
		.sample = o->sample,
		.sample_flows = o->sample_flows,
		.headers_only = o->headers_only,
		.cutoff_bytes = o->cutoff_bytes,
		.recorder = o->write ? ret_recorder : NULL,
		.stop = o->stop,
		.flow_memory_bytes = o->flow_memory_bytes,
		.user = o->user,
	};
}
