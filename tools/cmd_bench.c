/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tapline bench: what a core can take, by stage, with traffic made in memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "commands.h"
#include "core/registry.h"
#include "options.h"
#include "tapline/recorder.h"
#include "tapline/topology.h"

#define ANALYZERS_MAX 32u
#define RESULTS_MAX   ((BENCH_STAGES + ANALYZERS_MAX + 1) * 8)

struct bench_options {
	struct bench_opts run;
	const char *size, *protocols;
	const char *disk, *plot, *write;
	uint32_t analyzers; /* a bit for each that is measured by itself; 0: all together */
	uint32_t workers;   /* most; 0: as many as processors */
	uint64_t packets;
	bool json;
	struct bench_result results[RESULTS_MAX];
	uint32_t count;
};

static int parse_new_flows(void *options, const char *text, struct tl_error *ret_error)
{
	struct bench_options *o = options;
	char *end;
	double share = strtod(text, &end);

	if (end == text || *end || !(share >= 0 && share <= TL_TRAFFIC_NEW_FLOWS_MAX)) {
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "--new-flows %.60s: a share from 0 to %g is wanted", text,
			 TL_TRAFFIC_NEW_FLOWS_MAX);
		return -EINVAL;
	}
	o->run.traffic.new_flows = share;
	return 0;
}

static uint32_t index_of_analyzer(const char *name, size_t bytes)
{
	uint32_t i = 0;

	for (; tl_registry__name(i); i++)
		if (strlen(tl_registry__name(i)) == bytes &&
		    !memcmp(tl_registry__name(i), name, bytes))
			break;
	return i;
}

static int parse_analyzers(void *options, const char *text, struct tl_error *ret_error)
{
	struct bench_options *o = options;

	for (const char *at = text; *at;) {
		size_t bytes = strcspn(at, ",");
		uint32_t i = index_of_analyzer(at, bytes);

		if (bytes == 3 && !memcmp(at, "all", 3)) {
			for (i = 0; tl_registry__name(i); i++)
				o->analyzers |= 1u << i;
		} else if (tl_registry__name(i)) {
			o->analyzers |= 1u << i;
		} else {
			snprintf(ret_error->what, sizeof(ret_error->what),
				 "--analyzers %.60s: no analyzer is called %.*s; there are %s, %s "
				 "and others, or all",
				 text, (int)bytes, at, tl_registry__name(0), tl_registry__name(1));
			return -EINVAL;
		}
		at += bytes + (at[bytes] == ',');
	}
	return 0;
}

static int refuse(const char *what, const char *text, int err, struct tl_error *ret_error)
{
	snprintf(ret_error->what, sizeof(ret_error->what),
		 err == -ERANGE ? "%s %.80s: frames of %u to %u bytes, up to %u shares"
				: "%s %.80s: not understood; see: tapline bench --help",
		 what, text, TL_TRAFFIC_FRAME_MIN, TL_TRAFFIC_FRAME_MAX, TL_TRAFFIC_SHARES_MAX);
	return -EINVAL;
}

#define AT(field) offsetof(struct bench_options, field)

static const struct option_spec traffic_specs[] = {
	{ 0, "size", OPTION_STRING, "MIX",
	  "frame bytes: 64, 1500, imix, or shares as 64:7,594:4,1514:1 (64)", AT(size), NULL },
	{ 0, "flows", OPTION_U32, "N", "flows alive at any time, of each worker (1000000)",
	  AT(run.traffic.flows), NULL },
	{ 0, "new-flows", OPTION_CALL, "SHARE", "of packets that begin a flow, 0 to 0.1 (0)", 0,
	  parse_new_flows },
	{ 0, "protocols", OPTION_STRING, "MIX",
	  "of flows: tcp, udp, tcp6, udp6, http, dns, or shares as tcp:8,udp:2 (tcp)",
	  AT(protocols), NULL },
	{ 0, "seed", OPTION_U64, "N", "the same seed makes the same traffic (1)",
	  AT(run.traffic.seed), NULL },
	{ 0, "buffer", OPTION_SIZE, "SIZE", "memory that frames lie in, of each worker (256M)",
	  AT(run.traffic.buffer_bytes), NULL },
	{ 0, "rate", OPTION_U64, "PPS", "packets in a second of packet time (10000000)",
	  AT(run.traffic.rate), NULL },
};

