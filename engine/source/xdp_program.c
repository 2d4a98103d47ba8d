/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XDP programs of one interface: see xdp_program.h for the life, bpf/xdp_capture.bpf.c for what
 * they do.
 *
 * A filter becomes a program of its own: a frame that calls the translated body and leaves by a
 * tail call, to the program that keeps or the one that drops.
 *
 *     r6 = ctx
 *     call body ──────────────► translated filter (filter/xdp.c)
 *     r0 == 0 ? tail call FILTERED : tail call KEEP
 *     return XDP_ABORTED          (not reached: both are there from the start to the end)
 */
#include "xdp_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tapline/filter.h"
#include "xdp_capture.skel.h"

struct tl_xdp_program {
	struct tl_xdp_capture_bpf *skeleton; /* owned */
	int link_fd;			     /* -1: not attached */
	int cpu_count;
	uint32_t ifindex;
	uint32_t queue_count;
	char interface[TL_IFNAME_MAX];
};

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static int explain(struct tl_error *ret_error, const char *interface, const char *doing, int err)
{
	if (err == -EPERM || err == -EACCES)
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "%s: %s needs CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW; run it as root",
			 interface, doing);
	else
		snprintf(ret_error->what, sizeof(ret_error->what), "%s: %s: %s", interface, doing,
			 strerror(-err));
	return err;
}

static int configure(struct tl_xdp_capture_bpf *skeleton, const struct tl_xdp_program_opts *opts)
{
	struct tl_xdp_config config = {
		.cutoff_bytes = opts->cutoff_bytes,
		.snaplen = opts->snaplen ? opts->snaplen : UINT32_MAX,
		.sample = opts->sample,
		.sample_flows = opts->sample_flows,
		.headers_only = opts->headers_only,
		.has_owner = opts->has_owner,
	};
	int err;

	if (getrandom(&config.seed, sizeof(config.seed), 0) != sizeof(config.seed))
		return -errno;
	memcpy((void *)(uintptr_t)&skeleton->rodata->tl_xdp_config, &config, sizeof(config));
	err = bpf_map__set_max_entries(skeleton->maps.tl_xdp_counts, opts->queue_count);
	if (!err)
		err = bpf_map__set_max_entries(skeleton->maps.tl_xdp_sockets, opts->queue_count);
	/* memory for what is asked for alone */
	if (!err && !opts->cutoff_bytes)
		err = bpf_map__set_max_entries(skeleton->maps.tl_xdp_flows, 1);
	if (!err && !opts->cutoff_bytes && opts->sample_flows < 2)
		err = bpf_map__set_max_entries(skeleton->maps.tl_xdp_pieces, 1);
	return err;
}

static int set_stage(struct tl_xdp_program *program, uint32_t stage, int fd)
{
	int map = bpf_map__fd(program->skeleton->maps.tl_xdp_stages);

	return bpf_map_update_elem(map, &stage, &fd, BPF_ANY) ? -errno : 0;
}

static int load(struct tl_xdp_program *program, const struct tl_xdp_program_opts *opts)
{
	struct tl_xdp_capture_bpf *skeleton = tl_xdp_capture_bpf__open();
	int err;

	if (!skeleton)
		return -errno;
	program->skeleton = skeleton;
	err = configure(skeleton, opts);
	if (!err)
		err = tl_xdp_capture_bpf__load(skeleton);
	if (!err)
		err = set_stage(program, TL_XDP_STAGE_KEEP,
				bpf_program__fd(skeleton->progs.tl_xdp_keep));
	if (!err)
		err = set_stage(program, TL_XDP_STAGE_FILTERED,
				bpf_program__fd(skeleton->progs.tl_xdp_filtered));
	return err;
}

int tl_xdp_program__create(const struct tl_xdp_program_opts *opts, struct tl_error *ret_error,
			   struct tl_xdp_program **ret_program)
{
	struct tl_xdp_program *program = calloc(1, sizeof(*program));
	libbpf_print_fn_t printer;
	int err;

