/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core tl_decode tl_flow tl_source */
/*
 * How right the tracker's verdicts are, on connections whose truth is known (tracker_sim.h):
 *
 *   simulated link ─► tap ─► mirror ─► packets ─► decode ─► flow table ─► tracker ─► verdicts
 *                                         │
 *                                         └► DIR/SETTING.pcap, and .truth: a line a frame
 *
 *   bench_verdicts            a table: for each verdict, how often it is right
 *   bench_verdicts DIR        the same, and the files, for other programs to be measured by
 *                             (bench/e2e_verdicts.sh)
 *   bench_verdicts -r FILE    a line for each frame of a capture: its verdict and trigger
 *
 * The frames of a setting are those of CONNECTIONS connections at once. A frame of which the tap
 * cannot know the truth ("unsure") is left out.
 */
#include <errno.h>
#include <stdio.h>

#include "tapline/decode.h"
#include "tapline/flow.h"
#include "tapline/source.h"
#include "unit/packet_builder.h"
#include "unit/tracker_sim.h"

#include "core/tracker.h"

#define CONNECTIONS 10u
#define SEGMENTS    1500u
#define FRAMES_MAX  (2 * CONNECTIONS * SIM_TRACE)
#define SNAP	    128u
#define VERDICTS    (TL_VERDICT_NOT_TRACKED + 1)
#define TRIGGERS    4u
#define START_NS    1700000000000000000ull

static const char *const verdict_name[VERDICTS] = {
	"new",	     "copy",	     "reordered", "lost_before",    "lost_after", "spurious",
	"keepalive", "window_probe", "pure_ack",  "syn_retransmit", "damaged",	  "not_tracked",
};
static const char *const trigger_name[TRIGGERS] = { "none", "rto", "fast", "tlp" };

/* --- settings -------------------------------------------------------------------------------- */

struct mirror {
	double copied, dropped;
	uint64_t gap_ns; /* a copy comes up to this much later */
	bool other_path;
};

struct setting {
	const char *name;
	struct sim_opts sim;
	struct mirror mirror;
};

#define US 1000ull
/* Delays before and after the tap, in µs, and how late a reordered segment is. */
#define LAN	 .delay_a_ns = 40 * US, .delay_b_ns = 60 * US, .reorder_ns = 40 * US
#define METRO	 .delay_a_ns = 2000 * US, .delay_b_ns = 3000 * US, .reorder_ns = 2000 * US
#define WAN_NEAR .delay_a_ns = 2000 * US, .delay_b_ns = 90000 * US, .reorder_ns = 9000 * US
#define WAN_FAR	 .delay_a_ns = 70000 * US, .delay_b_ns = 20000 * US, .reorder_ns = 9000 * US
#define BOTH(p)	 .loss_before = (p), .loss_after = (p)
#define LINUX	 .timestamps = true, .ip_id = true, .sack = true

