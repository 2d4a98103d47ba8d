/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flow records as IPFIX (RFC 7011) over UDP: both directions of a flow in one record (RFC 5103),
 * the server's in reverse elements.
 *
 *	message ─┬─ header 16: version 10, length, time, sequence, domain
 *	         ├─ template set: 256 IPv4, 257 IPv6     each 16th message, and after 30 s
 *	         └─ data sets: records of one template, until the other one's turn comes
 *
 * Counters are deltas, since that is what collectors add up: what a flow's active records have told
 * is kept until its end, in a table of those flows alone. Octets are those of IP packets.
 *
 * Two fixed templates are encoded here in place; libfixbuf would bring GLib, which ends the process
 * when memory runs out. Any thread: a lock around everything. A message stays below 1400 bytes, so
 * it is never fragmented on the way.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "export_impl.h"

#define MESSAGE_MAX	 1400u
#define HEADER_BYTES	 16u
#define SET_HEADER_BYTES 4u
#define TEMPLATE_EVERY	 16u /* messages */
#define TEMPLATE_AFTER_S 30
#define REVERSE		 29305u /* RFC 5103, section 6.1 */
#define PACE_MESSAGES	 32u	/* that any collector's socket has room for */
#define PACE_NS		 2000000
#define TEMPLATE_SET	 2u
#define FIRST_TEMPLATE	 256u
#define PENDING_FREE	 NULL
#define PENDING_PLACES_0 1024u

struct field {
	uint16_t element;
	uint16_t bytes;
	uint32_t enterprise; /* 0: IANA's */
};

