/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See session.h. */
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "interface_list.h"
#include "tapline/export.h"
#include "tapline/filter.h"
#include "tapline/link.h"

struct session {
	const struct session_opts *opts;
	struct tl_engine *engine;
	struct tl_finding_writer *writer;
	struct interface_list interfaces;
	struct tl_engine_opts engine_opts;
	struct tl_recorder_opts recorder_opts;
	uint64_t last_received;
	double last_s;
	bool progress_shown;
};

static struct tl_engine *signalled; /* what the handlers act on */
static volatile sig_atomic_t statistics_asked;
static volatile sig_atomic_t stop_asked; /* before there was an engine to stop */

const struct tl_engine *session__engine(void)
{
	return signalled;
}

static void on_signal(int number)
{
	if (number == SIGINT || number == SIGTERM)
		stop_asked = 1;
	if (!signalled)
		return;
	if (number == SIGUSR1) {
		statistics_asked = 1;
		tl_engine__request_statistics(signalled);
	} else if (number == SIGHUP)
		tl_engine__request_reload(signalled);
	else
		tl_engine__stop(signalled);
}

static void catch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGUSR1, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal };

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* --- -D and -d ----------------------------------------------------------------------------- */

static int list_interfaces(void)
{
	struct if_nameindex *all = if_nameindex();

	if (!all)
		return complain(EXIT_FAILED, "-D: %s", strerror(errno));
	for (uint32_t i = 0; all[i].if_index; i++) {
		struct tl_link_info info;

		if (tl_link__read(all[i].if_name, &info))
			continue;
		printf("%u.%s [%s%s]%s%s\n", i + 1, info.name, info.up ? "up" : "down",
		       info.up && !info.carrier ? ", no carrier" : "", info.driver[0] ? " " : "",
		       info.driver);
	}
	if_freenameindex(all);
	return EXIT_DONE;
}

static int dump_filter(const struct run_options *options)
{
	uint16_t linktype = TL_LINKTYPE_ETHERNET;
	uint32_t snaplen = options->snaplen ? options->snaplen : TL_SNAPLEN_DEFAULT;
	struct tl_filter *filter;
	struct tl_link_info info;
	struct tl_error error;
	int err;

	if (options->interfaces.count && !tl_link__read(options->interfaces.at[0], &info))
		linktype = info.linktype;
	err = tl_filter__compile(options->filter, linktype, snaplen, &error, &filter);
	if (err)
		return complain(EXIT_BAD_CALL, "%s", error.what);
	err = tl_filter__dump(filter, stdout);
	tl_filter__destroy(filter);
	return err ? complain(EXIT_FAILED, "-d: %s", strerror(-err)) : EXIT_DONE;
}

bool session__answers(const struct run_options *options, int *ret_status)
{
	if (options->list_interfaces)
		*ret_status = list_interfaces();
	else if (options->dump_filter)
		*ret_status = dump_filter(options);
	else
		return false;
	return true;
}

/* --- progress ------------------------------------------------------------------------------ */

static void show_progress(void *ctx, const struct tl_run_summary *s)
{
	struct session *session = ctx;
	uint64_t dropped = tl_drops__total(&s->source.dropped) + s->recorder.dropped_writer;
	double seconds = s->duration_s - session->last_s;
	double rate =
		seconds > 0 ? (double)(s->source.received - session->last_received) / seconds : 0;

	session->last_received = s->source.received;
	session->last_s = s->duration_s;
	if (statistics_asked || !isatty(STDERR_FILENO)) {
		statistics_asked = 0;
		fprintf(stderr,
			"tapline: %" PRIu64 " packets received, %" PRIu64 " captured, %" PRIu64
			" dropped\n",
			s->source.received, s->source.captured, dropped);
		return;
	}
	fprintf(stderr, "\r\033[K%" PRIu64 " packets  %.1f kpps  %" PRIu64 " dropped",
		s->source.captured, rate / 1000, dropped);
	session->progress_shown = true;
}

static void end_progress(struct session *session)
{
	if (session->progress_shown)
		fputs("\r\033[K", stderr);
	session->progress_shown = false;
}

/* SIGUSR1 prints on anything; once a second only on a terminal. */
static void on_progress(void *ctx, const struct tl_run_summary *summary)
{
	const struct session *session = ctx;
	bool periodic = isatty(STDERR_FILENO) && !session->opts->options->quiet;

	if (periodic || statistics_asked)
		show_progress(ctx, summary);
	/* On a quiet link records would wait for a buffer to fill. */
	if (session->opts->on_flow_end && !session->opts->options->files.count)
		fflush(stdout);
}

static void on_warning(void *ctx, const char *text)
{
	end_progress(ctx);
	fprintf(stderr, "tapline: %s; recording goes on as soon as it can\n", text);
}

/* --- the run ------------------------------------------------------------------------------- */

static const struct tl_interface *name_interface(void *ctx, uint32_t index)
{
	struct session *session = ctx;

	return session->engine ? tl_engine__interface(session->engine, index) : NULL;
}

