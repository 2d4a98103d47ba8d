/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Link layers: Ethernet with its tags, Linux cooked, loopback, raw IP. Called by the walk.
 *
 *	Ethernet   dst 6 │ src 6 │ type 2 │ …            type <= 1500: a length, LLC follows
 *	tag        … TPID │ TCI 2 │ type 2 │ …
 *	SLL        type 2 │ ARPHRD 2 │ length 2 │ address 8 │ ethertype 2 │ …
 *	SLL2       ethertype 2 │ 0 2 │ ifindex 4 │ ARPHRD 2 │ type 1 │ length 1 │ address 8 │ …
 *	NULL       address family 4, in the byte order of the machine that captured │ …
 */
#include "step.h"

/* AF_INET6 has a different number on each of Linux, BSD/OS, FreeBSD and macOS. */
static enum step loopback_family(uint32_t family)
{
	switch (family) {
	case 2:
		return STEP_IPV4;
	case 10:
	case 24:
	case 28:
	case 30:
		return STEP_IPV6;
	default:
		return STEP_DONE;
	}
}

static enum step step_loopback(struct decode *d, bool host_order)
{
	uint32_t family;

	if (!tl_cursor__peek(&d->cursor, 4))
		return too_short(d, 4);
	family = tl_cursor__be32(&d->cursor);
	if (host_order && family > 0xffff)
		family = __builtin_bswap32(family);
	return loopback_family(family);
}

static enum step step_cooked(struct decode *d, uint32_t bytes, uint32_t type_at)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, bytes);

	if (!p)
		return too_short(d, bytes);
	d->type = load16(p + type_at);
	tl_cursor__skip(&d->cursor, bytes);
	return STEP_ETHERTYPE;
}

enum step step_link(struct decode *d, uint16_t linktype)
{
	switch (linktype) {
	case TL_LINKTYPE_ETHERNET:
		return STEP_ETHERNET;
	case TL_LINKTYPE_RAW:
		return STEP_IP;
	case TL_LINKTYPE_IPV4:
		return STEP_IPV4;
	case TL_LINKTYPE_IPV6:
		return STEP_IPV6;
	case TL_LINKTYPE_LINUX_SLL:
		return step_cooked(d, 16, 14);
	case TL_LINKTYPE_LINUX_SLL2:
		return step_cooked(d, 20, 0);
	case TL_LINKTYPE_NULL:
		return step_loopback(d, true);
	case TL_LINKTYPE_LOOP:
		return step_loopback(d, false);
	default:
		return STEP_DONE;
	}
}

/* IEEE 802.3 with a length: only SNAP with OUI 0 carries an ethertype (RFC 1042). */
static enum step step_llc(struct decode *d, uint16_t length)
{
	static const uint8_t snap[6] = { 0xaa, 0xaa, 3, 0, 0, 0 };
	const uint8_t *p;

	if (length > wire_left(d))
		return malformed(d);
	limit(d, length);
	p = tl_cursor__peek(&d->cursor, 8);
	if (!p || memcmp(p, snap, sizeof(snap)) != 0)
		return STEP_DONE;
	d->type = load16(p + 6);
	tl_cursor__skip(&d->cursor, 8);
	return STEP_ETHERTYPE;
}

enum step step_ethernet(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 14);

	d->l2_offset = here(d);
	d->ethertype = 0;
	if (!p)
		return too_short(d, 14);
	d->type = load16(p + 12);
	tl_cursor__skip(&d->cursor, 14);
	return d->type <= 1500 ? step_llc(d, d->type) : STEP_ETHERTYPE;
}

static enum step step_vlan(struct decode *d)
{
	struct tl_layers *out = d->out;
	const uint8_t *p = tl_cursor__peek(&d->cursor, 4);

	if (!p)
		return too_short(d, 4);
	if (out->vlan_count < TL_VLAN_MAX)
		out->vlan[out->vlan_count++] = load16(p);
	else
		out->flags |= TL_LAYERS_VLAN_MORE;
	d->type = load16(p + 2);
	tl_cursor__skip(&d->cursor, 4);
	return d->type <= 1500 ? step_llc(d, d->type) : STEP_ETHERTYPE;
}

enum step step_ethertype(struct decode *d)
{
	d->ethertype = d->type;
	switch (d->type) {
	case ETHERTYPE_IPV4:
		return STEP_IPV4;
	case ETHERTYPE_IPV6:
		return STEP_IPV6;
	case ETHERTYPE_VLAN:
	case ETHERTYPE_QINQ:
	case ETHERTYPE_QINQ_OLD:
		return step_vlan(d);
	case ETHERTYPE_MPLS:
	case ETHERTYPE_MPLS_UPSTREAM:
		return STEP_MPLS;
	case ETHERTYPE_PPPOE:
		return step_pppoe(d);
	default:
		return STEP_DONE;
	}
}