/* The order in which encode() writes them; addresses come first. */
static const struct field fields[] = {
	{ 7, 2, 0 },			 /* sourceTransportPort */
	{ 11, 2, 0 },			 /* destinationTransportPort; ICMP: type and code */
	{ 4, 1, 0 },			 /* protocolIdentifier */
	{ 136, 1, 0 },			 /* flowEndReason */
	{ 152, 8, 0 },			 /* flowStartMilliseconds */
	{ 153, 8, 0 },			 /* flowEndMilliseconds */
	{ 1, 8, 0 },			 /* octetDeltaCount */
	{ 2, 8, 0 },			 /* packetDeltaCount */
	{ 1, 8, REVERSE },		 /* reverseOctetDeltaCount */
	{ 2, 8, REVERSE }, { 6, 1, 0 },	 /* tcpControlBits, reduced to one byte (RFC 7125) */
	{ 6, 1, REVERSE }, { 58, 2, 0 }, /* vlanId */
	{ 10, 4, 0 },			 /* ingressInterface */
	{ 239, 1, 0 },			 /* biflowDirection */
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/* What was told of a flow that goes on. An entry of a table is one flow at a time. */
struct pending {
	const struct tl_flow *flow; /* never followed: a name. NULL: free */
	uint32_t generation;
	uint64_t packets[2], bytes[2];
};

struct tl_ipfix {
	pthread_mutex_t lock;
	int fd;
	bool pace;
	uint32_t sequence; /* data records before this message */
	uint32_t in_message;
	uint64_t messages, failed;
	int first_error;
	time_t templates_sent;
	uint8_t message[MESSAGE_MAX];
	size_t bytes;
	size_t set; /* where the open set begins; 0: none */
	uint16_t set_id;
	struct pending *pending;
	uint32_t places, pending_count;
};

/* --- bytes ----------------------------------------------------------------------------------- */

static void put(struct tl_ipfix *x, uint64_t value, unsigned int bytes)
{
	while (bytes--)
		x->message[x->bytes++] = (uint8_t)(value >> 8 * bytes);
}

static void put_at(struct tl_ipfix *x, size_t at, uint64_t value, unsigned int bytes)
{
	while (bytes--)
		x->message[at++] = (uint8_t)(value >> 8 * bytes);
}

static void close_set(struct tl_ipfix *x)
{
	if (x->set)
		put_at(x, x->set + 2, x->bytes - x->set, 2);
	x->set = 0;
}

static void open_set(struct tl_ipfix *x, uint16_t id)
{
	close_set(x);
	x->set = x->bytes;
	x->set_id = id;
	put(x, id, 2);
	put(x, 0, 2);
}

static void put_template(struct tl_ipfix *x, uint16_t id, uint16_t source, uint16_t address_bytes)
{
	put(x, id, 2);
	put(x, FIELDS + 2, 2);
	put(x, source, 2);
	put(x, address_bytes, 2);
	put(x, source == 8 ? 12 : 28, 2); /* destinationIPv4Address, …IPv6Address */
	put(x, address_bytes, 2);
	for (size_t i = 0; i < FIELDS; i++) {
		put(x, fields[i].element | (fields[i].enterprise ? 0x8000u : 0), 2);
		put(x, fields[i].bytes, 2);
		if (fields[i].enterprise)
			put(x, fields[i].enterprise, 4);
	}
}

static void begin_message(struct tl_ipfix *x)
{
	time_t now = time(NULL);

	x->bytes = x->set = 0;
	x->in_message = 0;
	put(x, 10, 2);
	put(x, 0, 2); /* length, when it is known */
	put(x, (uint64_t)now, 4);
	put(x, x->sequence, 4);
	put(x, 1, 4); /* observation domain */
	if (x->messages % TEMPLATE_EVERY && now - x->templates_sent < TEMPLATE_AFTER_S)
		return;
	open_set(x, TEMPLATE_SET);
	put_template(x, FIRST_TEMPLATE, 8, 4);	     /* sourceIPv4Address */
	put_template(x, FIRST_TEMPLATE + 1, 27, 16); /* sourceIPv6Address */
	close_set(x);
	x->templates_sent = now;
}

static void send_message(struct tl_ipfix *x)
{
	const struct timespec pause = { .tv_nsec = PACE_NS };

	if (!x->in_message)
		return;
	close_set(x);
	put_at(x, 2, x->bytes, 2);
	if (send(x->fd, x->message, x->bytes, MSG_NOSIGNAL) < 0) {
		if (!x->failed++)
			x->first_error = -errno;
	}
	x->sequence += x->in_message;
	x->messages++;
	if (x->pace && x->messages % PACE_MESSAGES == 0)
		nanosleep(&pause, NULL);
	begin_message(x);
}

/* --- deltas ----------------------------------------------------------------------------------- */

static uint32_t place_of(const struct tl_ipfix *x, const struct tl_flow *flow)
{
	uint32_t at = (uint32_t)((uintptr_t)flow / sizeof(*flow) * 0x9e3779b1u) & (x->places - 1);

	while (x->pending[at].flow != PENDING_FREE && x->pending[at].flow != flow)
		at = (at + 1) & (x->places - 1);
	return at;
}

static int grow(struct tl_ipfix *x)
{
	uint32_t before = x->places;
	struct pending *old = x->pending;
	struct pending *made = calloc(before ? 2 * before : PENDING_PLACES_0, sizeof(*made));

	if (!made)
		return -ENOMEM;
	x->pending = made;
	x->places = before ? 2 * before : PENDING_PLACES_0;
	for (uint32_t i = 0; i < before; i++)
		if (old[i].flow)
			made[place_of(x, old[i].flow)] = old[i];
	free(old);
	return 0;
}

/* Closes the gap that a removed one leaves: each behind it is put where a search would find it. */
static void forget(struct tl_ipfix *x, uint32_t at)
{
	x->pending[at].flow = PENDING_FREE;
	x->pending_count--;
	for (;;) {
		struct pending moved;

		at = (at + 1) & (x->places - 1);
		if (x->pending[at].flow == PENDING_FREE)
			return;
		moved = x->pending[at];
		x->pending[at].flow = PENDING_FREE;
		x->pending[place_of(x, moved.flow)] = moved;
	}
}

static struct pending totals_of(const struct tl_flow *flow)
{
	struct pending now = { .flow = flow, .generation = flow->generation };

	for (int side = 0; side < 2; side++) {
		now.packets[side] = flow->packets[side];
		/* frames' bytes where those of IP are not known any more */
		if (!tl_flow__ip_bytes(flow, side, &now.bytes[side]))
			now.bytes[side] = flow->bytes[side];
	}
	return now;
}

/* What came since the record before, if there was one. */
static int take_delta(struct tl_ipfix *x, const struct tl_flow_record *record,
		      struct pending *ret_delta)
{
	struct pending now = totals_of(record->flow), *told;
	bool goes_on = record->kind == TL_FLOW_RECORD_ACTIVE;
	bool known;
	uint32_t at;

	*ret_delta = now;
	if (!x->pending_count && !goes_on)
		return 0;
	if (2 * x->pending_count >= x->places && grow(x))
		return -ENOMEM;
	at = place_of(x, record->flow);
	told = &x->pending[at];
	known = told->flow && told->generation == now.generation;
	for (int side = 0; side < 2 && known; side++) {
		ret_delta->packets[side] -= told->packets[side];
		ret_delta->bytes[side] -= told->bytes[side];
	}
	if (goes_on) {
		x->pending_count += !told->flow;
		*told = now;
	} else if (told->flow) {
		forget(x, at);
	}
	return 0;
}

/* --- records ---------------------------------------------------------------------------------- */

static uint8_t end_reason(const struct tl_flow_record *record)
{
	static const uint8_t reasons[] = {
		[TL_FLOW_END_CLOSED] = 3, [TL_FLOW_END_IDLE] = 1,    [TL_FLOW_END_EVICTED] = 5,
		[TL_FLOW_END_REUSED] = 3, [TL_FLOW_END_CAPTURE] = 4,
	};

	if (record->kind == TL_FLOW_RECORD_ACTIVE)
		return 2;
	return (size_t)record->end < sizeof(reasons) ? reasons[record->end] : 0;
}

static void put_ports(struct tl_ipfix *x, const struct tl_flow *flow, int client)
{
	const struct tl_flow_key *key = &flow->key;

	if (key->proto == IPPROTO_ICMP || key->proto == IPPROTO_ICMPV6) {
		/* a query's second "port" is its answer's type, an error's the code */
		bool one_way = tl_icmp__one_way(key->proto, key->port[client]);

		put(x, 0, 2);
		put(x, (uint64_t)key->port[client] << 8 | (one_way ? key->port[!client] & 255 : 0),
		    2);
		return;
	}
	put(x, key->port[client], 2);
	put(x, key->port[!client], 2);
}

static void encode(struct tl_ipfix *x, const struct tl_flow_record *record,
		   const struct pending *delta)
{
	const struct tl_flow *flow = record->flow;
	unsigned int address_bytes = flow->key.ip_version == 4 ? 4 : 16;
	int client = flow->client & 1, server = !client;

	memcpy(x->message + x->bytes, flow->key.addr[client], address_bytes);
	memcpy(x->message + x->bytes + address_bytes, flow->key.addr[server], address_bytes);
	x->bytes += 2 * address_bytes;
	put_ports(x, flow, client);
	put(x, flow->key.proto, 1);
	put(x, end_reason(record), 1);
	put(x, flow->first_ns / 1000000, 8);
	put(x, flow->last_ns / 1000000, 8);
	put(x, delta->bytes[client], 8);
	put(x, delta->packets[client], 8);
	put(x, delta->bytes[server], 8);
	put(x, delta->packets[server], 8);
	put(x, flow->tcp_flags[client], 1);
	put(x, flow->tcp_flags[server], 1);
	put(x, flow->vlan_count ? flow->vlan[0] & 0xfffu : 0, 2);
	put(x, flow->interface, 4);
	put(x, flow->flags & TL_FLOW_CLIENT_SURE ? 1 : 0, 1); /* initiator; arbitrary */
}

static size_t record_bytes(const struct tl_flow *flow)
{
	size_t bytes = flow->key.ip_version == 4 ? 8 : 32;

	for (size_t i = 0; i < FIELDS; i++)
		bytes += fields[i].bytes;
	return bytes;
}

int tl_ipfix__write(struct tl_ipfix *x, const struct tl_flow_record *record)
{
	uint16_t id = record->flow->key.ip_version == 4 ? FIRST_TEMPLATE : FIRST_TEMPLATE + 1;
	struct pending delta;
	int err;

	if (record->kind == TL_FLOW_RECORD_START)
		return 0;
	pthread_mutex_lock(&x->lock);
	err = take_delta(x, record, &delta);
	if (!err && delta.packets[0] + delta.packets[1]) {
		if (x->bytes + SET_HEADER_BYTES + record_bytes(record->flow) > MESSAGE_MAX)
			send_message(x);
		if (!x->set || x->set_id != id)
			open_set(x, id);
		encode(x, record, &delta);
		x->in_message++;
	}
	pthread_mutex_unlock(&x->lock);
	return err;
}

int tl_ipfix__finish(struct tl_ipfix *x, uint64_t *ret_messages, uint64_t *ret_failed)
{
	send_message(x);
	*ret_messages = x->messages;
	*ret_failed = x->failed;
	return x->first_error;
}

/* --- life ------------------------------------------------------------------------------------- */

/* "host:port", "[::1]:port" or a host alone. */
static int split(const char *text, char ret_host[256], char ret_port[16])
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);
	bool bracketed = *text == '[';
	const char *close = bracketed ? strchr(text, ']') : NULL;
	size_t bytes;

	if (bracketed && (!close || (close[1] && close[1] != ':')))
		return -EINVAL;
	if (bracketed)
		colon = close[1] ? close + 1 : NULL;
	else if (colon && strchr(text, ':') != colon)
		colon = NULL; /* an IPv6 address without a port */
	bytes = (size_t)((bracketed ? close : colon ? colon : end) - text) - bracketed;
	if (!bytes || bytes >= 256 || (colon && (!colon[1] || strlen(colon + 1) >= 16)))
		return -EINVAL;
	memcpy(ret_host, text + bracketed, bytes);
	ret_host[bytes] = 0;
	snprintf(ret_port, 16, "%s", colon ? colon + 1 : "4739");
	return 0;
}