static int create_writer(struct session *session)
{
	const struct run_options *o = session->opts->options;
	struct tl_finding_writer_opts opts = {
		.out = session->opts->findings,
		.json = o->json,
		.live = o->interfaces.count > 0,
		.color = !o->json && isatty(fileno(session->opts->findings)),
		.interface = name_interface,
		.ctx = session,
		.file = o->write	 ? o->write
			: o->files.count ? o->files.at[0]
					 : NULL,
		.many_files = o->files.count > 1 && !o->write,
	};

	return tl_finding_writer__create(&opts, &session->writer);
}

static int complain_of(int err, const struct tl_error *error)
{
	return complain(err == -EINVAL ? EXIT_BAD_CALL : EXIT_FAILED, "%s",
			error->what[0] ? error->what : strerror(-err));
}

static int create_engine(struct session *session)
{
	struct tl_error error = { "" };
	int err = interface_list__of(&session->opts->options->interfaces, &session->interfaces,
				     &error);

	if (err)
		return complain_of(err, &error);
	run_options__to_engine(session->opts->options, &session->engine_opts,
			       &session->recorder_opts);
	session->engine_opts.interfaces = session->interfaces.names.at;
	session->engine_opts.interface_count = session->interfaces.names.count;
	session->engine_opts.progress = on_progress;
	session->engine_opts.progress_ctx = session;
	session->engine_opts.warn = on_warning;
	session->engine_opts.warn_ctx = session;
	session->engine_opts.on_flow_end = session->opts->on_flow_end;
	session->engine_opts.on_flow_begin = session->opts->on_flow_begin;
	session->engine_opts.on_flow_active = session->opts->on_flow_active;
	session->engine_opts.flow_active_ns = session->opts->flow_active_ns;
	session->engine_opts.census = session->opts->census;
	session->engine_opts.flow_ctx = session->opts->flow_ctx;
	if (session->opts->analyze) {
		err = create_writer(session);
		if (err)
			return complain(EXIT_FAILED, "out of memory");
		session->engine_opts.analysis = &tl_analysis;
		session->engine_opts.sink = tl_finding_writer__sink(session->writer);
	}
	err = tl_engine__create(&session->engine_opts, &error, &session->engine);
	return err ? complain_of(err, &error) : EXIT_DONE;
}

static void announce(const struct session *session)
{
	const struct run_options *o = session->opts->options;
	struct tl_run_summary summary;

	if (o->quiet || !o->interfaces.count)
		return;
	tl_engine__summary(session->engine, &summary);
	fprintf(stderr, "tapline: capturing on %s (%s: %s)%s%s\n", summary.interface,
		summary.backend, summary.mode, o->write ? ", writing " : "",
		o->write ? o->write : "");
}

static int write_summary(struct session *session)
{
	const struct run_options *o = session->opts->options;
	struct tl_run_summary summary;
	FILE *out;
	int err;

	tl_engine__summary(session->engine, &summary);
	if (!o->quiet && (o->write || o->interfaces.count))
		tl_summary__write_text(&summary, stderr);
	if (!o->summary)
		return EXIT_DONE;
	out = strcmp(o->summary, "-") ? fopen(o->summary, "w") : stdout;
	if (!out)
		return complain(EXIT_FAILED, "--summary %s: %s", o->summary, strerror(errno));
	err = tl_summary__write_json(&summary, out);
	if (out != stdout && fclose(out))
		err = -errno;
	return err ? complain(EXIT_FAILED, "--summary %s: %s", o->summary, strerror(-err))
		   : EXIT_DONE;
}

static bool has_no_reader(FILE *file)
{
	struct pollfd end = { .fd = fileno(file), .events = POLLOUT };

	return poll(&end, 1, 0) == 1 && end.revents & POLLERR;
}

static int finish(struct session *session, int run_error, const struct tl_error *error)
{
	const struct run_options *o = session->opts->options;
	int status = EXIT_DONE;
	int worst = -1;

	end_progress(session);
	if (session->opts->on_finished)
		session->opts->on_finished(session->opts->flow_ctx, session->engine);
	if (session->writer) {
		worst = tl_finding_writer__finish(session->writer);
		/* A reader that has gone (`| head`) has had what it wanted. */
		if ((fflush(session->opts->findings) || worst < -1) &&
		    !has_no_reader(session->opts->findings))
			status = complain(EXIT_FAILED, "findings could not be written: %s",
					  strerror(worst < -1 ? -worst : errno));
	}
	if (run_error && run_error != -EPIPE)
		status = complain(EXIT_FAILED, "%s", error->what);
	if (write_summary(session))
		status = EXIT_FAILED;
	if (!status && o->fail_on >= 0 && worst >= o->fail_on)
		status = EXIT_FINDINGS;
	return status;
}

int session__run(const struct session_opts *opts)
{
	struct session session = { .opts = opts };
	struct tl_error error = { "" };
	int status;

	catch_signals();
	status = create_engine(&session);
	if (!status) {
		signalled = session.engine;
		if (stop_asked)
			tl_engine__stop(session.engine);
		announce(&session);
		status = finish(&session, tl_engine__run(session.engine, &error), &error);
		signalled = NULL;
	}
	tl_engine__destroy(session.engine);
	tl_finding_writer__destroy(session.writer);
	interface_list__free(&session.interfaces);
	return status;
}
