/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source tl_filter tl_link */
/* runs alone */
/*
 * Facts about an interface, and the guard that leaves it as it was.
 */
#include "afpacket_bed.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tapline/link.h"

static struct tl_link_info read_wire(void)
{
	struct tl_link_info info;

	cr_assert_eq(tl_link__read(BED_WIRE, &info), 0);
	return info;
}

static struct tl_link_guard *guard(void)
{
	struct tl_link_guard *guard = NULL;
	struct tl_error error = { "" };
	char note[256];

	cr_assert_eq(tl_link_guard__create(BED_WIRE, true, &error, note, &guard), 0, "%s",
		     error.what);
	return guard;
}

/* The file in which the guard notes what it changed. */
static const char *ledger(void)
{
	static char path[128];
	struct stat netns;

	cr_assert_eq(stat("/proc/self/ns/net", &netns), 0);
	snprintf(path, sizeof(path), "/run/tapline/%lu-%s", netns.st_ino, BED_WIRE);
	return path;
}

static void enter_with_gro(void)
{
	bed__enter();
	unlink(ledger()); /* of an earlier namespace with the same number */
	bed__shell("ethtool -K " BED_WIRE " gro on");
	cr_assert_eq(read_wire().gro, 1);
}

Test(link, facts_are_those_of_the_interface)
{
	struct tl_link_info info;

	bed__enter();
	bed__shell("ip link set " BED_WIRE " mtu 3000 address 02:00:00:00:00:42");
	info = read_wire();
	cr_assert_str_eq(info.driver, "veth");
	cr_assert_eq(info.mtu, 3000);
	cr_assert_eq(info.mac[5], 0x42);
	cr_assert_eq(info.linktype, TL_LINKTYPE_ETHERNET);
	cr_assert_eq(info.ifindex, if_nametoindex(BED_WIRE));
	cr_assert(info.up && info.carrier);
	cr_assert_geq(info.rx_queues, 1);
	cr_assert_eq(info.numa_node, -1);
	cr_assert_eq(info.xdp_attached, 0);
	cr_assert_eq(info.xdp_native, 1); /* veth has XDP */
	bed__shell("ip link set " BED_WIRE " down");
	cr_assert(!read_wire().up);
	cr_assert_eq(tl_link__read("lo", &info), 0);
	cr_assert_eq(info.xdp_native, 0); /* the loopback has not */
	cr_assert_eq(tl_link__read("tlap-none", &info), -ENODEV);
	cr_assert_eq(tl_link__read("a name longer than any interface's", &info), -ENODEV);
	cr_assert_eq(tl_link__read("", &info), -ENODEV);
}

Test(link, layer_3_device_delivers_raw_ip)
{
	struct tl_link_info info;

	bed__enter();
	bed__shell("ip tuntap add tlap-tun mode tun");
	cr_assert_eq(tl_link__read("tlap-tun", &info), 0);
	cr_assert_eq(info.linktype, TL_LINKTYPE_RAW);
}

Test(link, list_holds_whole_names)
{
	char names[64], few[14];

	bed__enter();
	tl_link__list(names, sizeof(names));
	cr_assert_str_eq(names, "lo, " BED_WIRE ", " BED_SENDER);
	tl_link__list(few, sizeof(few));
	cr_assert_str_eq(few, "lo, " BED_WIRE);
}

Test(link, guard_turns_gro_off_and_on_again)
{
	struct tl_link_guard *g;

	enter_with_gro();
	g = guard();
	cr_assert_eq(read_wire().gro, 0);
	cr_assert_eq(access(ledger(), F_OK), 0);
	tl_link_guard__destroy(g);
	cr_assert_eq(read_wire().gro, 1);
	cr_assert_neq(access(ledger(), F_OK), 0, "the record was left behind");
}

Test(link, guard_leaves_alone_what_is_off)
{
	struct tl_link_guard *g;

	enter_with_gro();
	bed__shell("ethtool -K " BED_WIRE " gro off");
	g = guard();
	cr_assert_neq(access(ledger(), F_OK), 0);
	tl_link_guard__destroy(g);
	cr_assert_eq(read_wire().gro, 0);
}

Test(link, last_of_two_captures_puts_things_back)
{
	struct tl_link_guard *first, *second;

	enter_with_gro();
	first = guard();
	second = guard();
	tl_link_guard__destroy(first);
	cr_assert_eq(read_wire().gro, 0, "the other capture still needs it off");
	tl_link_guard__destroy(second);
	cr_assert_eq(read_wire().gro, 1);
}

static bool gro_comes_back(void)
{
	for (int i = 0; i < 200; i++) {
		if (read_wire().gro == 1)
			return true;
		usleep(10000);
	}
	return false;
}