static const struct option_spec measure_specs[] = {
	{ 0, "packets", OPTION_U64, "N", "packets of each worker in a repeat (4000000)",
	  AT(packets), NULL },
	{ 0, "repeats", OPTION_U32, "N", "repeats of each row (5)", AT(run.repeats), NULL },
	{ 0, "duration", OPTION_TIME, "TIME", "go on repeating a row for so long",
	  AT(run.duration_ns), NULL },
	{ 0, "workers", OPTION_U32, "N", "measure 1, 2, 4 … up to N workers (one a processor)",
	  AT(workers), NULL },
	{ 0, "analyzers", OPTION_CALL, "LIST",
	  "measure each of these by itself (names as in dns,loss; all), beyond the tracker", 0,
	  parse_analyzers },
	{ 0, "disk", OPTION_STRING, "PATH", "measure recording to this file too; it is removed",
	  AT(disk), NULL },
	{ 0, "json", OPTION_FLAG, NULL, "JSON lines instead of text", AT(json), NULL },
	{ 0, "plot", OPTION_STRING, "FILE", "draw the results as SVG", AT(plot), NULL },
	{ 0, "write", OPTION_STRING, "FILE",
	  "measure nothing: write --packets of the traffic as a capture", AT(write), NULL },
};

static const struct option_group groups[] = {
	{ "Traffic", traffic_specs, sizeof(traffic_specs) / sizeof(traffic_specs[0]) },
	{ "Measuring", measure_specs, sizeof(measure_specs) / sizeof(measure_specs[0]) },
};

static const struct option_table table = { groups, 2 };

static int help(void)
{
	printf("Usage: tapline bench [OPTIONS]\n\n"
	       "Measures how many packets a second the stages of a worker take on this machine,\n"
	       "with traffic made in memory: each row does what the rows above it do, and one\n"
	       "thing more.\n");
	options__print_help(&table, stdout);
	return EXIT_DONE;
}

/* --- printing ------------------------------------------------------------------------------ */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

/* The row that `r` does one thing more than. */
static bool is_before(const struct bench_result *before, const struct bench_result *r)
{
	if (before->workers != r->workers)
		return false;
	/* each by itself stands on what they share, and that on the tracker */
	if (r->analyzer && !same_text(r->analyzer, BENCH_PASS))
		return same_text(before->analyzer, BENCH_PASS);
	/* both kinds of recording stand on the analyzers */
	return before->stage ==
	       (r->stage == BENCH_RECORD_DISK ? BENCH_ANALYZERS : (enum bench_stage)(r->stage - 1));
}

/* Processor time that this row adds to the one before it; 0 for the first. */
static double added_ns(const struct bench_options *o, const struct bench_result *r)
{
	for (uint32_t i = 0; i < o->count; i++)
		if (is_before(&o->results[i], r))
			return r->cpu_ns - o->results[i].cpu_ns;
	return r->cpu_ns;
}

/* Throughput beside that of one worker; 0 when there is no such row. */
static double scaling(const struct bench_options *o, const struct bench_result *r)
{
	for (uint32_t i = 0; i < o->count; i++) {
		const struct bench_result *one = &o->results[i];

		if (one->workers == 1 && one->stage == r->stage &&
		    same_text(one->analyzer, r->analyzer))
			return r->workers * bench__median_ns(one) / bench__median_ns(r);
	}
	return 0;
}

static const char *row_name(const struct bench_result *r, char *ret_text, size_t room)
{
	snprintf(ret_text, room, r->analyzer ? "+%s" : "%s",
		 r->analyzer ? r->analyzer : bench__stage_name(r->stage));
	return ret_text;
}

static void print_head(void)
{
	printf("%-16s %7s %9s %9s %9s %17s %9s %9s %8s %8s %7s\n", "stage", "workers", "ns/packet",
	       "cpu ns", "added", "spread", "Mpps", "Gbit/s", "cycles", "instr.", "scaling");
}

static void print_count(double count)
{
	if (count < 0)
		printf(" %8s", "-");
	else
		printf(" %8.0f", count);
}

static void print_row(const struct bench_options *o, const struct bench_result *r)
{
	double ns = bench__median_ns(r);
	char name[32];

	printf("%-16s %7" PRIu32 " %9.1f %9.1f %9.1f %8.1f-%-8.1f %9.2f %9.2f",
	       row_name(r, name, sizeof(name)), r->workers, ns, r->cpu_ns, added_ns(o, r), r->ns[0],
	       r->ns[r->repeats - 1], bench__mpps(r, ns), bench__gbps(r));
	print_count(r->cycles);
	print_count(r->instructions);
	printf(" %7.2f\n", scaling(o, r));
	fflush(stdout);
}

static void print_json_count(const char *name, double count)
{
	if (count < 0)
		printf(",\"%s\":null", name);
	else
		printf(",\"%s\":%.1f", name, count);
}

