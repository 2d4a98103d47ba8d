/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XDP programs of one interface: see xdp_program.h for the life, bpf/xdp_capture.bpf.c for what
 * they do.
 *
 * A filter becomes a program of its own: the translated body, whose ends are made to lead into a
 * tail.
 *
 *     translated filter (filter/xdp.c) ─ exit ─► r0 != 0: tail call KEEP
 *                                        (now a │
 *                                        jump)  └ r0 == 0: ++filtered, bytes += length; XDP_DROP
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
		.passes = opts->passes,
		.queue_count = opts->queue_count,
	};
	int err;

	if (getrandom(&config.seed, sizeof(config.seed), 0) != sizeof(config.seed))
		return -errno;
	memcpy((void *)(uintptr_t)&skeleton->rodata->tl_xdp_config, &config, sizeof(config));
	err = bpf_map__set_max_entries(skeleton->maps.tl_xdp_counts, opts->queue_count + 1);
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
	if (!err && !opts->passes)
		err = set_stage(program, TL_XDP_STAGE_KEEP,
				bpf_program__fd(skeleton->progs.tl_xdp_keep));
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

/* An RCU grace period: whoever was in the program has left it. */
static void wait_for_packets_in_flight(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

int tl_xdp_program__keep(struct tl_xdp_program *program, bool keeps)
{
	uint32_t stage = TL_XDP_STAGE_KEEP;
	int err = 0;

	if (keeps)
		err = set_stage(program, stage,
				bpf_program__fd(program->skeleton->progs.tl_xdp_keep));
	else if (bpf_map_delete_elem(bpf_map__fd(program->skeleton->maps.tl_xdp_stages), &stage))
		err = errno == ENOENT ? 0 : -errno;
	wait_for_packets_in_flight();
	return err;
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

#define INSN(...)      ((struct bpf_insn){ __VA_ARGS__ })
#define MOVE(to, from) INSN(.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from))
#define SET(to, value) INSN(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (value))
#define ADD(to, value) INSN(.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (to), .imm = (value))
#define CALL(function) INSN(.code = BPF_JMP | BPF_CALL, .imm = (function))
#define JUMP(by)       INSN(.code = BPF_JMP | BPF_JA, .off = (int16_t)(by))
#define LEAVE	       INSN(.code = BPF_JMP | BPF_EXIT)
#define MAP(to, fd)                                                                                \
	INSN(.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = (to), .src_reg = BPF_PSEUDO_MAP_FD,     \
	     .imm = (fd)),                                                                         \
		INSN(0)
#define LOAD_WORD(to, from, at)                                                                    \
	INSN(.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = (to), .src_reg = (from), .off = (at))
#define LOAD(to, from, at)                                                                         \
	INSN(.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = (to), .src_reg = (from), .off = (at))
#define STORE_WORD(to, at, from)                                                                   \
	INSN(.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = (to), .src_reg = (from), .off = (at))
#define STORE(to, at, from)                                                                        \
	INSN(.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = (to), .src_reg = (from), .off = (at))
#define SUM(to, from)  INSN(.code = BPF_ALU64 | BPF_ADD | BPF_X, .dst_reg = (to), .src_reg = (from))
#define IF_ZERO(r, by) INSN(.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = (r), .off = (by))

#define KEY_AT	    (-104) /* on the stack, below what the body uses */
#define TAIL_INSNS  40
#define COUNT(what) ((int16_t)offsetof(struct tl_xdp_count, what))

/* Behind the body: the context is in r6 and the verdict in r0. Count of instructions. */
static size_t write_tail(const struct tl_xdp_program *program, struct bpf_insn *ret_insns)
{
	int stages = bpf_map__fd(program->skeleton->maps.tl_xdp_stages);
	int counts = bpf_map__fd(program->skeleton->maps.tl_xdp_counts);
	const struct bpf_insn tail[] = {
		IF_ZERO(0, 7),
		MOVE(1, 6),
		MAP(2, stages),
		SET(3, TL_XDP_STAGE_KEEP),
		CALL(BPF_FUNC_tail_call),
		SET(0, XDP_ABORTED), /* not reached: it is there from the start to the end */
		LEAVE,
		LOAD_WORD(1, 6, offsetof(struct xdp_md, rx_queue_index)),
		STORE_WORD(10, KEY_AT, 1),
		MOVE(2, 10),
		ADD(2, KEY_AT),
		MAP(1, counts),
		CALL(BPF_FUNC_map_lookup_elem),
		INSN(.code = BPF_JMP | BPF_JNE | BPF_K, .off = 8), /* mostly */
		SET(1, (int)program->queue_count),
		STORE_WORD(10, KEY_AT, 1),
		MOVE(2, 10),
		ADD(2, KEY_AT),
		MAP(1, counts),
		CALL(BPF_FUNC_map_lookup_elem),
		IF_ZERO(0, 9),
		MOVE(7, 0),
		LOAD(1, 7, COUNT(filtered)),
		ADD(1, 1),
		STORE(7, COUNT(filtered), 1),
		MOVE(1, 6),
		CALL(BPF_FUNC_xdp_get_buff_len),
		LOAD(1, 7, COUNT(bytes)),
		SUM(1, 0),
		STORE(7, COUNT(bytes), 1),
		SET(0, XDP_DROP),
		LEAVE,
	};

	_Static_assert(sizeof(tail) / sizeof(tail[0]) <= TAIL_INSNS, "there is room for it");
	memcpy(ret_insns, tail, sizeof(tail));
	return sizeof(tail) / sizeof(tail[0]);
}

/* The whole program; owned by the caller. */
static struct bpf_insn *add_tail(const struct tl_xdp_program *program, const struct bpf_insn *body,
				 size_t *count)
{
	struct bpf_insn *insns = calloc(*count + TAIL_INSNS, sizeof(*insns));

	if (!insns)
		return NULL;
	memcpy(insns, body, *count * sizeof(*insns));
	/* a body ends with its exits: they are close to the tail */
	for (size_t i = 0; i < *count; i++)
		if (insns[i].code == (BPF_JMP | BPF_EXIT))
			insns[i] = JUMP(*count - i - 1);
	*count += write_tail(program, insns + *count);
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
	insns = add_tail(program, body, &count);
	free(body);
	if (!insns)
		return -ENOMEM;
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "tl_xdp_filter", "GPL", insns, count, &load_opts);
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
	/* Closing is enough, and all that is left when capabilities were given up; this is at once.
	 */
	(void)bpf_link_detach(program->link_fd);
	close(program->link_fd);
	program->link_fd = -1;
	wait_for_packets_in_flight();
}

int tl_xdp_program__move(struct tl_xdp_program *program, uint32_t ifindex)
{
	if (program->link_fd >= 0)
		close(program->link_fd); /* of an interface that is gone, or has another name */
	program->link_fd = -1;
	program->ifindex = ifindex;
	return ifindex ? 0 : -ENODEV;
}

int tl_xdp_program__stats(const struct tl_xdp_program *program, uint32_t queue,
			  struct tl_xdp_count *ret_count)
{
	struct tl_xdp_count *by_cpu, sum = { 0 };
	int err = 0;

	if (queue > program->queue_count)
		return -EINVAL;
	by_cpu = calloc((size_t)program->cpu_count, sizeof(*by_cpu));
	if (!by_cpu)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(program->skeleton->maps.tl_xdp_counts), &queue, by_cpu))
		err = -errno;
	for (int cpu = 0; cpu < program->cpu_count && !err; cpu++) {
		sum.bytes += by_cpu[cpu].bytes;
		sum.filtered += by_cpu[cpu].filtered;
		sum.sampled_out += by_cpu[cpu].sampled_out;
		sum.cut_off += by_cpu[cpu].cut_off;
		sum.kept += by_cpu[cpu].kept;
		sum.no_socket += by_cpu[cpu].no_socket;
		sum.no_metadata += by_cpu[cpu].no_metadata;
	}
	free(by_cpu);
	if (!err)
		*ret_count = sum;
	return err;
}