	if (!program)
		return explain(ret_error, opts->interface, "loading the XDP program", -ENOMEM);
	program->link_fd = -1;
	program->ifindex = opts->ifindex;
	program->queue_count = opts->queue_count;
	program->cpu_count = libbpf_num_possible_cpus();
	snprintf(program->interface, sizeof(program->interface), "%s", opts->interface);
	printer = libbpf_set_print(quiet); /* a library does not print */
	err = program->cpu_count < 1 ? -EINVAL : load(program, opts);
	libbpf_set_print(printer);
	if (err) {
		tl_xdp_program__destroy(program);
		return explain(ret_error, opts->interface, "loading the XDP program", err);
	}
	*ret_program = program;
	return 0;
}

void tl_xdp_program__destroy(struct tl_xdp_program *program)
{
	if (!program)
		return;
	tl_xdp_program__detach(program);
	tl_xdp_capture_bpf__destroy(program->skeleton);
	free(program);
}

int tl_xdp_program__sockets_fd(const struct tl_xdp_program *program)
{
	return bpf_map__fd(program->skeleton->maps.tl_xdp_sockets);
}

int tl_xdp_program__entry_fd(const struct tl_xdp_program *program)
{
	return bpf_program__fd(program->skeleton->progs.tl_xdp_entry);
}

/* --- the filter -------------------------------------------------------------------------- */

enum { FRAME_INSNS = 15, FRAME_CALL = 1 };

/* Four instructions: tail call to `stage`. */
static void tail_call(struct bpf_insn *insns, int stages_fd, int stage)
{
	insns[0] = (struct bpf_insn){ .code = BPF_LD | BPF_DW | BPF_IMM,
				      .dst_reg = BPF_REG_2,
				      .src_reg = BPF_PSEUDO_MAP_FD,
				      .imm = stages_fd };
	insns[2] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K,
				      .dst_reg = BPF_REG_3,
				      .imm = stage };
	insns[3] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call };
}

/* The frame around the body of `body_count` instructions; owned by the caller. */
static struct bpf_insn *frame_body(const struct bpf_insn *body, size_t body_count, int stages_fd)
{
	struct bpf_insn *insns = calloc(FRAME_INSNS + body_count, sizeof(*insns));

	if (!insns)
		return NULL;
	insns[0] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X,
				      .dst_reg = BPF_REG_6,
				      .src_reg = BPF_REG_1 };
	insns[FRAME_CALL] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL,
					       .src_reg = BPF_PSEUDO_CALL,
					       .imm = FRAME_INSNS - FRAME_CALL - 1 };
	insns[2] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_X,
				      .dst_reg = BPF_REG_1,
				      .src_reg = BPF_REG_6 };
	insns[3] = (struct bpf_insn){ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 5 };
	tail_call(&insns[4], stages_fd, TL_XDP_STAGE_KEEP);
	insns[8] = (struct bpf_insn){ .code = BPF_JMP | BPF_JA, .off = 4 };
	tail_call(&insns[9], stages_fd, TL_XDP_STAGE_FILTERED);
	insns[13] = (struct bpf_insn){ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_ABORTED };
	insns[14] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	memcpy(insns + FRAME_INSNS, body, body_count * sizeof(*insns));
	return insns;
}

/* File descriptor of the loaded filter, or -errno. */
static int load_filter(const struct tl_xdp_program *program, const struct tl_filter *filter)
{
	LIBBPF_OPTS(bpf_prog_load_opts, load_opts, .prog_flags = BPF_F_XDP_HAS_FRAGS,
		    .expected_attach_type = BPF_XDP);
	const struct tl_ebpf_opts opts = { .count_map_fd = -1, .accept_return = 1 };
	struct bpf_insn *body, *insns;
	size_t count;
	int fd = tl_filter__to_xdp_ebpf(filter, &opts, &body, &count);

	if (fd)
		return fd;
	insns = frame_body(body, count, bpf_map__fd(program->skeleton->maps.tl_xdp_stages));
	free(body);
	if (!insns)
		return -ENOMEM;
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "tl_xdp_filter", "GPL", insns, FRAME_INSNS + count,
			   &load_opts);
	if (fd < 0)
		fd = -errno;
	free(insns);
	return fd;
}