static void print_json(const struct bench_options *o, const struct bench_result *r)
{
	const struct tl_traffic_opts *t = &o->run.traffic;
	double ns = bench__median_ns(r);
	char name[32];

	printf("{\"type\":\"bench\",\"stage\":\"%s\",\"workers\":%" PRIu32
	       ",\"size\":\"%s\",\"protocols\":\"%s\",\"flows\":%" PRIu32
	       ",\"new_flows\":%g,\"seed\":%" PRIu64 ",\"repeats\":%" PRIu32 ",\"packets\":%" PRIu64
	       ",\"bytes\":%" PRIu64,
	       row_name(r, name, sizeof(name)), r->workers, o->size, o->protocols, t->flows,
	       t->new_flows, t->seed, r->repeats, r->packets, r->bytes);
	printf(",\"ns_per_packet\":%.2f,\"cpu_ns_per_packet\":%.2f,\"cpu_ns_added\":%.2f,\"ns_"
	       "min\":%.2f,\"ns_max\":%.2f,"
	       "\"mpps\":%.3f,\"gbps\":%.3f",
	       ns, r->cpu_ns, added_ns(o, r), r->ns[0], r->ns[r->repeats - 1], bench__mpps(r, ns),
	       bench__gbps(r));
	print_json_count("cycles_per_packet", r->cycles);
	print_json_count("instructions_per_packet", r->instructions);
	printf(",\"scaling\":%.3f,\"flows_alive\":%" PRIu64 ",\"flows_created\":%" PRIu64
	       ",\"observations\":%" PRIu64 "}\n",
	       scaling(o, r), r->flows, r->flows_created, r->observations);
	fflush(stdout);
}

static int plot(const struct bench_options *o)
{
	char title[160];
	FILE *out = fopen(o->plot, "we");
	int err;

	if (!out)
		return complain(EXIT_FAILED, "%s: %s", o->plot, strerror(errno));
	snprintf(title, sizeof(title), "tapline bench: frames %.40s, %" PRIu32 " flows, %.40s",
		 o->size, o->run.traffic.flows, o->protocols);
	err = bench__plot(o->results, o->count, title, out);
	if (fclose(out) || err)
		return complain(EXIT_FAILED, "%s: cannot be written", o->plot);
	return EXIT_DONE;
}

/* --- measuring ----------------------------------------------------------------------------- */

/* `analyzer` as in the result. */
static int measure_row(struct bench_options *o, enum bench_stage stage, const char *analyzer,
		       uint32_t workers)
{
	struct tl_error error;
	int err;

	o->run.stage = stage;
	o->run.workers = workers;
	o->run.analyzers = UINT32_MAX;
	if (analyzer)
		o->run.analyzers = same_text(analyzer, BENCH_PASS)
					   ? 0
					   : 1u << index_of_analyzer(analyzer, strlen(analyzer));
	err = bench__run(&o->run, &error, &o->results[o->count]);
	if (err)
		return complain(EXIT_FAILED, "bench, %s: %s", bench__stage_name(stage),
				error.what[0] ? error.what : strerror(-err));
	o->results[o->count++].analyzer = analyzer;
	(o->json ? print_json : print_row)(o, &o->results[o->count - 1]);
	return EXIT_DONE;
}

static int measure_stages(struct bench_options *o, uint32_t workers)
{
	int status = EXIT_DONE;

	for (int stage = 0; stage < BENCH_STAGES && !status; stage++)
		if (stage != BENCH_RECORD_DISK || o->disk)
			status = measure_row(o, stage, NULL, workers);
	return status;
}

static int measure_analyzers(struct bench_options *o, uint32_t workers)
{
	int status = measure_row(o, BENCH_TRACKER, NULL, workers);

	if (!status)
		status = measure_row(o, BENCH_ANALYZERS, BENCH_PASS, workers);
	for (uint32_t left = o->analyzers; left && !status; left &= left - 1)
		status = measure_row(o, BENCH_ANALYZERS,
				     tl_registry__name((uint32_t)__builtin_ctz(left)), workers);
	return status;
}

static int measure(struct bench_options *o)
{
	uint32_t most = o->workers;
	int cpus[TL_CPU_MAX];
	int status = EXIT_DONE;

	if (!most)
		most = tl_topology__cpus(cpus, TL_CPU_MAX);
	if (most > BENCH_WORKERS_MAX)
		most = BENCH_WORKERS_MAX;
	if (!o->json)
		print_head();
	for (uint32_t workers = 1; workers <= most && !status;
	     workers = workers < most && workers * 2 > most ? most : workers * 2)
		status = o->analyzers ? measure_analyzers(o, workers) : measure_stages(o, workers);
	return !status && o->plot ? plot(o) : status;
}

