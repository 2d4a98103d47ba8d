#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A row of e2e_verdicts_linux.sh: the tracker's verdicts on the server's segments, against what the
wire wrote down.

The truth of a segment at the tap:
  sent for the first time  reordered, if one that was sent later came by before it; else new
  sent again               spurious, if an earlier one reached the client; else lost after the tap, if
                           an earlier one came by the tap; else lost before it

That an earlier one arrived, the tap may learn only later, from a D-SACK; until then it sees a loss
after the tap. So both verdicts are right of such a segment, and what tcp.loss says in the end is held
against the truth in sum (last two columns).
"""
import collections
import json
import sys

AGAIN = ("lost_before", "lost_after", "spurious")
HEAD = ("| setting | sent again | place right, % | wrongly called sent again | "
        "reordered: found / right, % | rto, fast, tlp told | the kernel's count | "
        "lost told / true | spurious told / true |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|")


def read_truth(path):
    """What each of the server's segments truly is, by its frame number at the tap."""
    flows = collections.defaultdict(list)  # port -> transmissions in the order of sending
    with open(path, encoding="ascii") as file:
        for order, line in enumerate(file):
            port, seq, _, number, arrived = map(int, line.split())
            flows[port].append((order, seq, number, arrived))
    truth = {}
    for transmissions in flows.values():
        earlier = collections.defaultdict(lambda: [False, False, False])  # sent, at tap, arrived
        again = {}
        for order, seq, number, arrived in transmissions:
            before = earlier[seq]
            again[number] = ("spurious" if before[2] else "lost_after" if before[1]
                             else "lost_before") if before[0] else None
            earlier[seq] = [True, before[1] or number > 0, before[2] or arrived]
        highest = -1
        for order, _, number, _ in sorted(transmissions, key=lambda t: t[2]):
            if number:
                truth[number] = again[number] or ("reordered" if order < highest else "new")
                highest = max(highest, order)
    return truth


def read_kernel(path):
    counters = collections.Counter()
    with open(path, encoding="ascii") as file:
        for cells in map(str.split, file):
            if cells and not cells[0].startswith("#"):
                counters[cells[0].removeprefix("TcpExtTCP")] = int(cells[1])
    return counters["Timeouts"] + counters["SlowStartRetrans"], counters["FastRetrans"], \
        counters["LossProbes"]


def read_findings(path):
    sums = collections.Counter()
    with open(path, encoding="utf-8") as file:
        for record in map(json.loads, file):
            if record.get("kind") == "tcp.loss":
                sums["lost"] += record["details"]["lost_segments"]
                # those have no place: the findings of both sides tell the same ones
                sums["spurious"] = max(sums["spurious"], record["details"]["spurious"])
    return sums


def percent(part, whole):
    return f"{100 * part / whole:.1f}" if whole else "-"


def row(name, folder):
    truth = read_truth(folder + "/truth")
    with open(folder + "/verdicts", encoding="ascii") as file:
        said = {int(cells[0]): cells[1:] for cells in map(str.split, file)}
    table = collections.Counter((true, said[number][0]) for number, true in truth.items())
    triggers = collections.Counter(said[number][1] for number in truth
                                   if said[number][0] in AGAIN)

    def count(true=None, verdict=None):
        return sum(n for (t, v), n in table.items()
                   if (true is None or t in true) and (verdict is None or v in verdict))
    right = sum(table[v, v] for v in AGAIN) + table["spurious", "lost_after"]
    both = table["reordered", "reordered"]
    told = read_findings(folder + "/findings")
    print(f"| {name} | {count(AGAIN)} | {percent(right, count(AGAIN))} | "
          f"{count(('new', 'reordered'), AGAIN)} | "
          f"{percent(both, count(('reordered',)))} / {percent(both, count(None, ('reordered',)))} | "
          f"{triggers['rto']}, {triggers['fast']}, {triggers['tlp']} | "
          f"{', '.join(map(str, read_kernel(folder + '/nstat')))} | "
          f"{told['lost']} / {count(AGAIN[:2])} | "
          f"{told['spurious']} / {count(('spurious',))} |", flush=True)
    with open(folder + "/table", "w", encoding="ascii") as file:
        for (true, verdict), n in sorted(table.items()):
            file.write(f"{true} {verdict} {n}\n")


if sys.argv[1] == "--head":
    print(HEAD)
else:
    row(sys.argv[1], sys.argv[2])