int tl_xdp_program__set_filter(struct tl_xdp_program *program, const struct tl_filter *filter)
{
	uint32_t stage = TL_XDP_STAGE_FILTER;
	int fd, err;

	if (tl_filter__keeps_all(filter)) {
		if (!bpf_map_delete_elem(bpf_map__fd(program->skeleton->maps.tl_xdp_stages),
					 &stage))
			return 0;
		return errno == ENOENT ? 0 : -errno;
	}
	fd = load_filter(program, filter);
	if (fd < 0)
		return fd;
	err = set_stage(program, stage, fd);
	close(fd); /* the array holds it */
	return err;
}

/* --- attaching --------------------------------------------------------------------------- */

static int attach(struct tl_xdp_program *program, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	int fd = bpf_link_create(tl_xdp_program__entry_fd(program), (int)program->ifindex, BPF_XDP,
				 &opts);

	if (fd < 0)
		return -errno;
	program->link_fd = fd;
	return 0;
}

static int explain_attach(const struct tl_xdp_program *program, enum tl_xdp_mode mode,
			  struct tl_error *ret_error, int err)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, other);

	if ((err == -EBUSY || err == -EEXIST) && !bpf_xdp_query((int)program->ifindex, 0, &other)) {
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "%s: another XDP program (id %u) is attached; take it off with: "
			 "ip link set dev %s xdp off",
			 program->interface,
			 other.prog_id	     ? other.prog_id
			 : other.drv_prog_id ? other.drv_prog_id
					     : other.skb_prog_id,
			 program->interface);
		return -EBUSY;
	}
	return explain(ret_error, program->interface,
		       mode == TL_XDP_NATIVE ? "attaching the XDP program to the driver"
					     : "attaching the XDP program",
		       err);
}

int tl_xdp_program__attach(struct tl_xdp_program *program, enum tl_xdp_mode mode,
			   struct tl_error *ret_error, bool *ret_is_native)
{
	int err = -EOPNOTSUPP;
	bool is_native = mode != TL_XDP_GENERIC;

	if (is_native)
		err = attach(program, XDP_FLAGS_DRV_MODE);
	if (err && mode != TL_XDP_NATIVE && err != -EBUSY && err != -EEXIST && err != -EPERM) {
		/* no XDP in the driver, or its settings (MTU, queues, offloads) do not allow it */
		is_native = false;
		err = attach(program, XDP_FLAGS_SKB_MODE);
	}
	if (err)
		return explain_attach(program, mode, ret_error, err);
	*ret_is_native = is_native;
	return 0;
}

void tl_xdp_program__detach(struct tl_xdp_program *program)
{
	if (program->link_fd < 0)
		return;
	/* Closing is enough, and all that is left when capabilities were given up; this is at once. */
	(void)bpf_link_detach(program->link_fd);
	close(program->link_fd);
	program->link_fd = -1;
	/* an RCU grace period: whoever was in the program has left it */
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

int tl_xdp_program__stats(const struct tl_xdp_program *program, uint32_t queue,
			  struct tl_xdp_count *ret_count)
{
	struct tl_xdp_count *by_cpu, sum = { 0 };
	int err = 0;

	if (queue >= program->queue_count)
		return -EINVAL;
	by_cpu = calloc((size_t)program->cpu_count, sizeof(*by_cpu));
	if (!by_cpu)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(program->skeleton->maps.tl_xdp_counts), &queue, by_cpu))
		err = -errno;
	for (int cpu = 0; cpu < program->cpu_count && !err; cpu++) {
		sum.received += by_cpu[cpu].received;
		sum.received_bytes += by_cpu[cpu].received_bytes;
		sum.filtered += by_cpu[cpu].filtered;
		sum.sampled_out += by_cpu[cpu].sampled_out;
		sum.cut_off += by_cpu[cpu].cut_off;
		sum.redirected += by_cpu[cpu].redirected;
		sum.redirected_bytes += by_cpu[cpu].redirected_bytes;
		sum.no_socket += by_cpu[cpu].no_socket;
		sum.no_metadata += by_cpu[cpu].no_metadata;
	}
	free(by_cpu);
	if (!err)
		*ret_count = sum;
	return err;
}
