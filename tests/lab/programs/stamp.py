#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts the time before each line that it reads; later tells how soon a kind of finding was told.

    stamp.py <LINES >STAMPED
    stamp.py --told KIND RFC3339 STAMPED    seconds from that time to the first line of that kind
"""
import datetime
import json
import sys
import time


def stamp():
    for line in sys.stdin:
        sys.stdout.write(f"{time.time():.6f} {line}")
        sys.stdout.flush()


def seconds_since_epoch(text):
    whole, fraction = text.rstrip("Z").split(".")
    moment = datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S")
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp() + float("0." + fraction)


def told(kind, first, path):
    """A line that was told before `first` is of another finding of the same kind."""
    start = seconds_since_epoch(first)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            at, record = line.split(" ", 1)
            record = json.loads(record)
            if record["type"].startswith("finding") and record["kind"] == kind:
                if float(at) >= start:
                    print(f"{float(at) - start:.2f}")
                    return


if len(sys.argv) == 5 and sys.argv[1] == "--told":
    told(*sys.argv[2:])
else:
    stamp()
