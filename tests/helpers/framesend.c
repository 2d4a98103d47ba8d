// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sends the frames of a capture out of an interface, one after the other, each exactly once (what
 * the link refuses goes again), and prints {"sent":N}.
 *
 *   file ──► capture_reader ──► AF_PACKET ──► interface       framesend IF FILE
 */
#include "capture_reader.h"
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int open_link(const char *name)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	address.sll_ifindex = (int)if_nametoindex(name);
	if (fd >= 0 && address.sll_ifindex &&
	    !bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	fprintf(stderr, "framesend: %s: %s\n", name, strerror(errno));
	return -1;
}

static int send_frame(int fd, const struct reader_packet *packet)
{
	while (send(fd, packet->data, packet->captured, 0) < 0) {
		if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
			fprintf(stderr, "framesend: a frame of %u bytes: %s\n", packet->captured,
				strerror(errno));
			return -1;
		}
		sched_yield();
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct timespec breath = { .tv_nsec = 500000 };
	struct reader reader;
	struct reader_packet packet;
	uint64_t sent = 0;
	int rc, fd;

	if (argc != 3) {
		fputs("framesend IF FILE\n", stderr);
		return 2;
	}
	fd = open_link(argv[1]);
	if (fd < 0)
		return 1;
	rc = reader__open(&reader, argv[2]);
	while (!rc && (rc = reader__next(&reader, &packet)) > 0) {
		rc = send_frame(fd, &packet);
		sent += !rc;
		/* A veth's queue holds 256 frames: on a busy host its reader needs a moment. */
		if (sent % 32 == 0)
			nanosleep(&breath, NULL);
	}
	if (rc < 0 && reader.error)
		fprintf(stderr, "framesend: %s: %s\n", argv[2], reader.error);
	printf("{\"sent\":%" PRIu64 "}\n", sent);
	reader__close(&reader);
	close(fd);
	return rc < 0;
}
