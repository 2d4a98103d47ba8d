/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One measurement of tapline bench: each worker has traffic, a flow table and analyzers of its own
 * and takes batches through the stages, with the functions that a worker of the engine calls.
 *
 *	all:  make frames ─┬─ barrier ─► clock ─► batches of 256 … ─► clock ─┬─ barrier ─► next
 *
 * The clock is read twice a bufferful (hundreds of thousands of packets). Making frames is not
 * timed; it also pushes the flow table out of the caches, which is no advantage to us. A repeat's
 * wall time is that of the slowest worker; processor time is of all workers, and the figure to
 *trust on a machine that is not quiet. Warm-up: until all flows have begun, and a bufferful more.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "core/registry.h"
#include "core/tracker.h"
#include "tapline/analyzer.h"
#include "tapline/decode.h"
#include "tapline/recorder.h"
#include "tapline/topology.h"

#define NS_PER_S     1000000000ull
#define FLOW_BYTES   205u	  /* of the table's memory, a flow and its share of a bucket */
#define FLOW_SPARE   (1ull << 20) /* of memory: the table's fixed part */
#define OBSERVATIONS 1024u	  /* places that observations are copied to, in turn */
#define EXPIRE_ALL   UINT32_MAX
#define HTTP_FRAME   1514u

enum counter { CYCLES, INSTRUCTIONS, COUNTERS };

struct run;

struct worker {
	struct run *run;
	uint32_t index;
	int cpu; /* -1: not pinned */
	pthread_t thread;
	struct tl_source *source;
	struct tl_flow_table *table;
	struct tl_recorder *recorder;
	void *analysis;
	unsigned char *slab;
	size_t slab_stride, slab_bytes;
	uint64_t next_tick_ns, last_ns;
	struct tl_observation *observations;
	uint64_t observation_count;
	int counter[COUNTERS];
	uint64_t packets, bytes; /* since the warm-up */
	uint64_t sum;		 /* keeps the decoder's work from being left out */
	/* of the repeat at work */
	uint64_t repeat_packets;
	uint64_t repeat_ns;
	uint64_t repeat_cpu_ns;
	uint64_t repeat_count[COUNTERS];
	int error;
	struct tl_error reason;
	struct tl_packet packet[TL_BATCH_MAX];
	struct tl_layers layers[TL_BATCH_MAX];
	struct tl_flow_lookup lookup[TL_BATCH_MAX];
};

