/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about this host, for `tapline check`: each is tried, not inferred, where that is harmless.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <numa.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cmd_check.h"
#include "tapline/topology.h"

#define BPF_FS_MAGIC 0xcafe4a11
#define HUGE_PAGES   "/sys/kernel/mm/hugepages/hugepages-2048kB/"

bool check__read_line(const char *path, char *ret_line, size_t bytes)
{
	FILE *in = fopen(path, "re");
	bool read;

	if (!in)
		return false;
	read = fgets(ret_line, (int)bytes, in);
	fclose(in);
	if (read)
		ret_line[strcspn(ret_line, "\n")] = '\0';
	return read;
}

bool check__may_load_programs(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "tl_check", 4, 8, 1, NULL);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static void check_io_uring(struct check_report *report)
{
	struct io_uring_params params = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 1, &params);

	check_report__yes_no(report, "io_uring", fd >= 0);
	if (fd >= 0) {
		close(fd);
		return;
	}
	check_report__advise(report, "sysctl kernel.io_uring_disabled=0",
			     "io_uring is not allowed (%s): files are written with pwrite",
			     strerror(errno));
}

static void check_memory(struct check_report *report)
{
	char total[32] = "0", available[32] = "0";
	struct rlimit limit;

	check__read_line(HUGE_PAGES "nr_hugepages", total, sizeof(total));
	check__read_line(HUGE_PAGES "free_hugepages", available, sizeof(available));
	check_report__text(report, "huge_pages", "%s of 2 MiB, %s free", total, available);
	check_report__number(report, "numa_nodes",
			     numa_available() < 0 ? 1 : (uint64_t)numa_num_configured_nodes());
	if (!strcmp(available, "0"))
		check_report__advise(
			report, "sysctl vm.nr_hugepages=256",
			"no huge pages are free: AF_XDP's frames and the flow table lie on "
			"transparent or plain ones");
	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	if (limit.rlim_cur == RLIM_INFINITY)
		check_report__text(report, "memory_lock_limit", "unlimited");
	else
		check_report__text(report, "memory_lock_limit", "%llu KiB",
				   (unsigned long long)limit.rlim_cur / 1024);
}

static void check_clock(struct check_report *report)
{
	char clock[64] = "";

	check__read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", clock,
			 sizeof(clock));
	check_report__text(report, "clock_source", "%s", clock);
	if (!strcmp(clock, "hpet") || !strcmp(clock, "acpi_pm"))
		check_report__advise(
			report,
			"echo tsc "
			">/sys/devices/system/clocksource/clocksource0/current_clocksource",
			"the clock %s is slow to read, and each packet's time stamp reads it",
			clock);
}

static void check_bpf(struct check_report *report)
{
	bool may_load = check__may_load_programs();
	struct statfs bpffs;

	check_report__yes_no(report, "bpf_programs", may_load);
	check_report__yes_no(report, "btf", !access("/sys/kernel/btf/vmlinux", R_OK));
	check_report__yes_no(report, "bpffs",
			     !statfs("/sys/fs/bpf", &bpffs) &&
				     (uint32_t)bpffs.f_type == BPF_FS_MAGIC);
	if (!may_load)
		check_report__advise(
			report, "setcap cap_net_raw,cap_net_admin,cap_bpf+ep tapline",
			"this process may not load kernel programs: filters run in user "
			"space, and XDP is not possible");
}

void check__host(struct check_report *report)
{
	int cpus[TL_CPU_MAX];
	struct utsname host;

	report->ready = true;
	if (!uname(&host))
		check_report__text(report, "kernel", "%s %s", host.release, host.machine);
	check_report__number(report, "cpus", tl_topology__cpus(cpus, TL_CPU_MAX));
	check_bpf(report);
	check_io_uring(report);
	check_memory(report);
	check_clock(report);
}