static const struct setting settings[] = {
	{ .name = "loss before the tap", .sim = { LAN, LINUX, .loss_before = 0.02 } },
	{ .name = "loss after the tap", .sim = { METRO, LINUX, .loss_after = 0.02 } },
	{ .name = "loss on both sides, WAN", .sim = { WAN_NEAR, LINUX, BOTH(0.01) } },
	{ .name = "heavy loss on both sides", .sim = { WAN_FAR, LINUX, BOTH(0.04) } },
	{ .name = "losses in bursts", .sim = { METRO, LINUX, BOTH(0.02), .bursts = true } },
	{ .name = "reordering alone", .sim = { METRO, LINUX, .reorder = 0.03 } },
	{ .name = "reordering and loss", .sim = { WAN_FAR, LINUX, BOTH(0.01), .reorder = 0.02 } },
	{ .name = "ACKs lost", .sim = { METRO, LINUX, BOTH(0.01), .ack_loss = 0.2 } },
	{ .name = "short messages, tail loss", .sim = { LAN, LINUX, BOTH(0.03), .dialog = true } },
	{ .name = "way before the tap freezes",
	  .sim = { LAN, LINUX, BOTH(0.005), .freeze = { 0.002, 0 } } },
	{ .name = "way after the tap freezes",
	  .sim = { LAN, LINUX, BOTH(0.005), .freeze = { 0, 0.002 } } },
	{ .name = "windows shut", .sim = { METRO, LINUX, BOTH(0.01), .stalls = true } },
	{ .name = "no SACK", .sim = { METRO, BOTH(0.01), .timestamps = true, .ip_id = true } },
	{ .name = "no timestamps", .sim = { METRO, BOTH(0.01), .ip_id = true, .sack = true } },
	{ .name = "no timestamps, IP ID 0, reordering",
	  .sim = { METRO, BOTH(0.01), .sack = true, .reorder = 0.01 } },
	{ .name = "IP IDs at random, reordering",
	  .sim = { WAN_NEAR, BOTH(0.01), .sack = true, .random_id = true, .reorder = 0.01 } },
	{ .name = "IPv6, reordering",
	  .sim = { WAN_NEAR, BOTH(0.01), .sack = true, .timestamps = true, .ipv6 = true,
		   .reorder = 0.01 } },
	{ .name = "IPv6 without timestamps",
	  .sim = { LAN, BOTH(0.02), .sack = true, .ipv6 = true } },
	{ .name = "mirror shows all twice",
	  .sim = { METRO, LINUX, BOTH(0.01), .reorder = 0.01 },
	  .mirror = { .copied = 1, .gap_ns = 20 * US } },
	{ .name = "mirror shows all twice, IPv6, no timestamps",
	  .sim = { METRO, BOTH(0.01), .sack = true, .ipv6 = true },
	  .mirror = { .copied = 1, .gap_ns = 20 * US } },
	{ .name = "two taps of one path",
	  .sim = { METRO, LINUX, BOTH(0.01), .reorder = 0.01 },
	  .mirror = { .copied = 1, .gap_ns = 300 * US, .other_path = true } },
	{ .name = "mirror drops 2 %, no loss",
	  .sim = { METRO, LINUX },
	  .mirror = { .dropped = 0.02 } },
	{ .name = "mirror drops 1 %, loss",
	  .sim = { METRO, LINUX, BOTH(0.01) },
	  .mirror = { .dropped = 0.01 } },
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* --- frames ---------------------------------------------------------------------------------- */

struct frame {
	struct sim_frame f;
	uint32_t order;
	uint16_t port;
	bool ipv6, other_path;
};

struct scene {
	const struct setting *setting;
	struct frame *frame; /* [FRAMES_MAX] */
	uint32_t frames;
	uint64_t missed; /* payload that the mirror never showed */
};

static void show(struct scene *scene, const struct sim *s, const struct sim_frame *f)
{
	struct frame *out = &scene->frame[scene->frames];

	*out = (struct frame){
		.f = *f, .order = scene->frames++, .port = s->o.port, .ipv6 = s->o.ipv6
	};
}

/* One connection's trace as the mirror shows it. */
static void reflect(struct scene *scene, struct sim *s)
{
	const struct mirror *m = &scene->setting->mirror;
	bool shown[SIM_SEGMENTS] = { false };

	for (uint32_t i = 0; i < s->trace_count; i++) {
		struct sim_frame f = s->trace[i];
		uint32_t segment = (f.seq - s->o.isn - 1) / SIM_MSS;
		bool data = !f.side && f.bytes == SIM_MSS && segment < SIM_SEGMENTS;

		/* Without its original, this one looks as if that had been lost before the tap. */
		if (data && !shown[segment] && f.truth == TL_VERDICT_LOST_AFTER)
			f.truth = SIM_UNSURE;
		if (i > 3 && sim__chance(s, m->dropped))
			continue;
		if (data)
			shown[segment] = true;
		show(scene, s, &f);
		if (!sim__chance(s, m->copied))
			continue;
		f.truth = TL_VERDICT_COPY;
		f.ts_ns += sim__between(s, 0, m->gap_ns);
		show(scene, s, &f);
		scene->frame[scene->frames - 1].other_path = m->other_path;
	}
	for (uint32_t i = 0; i < s->o.segments; i++)
		scene->missed += shown[i] ? 0 : SIM_MSS;
}

static int earlier(const void *a, const void *b)
{
	const struct frame *x = a, *y = b;

	if (x->f.ts_ns != y->f.ts_ns)
		return x->f.ts_ns < y->f.ts_ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void play(struct scene *scene)
{
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		struct sim_opts o = scene->setting->sim;
		struct sim *s;

		o.seed = 100 + i;
		o.delay_a_ns += i % 5 * o.delay_a_ns / 8;
		o.delay_b_ns += i % 3 * o.delay_b_ns / 8;
		o.segments = SEGMENTS;
		o.isn = 0xfff00000u + i * 0x33333333u; /* the first one wraps */
		o.port = (uint16_t)(40000 + i);
		o.from_ns = START_NS + i * 7 * SIM_MS;
		s = sim__run(&o);
		reflect(scene, s);
		sim__free(s);
	}
	qsort(scene->frame, scene->frames, sizeof(*scene->frame), earlier);
}

static void build(const struct frame *frame, uint8_t *bytes, struct tl_packet *ret_packet)
{
	static uint8_t payload[SIM_MSS];
	const struct sim_frame *f = &frame->f;
	const char *client = frame->ipv6 ? "2001:db8::1" : "10.0.0.1";
	const char *server = frame->ipv6 ? "2001:db8::2" : "10.0.0.2";
	struct pb_ip ip = { .src = f->side ? server : client,
			    .dst = f->side ? client : server,
			    .ttl = (uint8_t)(64 - frame->other_path),
			    .id = frame->ipv6 ? 0 : f->ip_id,
			    .dont_fragment = true };
	struct pb_tcp tcp = { .src_port = f->side ? 5001 : frame->port,
			      .dst_port = f->side ? frame->port : 5001,
			      .seq = f->seq,
			      .ack = f->ack,
			      .flags = f->flags,
			      .window = f->window,
			      .zero_window = !f->window,
			      .mss = f->flags & TL_TCP_SYN ? SIM_MSS : 0,
			      .sack_ok = f->flags & TL_TCP_SYN,
			      .has_wscale = f->flags & TL_TCP_SYN,
			      .wscale = 7,
			      .has_ts = f->has_ts,
			      .tsval = f->tsval,
			      .tsecr = f->tsecr,
			      .sack_count = f->sack_count };

	memcpy(tcp.sack, f->sack, sizeof(f->sack));
	for (uint32_t i = 0; i < f->bytes; i++)
		payload[i] = (uint8_t)((f->seq + i) * 0x9e37u >> 3);
	*ret_packet = pb__tcp_packet(bytes, &ip, &tcp, (struct pb_payload){ payload, f->bytes });
	ret_packet->ts_ns = f->ts_ns;
	bytes[5] = (uint8_t)(2 + 2 * frame->other_path); /* its MAC */
}

/* --- the judge ------------------------------------------------------------------------------- */

struct judge {
	struct tl_tracker *tracker;
	struct tl_flow_table *table;
	unsigned char *slab;
	size_t stride;
	uint64_t frames;
};

static bool ignore(void *ctx, const struct tl_observation *observation)
{
	(void)ctx;
	(void)observation;
	return true;
}

static void on_end(void *ctx, struct tl_flow *flow, enum tl_flow_end end)
{
	struct judge *j = ctx;
	void *state = j->slab + flow->index * j->stride;

	tl_tracker__flow_end(j->tracker, flow, state, end);
	memset(state, 0, j->stride);
}

static void judge__open(struct judge *j)
{
	struct tl_flow_table_opts table = {
		.memory_bytes = 8 << 20, .numa_node = -1, .on_end = on_end, .ctx = j
	};
	struct tl_analysis_worker_opts worker = { .emit = ignore };

	memset(j, 0, sizeof(*j));
	j->stride = tl_tracker__flow_bytes();
	if (tl_flow_table__create(&table, &j->table))
		exit(1);
	worker.flow_capacity = tl_flow_table__capacity(j->table);
	j->slab = aligned_alloc(64, worker.flow_capacity * j->stride);
	if (!j->slab || tl_tracker__create(&worker, &j->tracker))
		exit(1);
	memset(j->slab, 0, worker.flow_capacity * j->stride);
}

static void judge__packets(struct judge *j, struct tl_packet *packet, uint32_t n,
			   struct tl_segment *ret_segments)
{
	static struct tl_layers layers[TL_BATCH_MAX];
	static struct tl_flow_lookup lookup[TL_BATCH_MAX];

	for (uint32_t i = 0; i < n; i++) {
		packet[i].frame = ++j->frames;
		tl_decode(&packet[i], &layers[i]);
		lookup[i] = (struct tl_flow_lookup){ .packet = &packet[i], .layers = &layers[i] };
	}
	for (uint32_t i = 0, done; i < n; i += done) {
		struct tl_batch batch = { .packet = &packet[i],
					  .layers = &layers[i],
					  .lookup = &lookup[i],
					  .slab = j->slab,
					  .slab_stride = j->stride };

		done = batch.n = tl_flow_table__lookup(j->table, &lookup[i], n - i);
		tl_tracker__classify(j->tracker, &batch, 0, &ret_segments[i]);
	}
	tl_flow_table__expire(j->table, packet[n - 1].ts_ns, UINT32_MAX);
}

static void judge__close(struct judge *j, struct tl_tracker_totals *ret_totals)
{
	tl_flow_table__drain(j->table);
	tl_tracker__totals(j->tracker, ret_totals);
	tl_flow_table__destroy(j->table);
	tl_tracker__destroy(j->tracker);
	free(j->slab);
}

/* --- files ----------------------------------------------------------------------------------- */

struct files {
	FILE *pcap, *truth;
};

static FILE *make(const char *dir, size_t setting, const char *suffix)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%02zu.%s", dir, setting + 1, suffix);
	file = fopen(path, "w");
	if (!file) {
		fprintf(stderr, "bench_verdicts: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return file;
}

static void files__open(struct files *files, const char *dir, size_t setting)
{
	const uint32_t header[] = { 0xa1b23c4d, 2 | 4 << 16, 0, 0, 65535, 1 };

	if (!dir)
		return;
	files->pcap = make(dir, setting, "pcap");
	files->truth = make(dir, setting, "truth");
	fwrite(header, sizeof(header), 1, files->pcap);
	fprintf(files->truth, "# %s\n# frame truth trigger verdict its_trigger\n",
		settings[setting].name);
}

static void files__add(const struct files *files, const struct frame *frame,
		       const struct tl_packet *packet, const struct tl_segment *segment)
{
	const struct sim_frame *f = &frame->f;
	const uint32_t header[] = {
		(uint32_t)(packet->ts_ns / 1000000000u),
		(uint32_t)(packet->ts_ns % 1000000000u),
		packet->caplen < SNAP ? packet->caplen : SNAP,
		packet->wirelen,
	};

	if (!files->pcap)
		return;
	fwrite(header, sizeof(header), 1, files->pcap);
	fwrite(packet->data, header[2], 1, files->pcap);
	fprintf(files->truth, "%lu %s %s %s %s\n", (unsigned long)packet->frame,
		f->truth == SIM_UNSURE ? "unsure" : verdict_name[f->truth],
		trigger_name[f->trigger], verdict_name[segment->verdict],
		trigger_name[segment->trigger]);
}

static void files__close(const struct files *files)
{
	if (!files->pcap)
		return;
	fclose(files->pcap);
	fclose(files->truth);
}

/* --- scores ---------------------------------------------------------------------------------- */

struct score {
	uint32_t said[VERDICTS][VERDICTS];    /* [truth][verdict] */
	uint32_t trigger[TRIGGERS][TRIGGERS]; /* of what was lost or spurious, and is called so */
	uint32_t unsure, false_loss;
	uint64_t missed, truly_missed;
};

static bool is_retransmission(uint8_t verdict)
{
	return verdict >= TL_VERDICT_LOST_BEFORE && verdict <= TL_VERDICT_SPURIOUS;
}

static void score__frame(struct score *score, const struct sim_frame *f,
			 const struct tl_segment *segment)
{
	if (f->truth == SIM_UNSURE) {
		score->unsure++;
		return;
	}
	score->said[f->truth][segment->verdict]++;
	if (is_retransmission(f->truth) && is_retransmission(segment->verdict))
		score->trigger[f->trigger][segment->trigger]++;
	score->false_loss += is_retransmission(segment->verdict) && !is_retransmission(f->truth);
}

static void score__add(struct score *sum, const struct score *score)
{
	for (uint32_t a = 0; a < VERDICTS; a++)
		for (uint32_t b = 0; b < VERDICTS; b++)
			sum->said[a][b] += score->said[a][b];
	for (uint32_t a = 0; a < TRIGGERS; a++)
		for (uint32_t b = 0; b < TRIGGERS; b++)
			sum->trigger[a][b] += score->trigger[a][b];
	sum->unsure += score->unsure;
	sum->false_loss += score->false_loss;
	sum->missed += score->missed;
	sum->truly_missed += score->truly_missed;
}

static double percent(uint32_t part, uint32_t whole)
{
	return whole ? 100.0 * part / whole : 100;
}

/* How many of `from`…`to` are told right. */
static double accuracy(const struct score *score, uint32_t from, uint32_t to)
{
	uint32_t right = 0, all = 0;

	for (uint32_t a = from; a <= to; a++)
		for (uint32_t b = 0; b < VERDICTS; b++) {
			all += score->said[a][b];
			right += a == b ? score->said[a][b] : 0;
		}
	return percent(right, all);
}

static double trigger_accuracy(const struct score *score)
{
	uint32_t right = 0, all = 0;

	for (uint32_t a = 1; a < TRIGGERS; a++)
		for (uint32_t b = 0; b < TRIGGERS; b++) {
			all += score->trigger[a][b];
			right += a == b ? score->trigger[a][b] : 0;
		}
	return percent(right, all);
}

static void print_setting(const struct setting *setting, const struct score *score)
{
	uint32_t lost = 0;

	for (uint32_t a = TL_VERDICT_LOST_BEFORE; a <= TL_VERDICT_SPURIOUS; a++)
		for (uint32_t b = 0; b < VERDICTS; b++)
			lost += score->said[a][b];
	printf("| %s | %u | %.2f | %.2f | %.2f | %u | %lu of %lu |\n", setting->name, lost,
	       accuracy(score, TL_VERDICT_LOST_BEFORE, TL_VERDICT_SPURIOUS),
	       trigger_accuracy(score), accuracy(score, 0, VERDICTS - 1), score->false_loss,
	       (unsigned long)score->missed, (unsigned long)score->truly_missed);
}

static void print_sum(const struct score *sum)
{
	printf("\n| verdict | frames | of these found, %% | of those called so, right, %% |\n"
	       "|---|---:|---:|---:|\n");
	for (uint32_t v = 0; v < VERDICTS; v++) {
		uint32_t deserve = 0, get = 0;

		for (uint32_t k = 0; k < VERDICTS; k++) {
			deserve += sum->said[v][k];
			get += sum->said[k][v];
		}
		if (deserve || get)
			printf("| %s | %u | %.2f | %.2f |\n", verdict_name[v], deserve,
			       percent(sum->said[v][v], deserve), percent(sum->said[v][v], get));
	}
	for (uint32_t v = 1; v < TRIGGERS; v++) {
		uint32_t deserve = 0, get = 0;

		for (uint32_t k = 0; k < TRIGGERS; k++) {
			deserve += sum->trigger[v][k];
			get += sum->trigger[k][v];
		}
		printf("| trigger %s | %u | %.2f | %.2f |\n", trigger_name[v], deserve,
		       percent(sum->trigger[v][v], deserve), percent(sum->trigger[v][v], get));
	}
	printf("\n%u frames of which the tap cannot know the truth were left out.\n", sum->unsure);
}

/* --- runs ------------------------------------------------------------------------------------ */

static void run_setting(size_t at, const char *dir, struct scene *scene, struct score *score)
{
	static uint8_t bytes[TL_BATCH_MAX][1600];
	static struct tl_packet packet[TL_BATCH_MAX];
	static struct tl_segment segment[TL_BATCH_MAX];
	struct files files = { 0 };
	struct tl_tracker_totals totals;
	struct judge j;

	scene->setting = &settings[at];
	scene->frames = 0;
	scene->missed = 0;
	play(scene);
	judge__open(&j);
	files__open(&files, dir, at);
	for (uint32_t i = 0, n; i < scene->frames; i += n) {
		n = scene->frames - i < TL_BATCH_MAX ? scene->frames - i : TL_BATCH_MAX;
		for (uint32_t k = 0; k < n; k++)
			build(&scene->frame[i + k], bytes[k], &packet[k]);
		judge__packets(&j, packet, n, segment);
		for (uint32_t k = 0; k < n; k++) {
			score__frame(score, &scene->frame[i + k].f, &segment[k]);
			files__add(&files, &scene->frame[i + k], &packet[k], &segment[k]);
		}
	}
	judge__close(&j, &totals);
	files__close(&files);
	score->missed = totals.missed_bytes;
	score->truly_missed = scene->missed;
}

static int run_all(const char *dir)
{
	struct scene scene = { .frame = calloc(FRAMES_MAX, sizeof(struct frame)) };
	struct score sum = { 0 };

	if (!scene.frame)
		return 1;
	printf("| setting | sent again | place right, %% | trigger right, %% | all verdicts, %% | "
	       "wrongly called sent again | missed bytes told |\n"
	       "|---|---:|---:|---:|---:|---:|---:|\n");
	for (size_t i = 0; i < SETTINGS; i++) {
		struct score score = { 0 };

		run_setting(i, dir, &scene, &score);
		print_setting(&settings[i], &score);
		score__add(&sum, &score);
	}
	print_sum(&sum);
	free(scene.frame);
	return 0;
}

/* A line for each frame: number, verdict, trigger. */
static int run_file(const char *path)
{
	static struct tl_packet packet[TL_BATCH_MAX];
	static struct tl_segment segment[TL_BATCH_MAX];
	struct tl_source_file_opts opts = { .paths = &path, .path_count = 1 };
	struct tl_tracker_totals totals;
	struct tl_source *source;
	struct tl_error error;
	struct judge j;
	int n;

	if (tl_source_file__create(&opts, &error, &source)) {
		fprintf(stderr, "bench_verdicts: %s: %s\n", path, error.what);
		return 1;
	}
	judge__open(&j);
	while ((n = tl_source__poll(source, packet, TL_BATCH_MAX)) >= 0) {
		if (!n)
			continue;
		judge__packets(&j, packet, (uint32_t)n, segment);
		for (int i = 0; i < n; i++)
			printf("%lu %s %s\n", (unsigned long)packet[i].frame,
			       verdict_name[segment[i].verdict], trigger_name[segment[i].trigger]);
		tl_source__release(source, (uint64_t)n);
	}
	judge__close(&j, &totals);
	tl_source__destroy(source);
	return n == -ENODATA ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "-r"))
		return run_file(argv[2]);
	if (argc > 2) {
		fprintf(stderr, "usage: bench_verdicts [DIR | -r FILE]\n");
		return 2;
	}
	return run_all(argc == 2 ? argv[1] : NULL);
}