static int connect_to(const char *collector, struct tl_error *ret_error)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found = NULL;
	char host[256], port[16];
	int err, fd = -1;

	if (split(collector, host, port)) {
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "--ipfix %.64s: it takes HOST:PORT, such as 192.0.2.1:4739", collector);
		return -EINVAL;
	}
	err = getaddrinfo(host, port, &hints, &found);
	if (err) {
		snprintf(ret_error->what, sizeof(ret_error->what), "--ipfix %.64s: %s", collector,
			 gai_strerror(err));
		return err == EAI_SERVICE ? -EINVAL : -EHOSTUNREACH;
	}
	err = 0;
	for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && !connect(fd, a->ai_addr, a->ai_addrlen))
			break;
		err = -errno;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	if (fd < 0)
		snprintf(ret_error->what, sizeof(ret_error->what), "--ipfix %.64s: %s", collector,
			 strerror(-err));
	return fd < 0 ? err : fd;
}

int tl_ipfix__create(const char *collector, bool pace, struct tl_error *ret_error,
		     struct tl_ipfix **ret_ipfix)
{
	struct tl_ipfix *x;
	int fd = connect_to(collector, ret_error);

	if (fd < 0)
		return fd;
	x = calloc(1, sizeof(*x));
	if (!x) {
		close(fd);
		return -ENOMEM;
	}
	pthread_mutex_init(&x->lock, NULL);
	x->fd = fd;
	x->pace = pace;
	begin_message(x);
	*ret_ipfix = x;
	return 0;
}

void tl_ipfix__destroy(struct tl_ipfix *x)
{
	if (!x)
		return;
	close(x->fd);
	pthread_mutex_destroy(&x->lock);
	free(x->pending);
	free(x);
}