struct run {
	const struct bench_opts *opts;
	const struct tl_analysis_ops *analysis; /* NULL: stages below the tracker */
	struct worker *worker[BENCH_WORKERS_MAX];
	pthread_barrier_t barrier;
	pthread_mutex_t start; /* held while threads are created */
	bool incomplete;       /* under start: not all could be created */
	bool over;
	struct bench_result result;
	double cpu_ns[BENCH_REPEATS_MAX];
	double cycles[BENCH_REPEATS_MAX], instructions[BENCH_REPEATS_MAX];
	uint64_t measured_ns;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- the tracker alone, as a table of operations ------------------------------------------- */

static int tracker_create(const struct tl_analysis_worker_opts *opts, void **ret_worker)
{
	struct tl_tracker *tracker;
	int err = tl_tracker__create(opts, &tracker);

	if (!err)
		*ret_worker = tracker;
	return err;
}

/* The verdicts go where nobody reads them; one worker's thread at a time. */
static void tracker_batch(void *ctx, const struct tl_batch *batch)
{
	static _Thread_local struct tl_segment segment[TL_BATCH_MAX];

	tl_tracker__classify(ctx, batch, 0, segment);
}

static void tracker_tick(void *ctx, uint64_t now)
{
	tl_tracker__tick(ctx, now);
}

static void tracker_flow_end(void *ctx, struct tl_flow *flow, void *slab, enum tl_flow_end end)
{
	tl_tracker__flow_end(ctx, flow, slab, end);
}

static void tracker_destroy(void *ctx)
{
	tl_tracker__destroy(ctx);
}

static const struct tl_analysis_ops tracker_ops = {
	.flow_bytes = tl_tracker__flow_bytes,
	.worker_create = tracker_create,
	.worker_batch = tracker_batch,
	.worker_tick = tracker_tick,
	.worker_flow_end = tracker_flow_end,
	.worker_destroy = tracker_destroy,
};

/* --- a worker's parts ---------------------------------------------------------------------- */

static bool emit(void *ctx, const struct tl_observation *observation)
{
	struct worker *w = ctx;

	memcpy(&w->observations[w->observation_count++ % OBSERVATIONS], observation,
	       offsetof(struct tl_observation, data) + observation->data_bytes);
	return true;
}

static void on_flow_end(void *ctx, struct tl_flow *flow, enum tl_flow_end end)
{
	struct worker *w = ctx;

	if (w->analysis)
		w->run->analysis->worker_flow_end(
			w->analysis, flow, w->slab + (size_t)flow->index * w->slab_stride, end);
}

/* -1 where the machine, or who runs it, does not let us count. */
static int open_counter(uint64_t config)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = config,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t read_counter(int fd)
{
	uint64_t value;

	return fd >= 0 && read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static int create_flows(struct worker *w)
{
	const struct bench_opts *o = w->run->opts;
	/* Flows that have ended stay for two seconds of packet time. */
	double ended =
		3.0 * o->traffic.new_flows * (double)(o->traffic.rate ? o->traffic.rate : 10000000);
	uint64_t needed = (uint64_t)((o->traffic.flows + ended) * FLOW_BYTES) + FLOW_SPARE;
	struct tl_flow_table_opts table = {
		.memory_bytes = o->flow_memory_bytes ? o->flow_memory_bytes : needed,
		.numa_node = -1,
		.on_end = on_flow_end,
		.ctx = w,
	};

	return tl_flow_table__create(&table, &w->table);
}

static int create_analysis(struct worker *w)
{
	struct tl_analysis_worker_opts opts = {
		.worker = (uint16_t)w->index,
		.flow_capacity = tl_flow_table__capacity(w->table),
		.emit = emit,
		.emit_ctx = w,
	};

	w->slab_stride = w->run->analysis->flow_bytes();
	w->slab_bytes = w->slab_stride * opts.flow_capacity;
	w->slab = mmap(NULL, w->slab_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->slab == MAP_FAILED) {
		w->slab = NULL;
		return -ENOMEM;
	}
	/* Each packet asks for another entry: of small pages the TLB holds too few. */
	madvise(w->slab, w->slab_bytes, MADV_HUGEPAGE);
	w->observations = calloc(OBSERVATIONS, sizeof(*w->observations));
	if (!w->observations)
		return -ENOMEM;
	if (w->run->analysis == &tl_analysis)
		return tl_registry__create_worker(&opts, w->run->opts->analyzers, &w->analysis);
	return w->run->analysis->worker_create(&opts, &w->analysis);
}

static int create_recorder(struct worker *w)
{
	const struct bench_opts *o = w->run->opts;
	struct tl_interface interface = { .name = "bench",
					  .snaplen = TL_SNAPLEN_DEFAULT,
					  .linktype = TL_LINKTYPE_ETHERNET,
					  .tsresol = 9 };
	struct tl_recorder_opts opts = { .path = "/dev/null", .may_wait = true, .cpu = -1 };
	char path[4096];

	if (o->stage == BENCH_RECORD_DISK) {
		opts.path = path;
		if (o->workers == 1)
			snprintf(path, sizeof(path), "%s", o->disk);
		else
			snprintf(path, sizeof(path), "%s.%u", o->disk, w->index);
	}
	return tl_recorder__create(&opts, &interface, 1, &w->reason, &w->recorder);
}

/*
 * Packets that surely fit the buffer: all workers have equally many, and so meet at the barrier
 * equally often.
 */
static uint64_t bufferful(const struct bench_opts *o)
{
	uint64_t buffer =
		o->traffic.buffer_bytes ? o->traffic.buffer_bytes : TL_TRAFFIC_BUFFER_DEFAULT;
	uint32_t largest = 128; /* where headers raise a small frame, DNS too */
	uint64_t packets;

	for (uint32_t i = 0; i < o->traffic.sizes.count; i++)
		if (o->traffic.sizes.at[i].value > TL_CACHE_LINE &&
		    o->traffic.sizes.at[i].value > largest)
			largest = o->traffic.sizes.at[i].value;
	for (uint32_t i = 0; i < o->traffic.protocols.count; i++)
		if (o->traffic.protocols.at[i].value == TL_TRAFFIC_HTTP && largest < HTTP_FRAME)
			largest = HTTP_FRAME;
	packets = (buffer - 2 * TL_TRAFFIC_FRAME_MAX) / (largest + TL_CACHE_LINE);
	return packets < o->packets ? packets : o->packets;
}

static int create(struct worker *w)
{
	const struct bench_opts *o = w->run->opts;
	struct tl_traffic_opts traffic = o->traffic;
	int err;

	traffic.seed += w->index;
	traffic.buffer_packets = bufferful(o);
	err = tl_source_traffic__create(&traffic, &w->source);
	if (!err && o->stage >= BENCH_FLOW)
		err = create_flows(w);
	if (!err && w->run->analysis)
		err = create_analysis(w);
	if (!err && o->stage >= BENCH_RECORD_NULL)
		err = create_recorder(w);
	return err;
}

/* --- what a worker of the engine does with a batch ----------------------------------------- */

static void tick(struct worker *w, uint64_t now)
{
	uint64_t at = now - now % TL_TICK_NS;

	while (tl_flow_table__expire(w->table, at, EXPIRE_ALL))
		;
	if (w->analysis)
		w->run->analysis->worker_tick(w->analysis, at);
	w->next_tick_ns = at + TL_TICK_NS;
}

static void analyze(struct worker *w, uint32_t from, uint32_t n)
{
	struct tl_batch batch = {
		.n = n,
		.packet = &w->packet[from],
		.layers = &w->layers[from],
		.lookup = &w->lookup[from],
		.slab = w->slab,
		.slab_stride = w->slab_stride,
	};

	for (uint32_t i = from; i < from + n; i++) {
		const struct tl_flow_lookup *l = &w->lookup[i];

		if (l->ret_is_new && l->ret_flow)
			memset(w->slab + l->ret_flow->index * w->slab_stride, 0, w->slab_stride);
	}
	w->run->analysis->worker_batch(w->analysis, &batch);
}

static void process(struct worker *w, uint32_t n)
{
	enum bench_stage stage = w->run->opts->stage;

	if (w->recorder) {
		tl_recorder__write(w->recorder, w->packet, n);
		tl_recorder__tick(w->recorder, w->last_ns, NULL);
	}
	if (stage < BENCH_DECODE)
		return;
	for (uint32_t i = 0; i < n; i++) {
		tl_decode(&w->packet[i], &w->layers[i]);
		w->lookup[i] =
			(struct tl_flow_lookup){ .packet = &w->packet[i], .layers = &w->layers[i] };
	}
	w->sum += w->layers[n - 1].seq;
	if (stage < BENCH_FLOW)
		return;
	if (w->packet[0].ts_ns >= w->next_tick_ns)
		tick(w, w->packet[0].ts_ns);
	for (uint32_t done = 0; done < n;) {
		uint32_t some = tl_flow_table__lookup(w->table, &w->lookup[done], n - done);

		if (w->analysis)
			analyze(w, done, some);
		done += some;
	}
}

/* What is in the buffer. Packets. */
static uint64_t run_bufferful(struct worker *w)
{
	uint64_t packets = 0;
	int n;

	while ((n = tl_source__poll(w->source, w->packet, TL_BATCH_MAX)) > 0) {
		w->last_ns = w->packet[n - 1].ts_ns;
		process(w, (uint32_t)n);
		tl_source__release(w->source, (uint64_t)n);
		packets += (uint64_t)n;
	}
	return packets;
}

/* --- repeats ------------------------------------------------------------------------------- */

static void warm_up(struct worker *w)
{
	while (!tl_source_traffic__warm(w->source)) {
		w->source->ops->wait(w->source, 0);
		run_bufferful(w);
	}
	w->source->ops->wait(w->source, 0);
	run_bufferful(w);
}

static void repeat(struct worker *w)
{
	struct tl_source_stats before, after;

	w->source->ops->stats(w->source, &before);
	w->repeat_packets = w->repeat_ns = w->repeat_cpu_ns = 0;
	memset(w->repeat_count, 0, sizeof(w->repeat_count));
	while (w->repeat_packets < w->run->opts->packets) {
		uint64_t count[COUNTERS], began, began_cpu;

		w->source->ops->wait(w->source, 0);
		pthread_barrier_wait(&w->run->barrier);
		for (int i = 0; i < COUNTERS; i++)
			count[i] = read_counter(w->counter[i]);
		began_cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
		began = now_ns(CLOCK_MONOTONIC);
		w->repeat_packets += run_bufferful(w);
		w->repeat_ns += now_ns(CLOCK_MONOTONIC) - began;
		w->repeat_cpu_ns += now_ns(CLOCK_THREAD_CPUTIME_ID) - began_cpu;
		for (int i = 0; i < COUNTERS; i++)
			w->repeat_count[i] += read_counter(w->counter[i]) - count[i];
	}
	w->source->ops->stats(w->source, &after);
	w->packets += w->repeat_packets;
	w->bytes += after.received_bytes - before.received_bytes;
}

/* By worker 0, while the others wait. */
static void add_repeat(struct run *run)
{
	const struct worker *first = run->worker[0];
	uint32_t at = run->result.repeats++;
	uint64_t slowest = 0, cpu_ns = 0, cycles = 0, instructions = 0, packets = 0;

	for (uint32_t i = 0; i < run->opts->workers; i++) {
		const struct worker *w = run->worker[i];

		slowest = w->repeat_ns > slowest ? w->repeat_ns : slowest;
		cpu_ns += w->repeat_cpu_ns;
		cycles += w->repeat_count[CYCLES];
		instructions += w->repeat_count[INSTRUCTIONS];
		packets += w->repeat_packets;
	}
	/* All workers have as many packets: each is given as many, in as many bufferfuls. */
	run->result.ns[at] = (double)slowest * run->opts->workers / (double)packets;
	run->cpu_ns[at] = (double)cpu_ns / (double)packets;
	run->cycles[at] = first->counter[CYCLES] < 0 ? -1 : (double)cycles / (double)packets;
	run->instructions[at] =
		first->counter[INSTRUCTIONS] < 0 ? -1 : (double)instructions / (double)packets;
	run->measured_ns += slowest;
	run->over = run->result.repeats >= BENCH_REPEATS_MAX ||
		    (run->result.repeats >= run->opts->repeats &&
		     run->measured_ns >= run->opts->duration_ns);
}

/* A worker that could not begin still meets the others at the barrier. */
static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct run *run = w->run;
	bool incomplete;

	pthread_mutex_lock(&run->start);
	incomplete = run->incomplete;
	pthread_mutex_unlock(&run->start);
	if (incomplete)
		return NULL;
	if (w->cpu >= 0)
		tl_topology__pin(w->cpu);
	w->counter[CYCLES] = open_counter(PERF_COUNT_HW_CPU_CYCLES);
	w->counter[INSTRUCTIONS] = open_counter(PERF_COUNT_HW_INSTRUCTIONS);
	w->error = create(w);
	pthread_barrier_wait(&run->barrier);
	for (uint32_t i = 0; i < run->opts->workers; i++)
		if (run->worker[i]->error)
			return NULL;
	warm_up(w);
	do {
		pthread_barrier_wait(&run->barrier);
		repeat(w);
		pthread_barrier_wait(&run->barrier);
		if (!w->index)
			add_repeat(run);
		pthread_barrier_wait(&run->barrier);
	} while (!run->over);
	if (w->recorder)
		w->error = tl_recorder__close(w->recorder, w->last_ns, NULL);
	return NULL;
}

/* --- a run --------------------------------------------------------------------------------- */

static void destroy_worker(struct worker *w)
{
	struct tl_recorder_summary summary;

	if (!w)
		return;
	for (int i = 0; i < COUNTERS; i++)
		if (w->counter[i] >= 0)
			close(w->counter[i]);
	if (w->analysis)
		w->run->analysis->worker_destroy(w->analysis);
	if (w->recorder) {
		tl_recorder__summary(w->recorder, &summary);
		/* A capture of made traffic is of no use to anyone. */
		for (uint32_t i = 0; w->run->opts->stage == BENCH_RECORD_DISK && summary.files &&
				     i < summary.file_count;
		     i++)
			unlink(summary.files[i]);
		tl_recorder__destroy(w->recorder);
	}
	tl_flow_table__destroy(w->table);
	if (w->slab)
		munmap(w->slab, w->slab_bytes);
	free(w->observations);
	tl_source__destroy(w->source);
	free(w);
}

static int create_workers(struct run *run)
{
	int cpus[TL_CPU_MAX];
	uint32_t cpu_count = tl_topology__cpus(cpus, TL_CPU_MAX);

	for (uint32_t i = 0; i < run->opts->workers; i++) {
		struct worker *w =
			aligned_alloc(TL_CACHE_LINE, (sizeof(*w) + TL_CACHE_LINE - 1) /
							     TL_CACHE_LINE * TL_CACHE_LINE);

		if (!w)
			return -ENOMEM;
		memset(w, 0, sizeof(*w));
		w->run = run;
		w->index = i;
		w->cpu = run->opts->workers <= cpu_count ? cpus[i] : -1;
		w->counter[CYCLES] = w->counter[INSTRUCTIONS] = -1;
		run->worker[i] = w;
	}
	return 0;
}

static int run_threads(struct run *run, struct tl_error *ret_error)
{
	uint32_t started = 0;
	int err = 0;

	if (pthread_barrier_init(&run->barrier, NULL, run->opts->workers))
		return -ENOMEM;
	pthread_mutex_init(&run->start, NULL);
	pthread_mutex_lock(&run->start);
	while (started < run->opts->workers && !err) {
		struct worker *w = run->worker[started];

		err = -pthread_create(&w->thread, NULL, worker_main, w);
		if (!err)
			started++;
	}
	/* Nobody waits at the barrier for one that will never come. */
	run->incomplete = err;
	pthread_mutex_unlock(&run->start);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(run->worker[i]->thread, NULL);
	pthread_mutex_destroy(&run->start);
	pthread_barrier_destroy(&run->barrier);
	for (uint32_t i = 0; i < run->opts->workers && !err; i++) {
		err = run->worker[i]->error;
		if (err && run->worker[i]->reason.what[0])
			*ret_error = run->worker[i]->reason;
	}
	return err;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void sum_up(struct run *run)
{
	struct bench_result *r = &run->result;

	r->stage = run->opts->stage;
	r->workers = run->opts->workers;
	for (uint32_t i = 0; i < run->opts->workers; i++) {
		const struct worker *w = run->worker[i];
		struct tl_flow_table_stats stats = { 0 };

		if (w->table)
			tl_flow_table__stats(w->table, &stats);
		r->packets += w->packets;
		r->bytes += w->bytes;
		r->flows += stats.flows;
		r->flows_created += stats.created;
		r->observations += w->observation_count;
	}
	median(r->ns, r->repeats);
	r->cpu_ns = median(run->cpu_ns, r->repeats);
	r->cycles = median(run->cycles, r->repeats);
	r->instructions = median(run->instructions, r->repeats);
}

int bench__run(const struct bench_opts *opts, struct tl_error *ret_error,
	       struct bench_result *ret_result)
{
	struct run *run;
	int err;

	ret_error->what[0] = '\0';
	if (!opts->workers || opts->workers > BENCH_WORKERS_MAX)
		return -EINVAL;
	run = calloc(1, sizeof(*run));
	if (!run)
		return -ENOMEM;
	run->opts = opts;
	run->analysis = opts->stage < BENCH_TRACKER    ? NULL
			: opts->stage == BENCH_TRACKER ? &tracker_ops
						       : &tl_analysis;
	err = create_workers(run);
	if (!err)
		err = run_threads(run, ret_error);
	if (!err) {
		sum_up(run);
		*ret_result = run->result;
	}
	for (uint32_t i = 0; i < opts->workers; i++)
		destroy_worker(run->worker[i]);
	free(run);
	return err;
}