/* --- a capture of the traffic -------------------------------------------------------------- */

static int write_packets(struct tl_source *source, struct tl_recorder *recorder)
{
	struct tl_packet packets[TL_BATCH_MAX];
	uint64_t last_ns = 0;
	int n;

	while ((n = tl_source__poll(source, packets, TL_BATCH_MAX)) >= 0) {
		if (!n) {
			source->ops->wait(source, 0);
			continue;
		}
		last_ns = packets[n - 1].ts_ns;
		tl_recorder__write(recorder, packets, (uint32_t)n);
		tl_source__release(source, (uint64_t)n);
	}
	return tl_recorder__close(recorder, last_ns, NULL);
}

static int write_capture(struct bench_options *o)
{
	struct tl_interface interface = { .name = "bench",
					  .snaplen = TL_SNAPLEN_DEFAULT,
					  .linktype = TL_LINKTYPE_ETHERNET,
					  .tsresol = 9 };
	struct tl_recorder_opts opts = { .path = o->write, .may_wait = true, .cpu = -1 };
	struct tl_recorder *recorder;
	struct tl_source *source;
	struct tl_error error = { "" };
	int err;

	o->run.traffic.packets = o->packets;
	err = tl_source_traffic__create(&o->run.traffic, &source);
	if (err)
		return complain(EXIT_FAILED, "bench: %s", strerror(-err));
	err = tl_recorder__create(&opts, &interface, 1, &error, &recorder);
	if (!err) {
		err = write_packets(source, recorder);
		tl_recorder__destroy(recorder);
	}
	tl_source__destroy(source);
	if (err)
		return complain(EXIT_FAILED, "%s", error.what[0] ? error.what : strerror(-err));
	return EXIT_DONE;
}

/* --- the call ------------------------------------------------------------------------------ */

static int check(struct bench_options *o, struct tl_error *ret_error)
{
	struct tl_traffic_opts *t = &o->run.traffic;
	int err = tl_traffic__parse_sizes(o->size, &t->sizes);

	if (err)
		return refuse("--size", o->size, err, ret_error);
	err = tl_traffic__parse_protocols(o->protocols, &t->protocols);
	if (err)
		return refuse("--protocols", o->protocols, err, ret_error);
	if (!t->flows || t->flows > TL_TRAFFIC_FLOWS_MAX)
		snprintf(ret_error->what, sizeof(ret_error->what), "--flows: 1 to %u",
			 TL_TRAFFIC_FLOWS_MAX);
	else if (!o->packets || !o->run.repeats || o->run.repeats > BENCH_REPEATS_MAX)
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "--packets: at least 1; --repeats: 1 to %u", BENCH_REPEATS_MAX);
	else if (t->buffer_bytes && (t->buffer_bytes < 1 << 20 || t->buffer_bytes > 64ull << 30))
		snprintf(ret_error->what, sizeof(ret_error->what), "--buffer: 1M to 64G");
	else if (o->analyzers && (o->plot || o->disk))
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "--analyzers goes with neither --plot nor --disk: it measures no stages");
	else if (t->rate > 1000000000)
		snprintf(ret_error->what, sizeof(ret_error->what), "--rate: at most 1000000000");
	else
		return 0;
	return -EINVAL;
}

static int run(struct bench_options *o, int argc, char **argv)
{
	struct tl_error error = { "" };
	struct command_line line = { .argc = argc, .argv = argv };
	int err = options__parse(&table, &line, o, &error);

	if (err == -ECANCELED)
		return help();
	if (!err && line.operand < argc) {
		snprintf(error.what, sizeof(error.what), "%.80s: bench takes options only",
			 argv[line.operand]);
		err = -EINVAL;
	}
	if (err || check(o, &error))
		return complain(EXIT_BAD_CALL, "%s", error.what);
	o->run.packets = o->packets;
	o->run.disk = o->disk;
	return o->write ? write_capture(o) : measure(o);
}

int cmd_bench(int argc, char **argv)
{
	struct bench_options *o = calloc(1, sizeof(*o));
	int status;

	if (!o)
		return complain(EXIT_FAILED, "bench: %s", strerror(ENOMEM));
	o->size = "64";
	o->protocols = "tcp";
	o->packets = 4000000;
	o->run.repeats = 5;
	o->run.traffic.flows = 1000000;
	o->run.traffic.seed = 1;
	status = run(o, argc, argv);
	free(o);
	return status;
}
