// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Numbers the frames of a live test run (BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES). All
 * frames of a run start from one template and pages come back used, so the head is written anew
 * each time; the sum is the template's plus the difference of the words that change.
 *
 *   template: number 0, flow 0, forward ──► each frame: number n, flow n % flows, direction
 */
#include "frame_format.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>

#define HEAD_WORDS ((FRAME_HEAD + 4 * FRAME_TAGS_MAX) / 4)

volatile const __u32 head_words; /* words of the head: 15, and one for each tag */
volatile const __u32 flows = 1;
volatile const __u32 both; /* odd rounds go from server to client */
volatile const __u32 out_ifindex;
volatile const __u32 pass; /* hand the frame to the stack of the interface instead */
volatile const __u32 template_sum;
__u32 template_words[HEAD_WORDS]; /* as in memory */
__u64 next_number;

/* The word's new value, and what that does to the sum. */
static __always_inline __u32 put(__u32 *head, __u32 word, __u32 value)
{
	__u32 delta = (value - bpf_ntohl(head[word])) * frame_weight(word);

	head[word] = bpf_htonl(value);
	return delta;
}

SEC("xdp")
int number_frame(struct xdp_md *ctx)
{
	__u32 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 head[HEAD_WORDS];
	__u32 tags, sum = template_sum;
	__u64 number = next_number;
	__u32 port = FRAME_PORT_FIRST + (__u32)(number % flows);
	__u32 i;

	if (head_words < FRAME_HEAD / 4 || head_words > HEAD_WORDS)
		return XDP_ABORTED;
	tags = head_words - FRAME_HEAD / 4;
	for (i = 0; i < HEAD_WORDS; i++)
		head[i] = template_words[i];
	next_number = number + 1;
	if (tags > FRAME_TAGS_MAX)
		return XDP_ABORTED;
	if (both && (number / flows) % 2) {
		/* words 6..9: ip sum|src hi, src lo|dst hi, dst lo|sport, dport|length */
		__u32 w6 = bpf_ntohl(head[6 + tags]), w7 = bpf_ntohl(head[7 + tags]);
		__u32 w8 = bpf_ntohl(head[8 + tags]), w9 = bpf_ntohl(head[9 + tags]);

		sum += put(head, 6 + tags, (w6 & 0xffff0000U) | (w7 & 0xffff));
		sum += put(head, 7 + tags, (w8 & 0xffff0000U) | (w6 & 0xffff));
		sum += put(head, 8 + tags, (w7 & 0xffff0000U) | FRAME_PORT_SERVER);
		sum += put(head, 9 + tags, (port << 16) | (w9 & 0xffff));
	} else {
		sum += put(head, 8 + tags, (bpf_ntohl(head[8 + tags]) & 0xffff0000U) | port);
	}
	sum += put(head, 12 + tags, (__u32)(number >> 32));
	sum += put(head, 13 + tags, (__u32)number);
	head[14 + tags] = bpf_htonl(sum);
	for (i = 0; i < HEAD_WORDS; i++) {
		if (i >= head_words)
			break;
		if ((void *)(data + i + 1) > end)
			return XDP_ABORTED;
		data[i] = head[i];
	}
	return pass ? XDP_PASS : bpf_redirect(out_ifindex, 0);
}

char _license[] SEC("license") = "GPL";
