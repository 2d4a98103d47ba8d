#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of e2e_verdicts.sh, from the files it made: what Tapline, tshark and tcptrace say of
each frame, against the truth.

tshark says of a frame that it is a retransmission (fast, spurious), out of order, a keep-alive or a
probe; neither where a segment was lost nor whether an RTO or a tail-loss probe sent it again. tcptrace
counts for each connection and direction, so its share of right ones is the best that its counts allow.
"""
import glob
import os
import sys

LOST = ("lost_before", "lost_after")
AGAIN = LOST + ("spurious",)
# verdict of a frame -> the classes it is counted in
CLASSES = {
    "sent again": AGAIN,
    "lost before the tap": ("lost_before",),
    "lost after the tap": ("lost_after",),
    "lost, wherever": LOST,
    "spurious": ("spurious",),
    "reordered": ("reordered",),
    "copy of the mirror": ("copy",),
    "keep-alive": ("keepalive",),
    "window probe": ("window_probe",),
}
TSHARK_SAYS = {"sent again", "lost, wherever", "spurious", "reordered", "keep-alive", "window probe"}
TCPTRACE_COLUMNS = {"sent again": "rexmt_data_pkts", "reordered": "outoforder_pkts",
                    "window probe": "zwnd_probe_pkts"}
TRIGGERS = ("rto", "fast", "tlp")


def read_truth(path):
    with open(path, encoding="ascii") as file:
        name = file.readline()[2:].strip()
        rows = [line.split()[1:] for line in file if not line.startswith("#")]
    return name, rows


def read_tshark(path):
    """For each frame: its verdict in our words, and whether tshark calls it fast."""
    rows = []
    with open(path, encoding="ascii") as file:
        for line in file:
            again, fast, spurious, reordered, alive, probe = line.rstrip("\n").split("\t")[1:]
            verdict = ("spurious" if spurious else "window_probe" if probe
                       else "keepalive" if alive else "lost_after" if again or fast
                       else "reordered" if reordered else "new")
            rows.append((verdict, bool(fast)))
    return rows


def read_tcptrace(path):
    """For each class it counts: {(port of the sender's connection): count}, the sender's side."""
    with open(path, encoding="ascii") as file:
        lines = [[cell.strip() for cell in line.split(",")] for line in file
                 if line.strip() and not line.startswith("#")]
    head = lines[0]
    return {name: sum(int(row[head.index(column + "_a2b")]) for row in lines[1:])
            for name, column in TCPTRACE_COLUMNS.items()}


class Score:
    """Frames that deserve a class, that get it, and that do both."""

    def __init__(self):
        self.deserve = self.get = self.both = 0

    def add(self, deserves, gets):
        self.deserve += deserves
        self.get += gets
        self.both += deserves and gets

    def add_counts(self, deserve, get):
        self.deserve += deserve
        self.get += get
        self.both += min(deserve, get)

    def cells(self):
        def share(whole):
            return f"{100 * self.both / whole:.1f}" if whole else "-"
        return f"{share(self.deserve)} / {share(self.get)}"


def judge(stem, scores):
    """Adds one setting to the scores; its row of the second table."""
    name, truth = read_truth(stem + ".truth")
    tshark = read_tshark(stem + ".tshark")
    tcptrace = read_tcptrace(stem + ".tcptrace")
    count = {"truth": 0, "tapline": 0, "tshark": 0}
    place = [0, 0]
    trigger = [0, 0]
    unsure = 0

    for (true, true_trigger, said, said_trigger), (shark, fast) in zip(truth, tshark, strict=True):
        count["truth"] += true in AGAIN
        count["tapline"] += said in AGAIN
        count["tshark"] += shark in AGAIN
        if true == "unsure":
            unsure += 1
            continue
        for title, members in CLASSES.items():
            scores["tapline"][title].add(true in members, said in members)
            if title in TSHARK_SAYS:
                scores["tshark"][title].add(true in members, shark in members)
        if true in AGAIN:
            place[0] += said == true
            place[1] += 1
        if true in AGAIN and true_trigger != "none":
            trigger[0] += said_trigger == true_trigger
            trigger[1] += 1
            for kind in TRIGGERS:
                scores["tapline"]["trigger " + kind].add(true_trigger == kind,
                                                         said_trigger == kind)
            scores["tshark"]["trigger fast"].add(true_trigger == "fast", fast)
    for title in TCPTRACE_COLUMNS:
        deserve = sum(row[0] in CLASSES[title] for row in truth)
        scores["tcptrace"][title].add_counts(deserve, tcptrace[title])

    def percent(pair):
        return f"{100 * pair[0] / pair[1]:.1f}" if pair[1] else "-"
    return (f"| {name} | {count['truth']} | {count['tapline']} | {count['tshark']} | "
            f"{tcptrace['sent again']} | {percent(place)} | {percent(trigger)} | {unsure} |")


def main():
    titles = list(CLASSES) + ["trigger " + kind for kind in TRIGGERS]
    scores = {tool: {title: Score() for title in titles}
              for tool in ("tapline", "tshark", "tcptrace")}
    rows = [judge(path[:-len(".truth")], scores)
            for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.truth")))]

    print("| verdict | frames | Tapline: found / right, % | tshark | tcptrace, at best |\n"
          "|---|---:|---:|---:|---:|")
    for title in titles:
        ours, shark, trace = (scores[tool][title] for tool in ("tapline", "tshark", "tcptrace"))
        print(f"| {title} | {ours.deserve} | {ours.cells()} | "
              f"{shark.cells() if shark.deserve else 'not said'} | "
              f"{trace.cells() if trace.deserve else 'not said'} |")
    print("\n| setting | truly sent again | Tapline says | tshark says | tcptrace says | "
          "Tapline: place right, % | trigger right, % | unsure frames |\n"
          "|---|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
