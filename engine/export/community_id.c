/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Community ID v1, the flow identifier that Zeek, Suricata and Wireshark print as well
 * (github.com/corelight/community-id-spec):
 *
 *   "1:" + base64(SHA1( seed 2 │ addr │ addr │ proto 1 │ 0 1 │ [port 2 │ port 2] ))
 *
 * Both directions give one ID: the smaller (address, port) comes first, except for ICMP types that
 * have no answer, which keep their order. Protocols without ports hash addresses alone.
 */
/* SHA1() and what stands in for it look the algorithm up for each flow: four times the hashing. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#include "export_impl.h"

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

void tl_community_id(uint8_t proto, const struct tl_endpoint *src, const struct tl_endpoint *dst,
		     char ret_id[32])
{
	size_t ip_bytes = src->ip_version == 4 ? 4 : 16;
	int order = memcmp(src->ip, dst->ip, ip_bytes);
	bool swap = !tl_icmp__one_way(proto, src->port) &&
		    (order > 0 || (!order && src->port > dst->port));
	const struct tl_endpoint *end[2] = { swap ? dst : src, swap ? src : dst };
	uint16_t port[2] = { htons(end[0]->port), htons(end[1]->port) };
	uint8_t tuple[2 + 16 + 16 + 2 + 4] = { 0 };
	uint8_t digest[SHA_DIGEST_LENGTH];
	size_t bytes = 2;
	SHA_CTX sha;

	for (int i = 0; i < 2; i++, bytes += ip_bytes)
		memcpy(tuple + bytes, end[i]->ip, ip_bytes);
	tuple[bytes] = proto;
	bytes += 2;
	if (has_ports(proto)) {
		memcpy(tuple + bytes, port, sizeof(port));
		bytes += sizeof(port);
	}
	SHA1_Init(&sha);
	SHA1_Update(&sha, tuple, bytes);
	SHA1_Final(digest, &sha);
	memcpy(ret_id, "1:", 2);
	EVP_EncodeBlock((unsigned char *)ret_id + 2, digest, sizeof(digest));
}

bool tl_subject__community_id(const struct tl_subject *subject, char ret_id[32])
{
	const struct tl_endpoint *client = &subject->client;
	const struct tl_endpoint *server = &subject->server;
	bool icmp = subject->proto == IPPROTO_ICMP || subject->proto == IPPROTO_ICMPV6;

	if (!client->ip_version || client->ip_version != server->ip_version)
		return false;
	/* Port 0 stands for "several": a group of flows has no ID. */
	if (!icmp && has_ports(subject->proto) && (!client->port || !server->port))
		return false;
	tl_community_id(subject->proto, client, server, ret_id);
	return true;
}