/* A capture in a child, which says when its guard stands, and waits to be killed. */
static pid_t capture_in_child(void)
{
	int ready[2];
	char byte;
	pid_t child;

	cr_assert_eq(pipe(ready), 0);
	child = fork();
	if (!child) {
		guard();
		(void)!write(ready[1], "", 1);
		pause();
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	cr_assert_eq(read_wire().gro, 0);
	return child;
}

static void kill_and_wait(pid_t child)
{
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitpid(child, NULL, 0), child);
}

Test(link, killed_capture_leaves_the_interface_as_it_was)
{
	enter_with_gro();
	kill_and_wait(capture_in_child());
	cr_assert(gro_comes_back());
}

/* The pid of the one child of `parent`. */
static pid_t child_of(pid_t parent)
{
	char path[64];
	int pid = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
	in = fopen(path, "re");
	if (!in)
		cr_skip_test("the kernel does not list children");
	cr_assert_eq(fscanf(in, "%d", &pid), 1);
	fclose(in);
	return pid;
}

Test(link, next_start_repairs_when_everything_was_killed)
{
	pid_t child;

	enter_with_gro();
	child = capture_in_child();
	cr_assert_eq(kill(child_of(child), SIGKILL), 0); /* the keeper */
	kill_and_wait(child);
	usleep(50000);
	cr_assert_eq(read_wire().gro, 0);
	cr_assert_eq(tl_link_guard__recover(BED_WIRE), 1);
	cr_assert_eq(read_wire().gro, 1);
	cr_assert_neq(access(ledger(), F_OK), 0);
	cr_assert_eq(tl_link_guard__recover(BED_WIRE), 0);
}

Test(link, record_of_a_running_capture_is_not_recovered)
{
	pid_t child;

	enter_with_gro();
	child = capture_in_child();
	cr_assert_eq(tl_link_guard__recover(BED_WIRE), 0);
	cr_assert_eq(read_wire().gro, 0);
	kill_and_wait(child);
	cr_assert(gro_comes_back());
}

Test(link, damaged_record_is_harmless)
{
	FILE *out;

	enter_with_gro();
	out = fopen(ledger(), "we");
	cr_assert(out);
	fprintf(out,
		"tapline-link 1\nifindex %u\nset rx-gro\nset %0500d 7\nowner x\nset no-such 1\n",
		if_nametoindex(BED_WIRE), 0);
	fclose(out);
	cr_assert_geq(tl_link_guard__recover(BED_WIRE), 0);
	cr_assert_eq(read_wire().gro, 1);
	tl_link_guard__destroy(guard());
	cr_assert_eq(read_wire().gro, 1);
}

Test(link, record_of_an_interface_of_the_past_is_not_applied)
{
	FILE *out;

	enter_with_gro();
	out = fopen(ledger(), "we");
	cr_assert(out);
	fprintf(out, "tapline-link 1\nifindex %u\nset rx-gro 0\n", if_nametoindex(BED_WIRE) + 1);
	fclose(out);
	cr_assert_eq(tl_link_guard__recover(BED_WIRE), 0);
	cr_assert_eq(read_wire().gro, 1);
}

Test(link, fix_lasts_until_it_is_undone)
{
	struct tl_error error = { "" };
	char note[256];

	enter_with_gro();
	cr_assert_eq(tl_link__fix(BED_WIRE, &error, note), 1, "%s", error.what);
	cr_assert(strstr(note, "GRO"), "%s", note);
	cr_assert_eq(read_wire().gro, 0);
	cr_assert_eq(tl_link_guard__recover(BED_WIRE), 0, "a fix is no crashed capture");
	tl_link_guard__destroy(guard());
	cr_assert_eq(read_wire().gro, 0);
	cr_assert_eq(tl_link__fix(BED_WIRE, &error, note), 0);
	cr_assert_eq(tl_link__unfix(BED_WIRE), 1);
	cr_assert_eq(read_wire().gro, 1);
	cr_assert_eq(tl_link__unfix(BED_WIRE), 0);
}

Test(link, guard_of_no_interface_says_so)
{
	struct tl_link_guard *g = NULL;
	struct tl_error error = { "" };
	char note[256];

	cr_assert_eq(tl_link_guard__create("tlap-none", true, &error, note, &g), -ENODEV);
	cr_assert(strstr(error.what, "tlap-none"), "%s", error.what);
	cr_assert_null(g);
	tl_link_guard__destroy(NULL);
}

Test(link, drops_of_the_nic_are_not_those_nobody_wanted)
{
	uint64_t drops = 77;

	bed__enter();
	cr_assert_eq(tl_link__nic_drops(BED_WIRE, &drops), 0);
	cr_assert_eq(drops, 0);
	cr_assert_eq(tl_link__nic_drops("tlap-none", &drops), -ENODEV);
}
