#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what measure_real.sh printed: vmcrypt over the better of dm-crypt's two ways.

A ratio is of runs of the same round; over 1 is better, for latency too. What
counts is the median of the ratios, and the 95 % interval of that median by
resampling: a point falls short where the upper bound is below 0.97.
"""

import argparse
import collections
import json
import random
import statistics
import sys

ENOUGH = 0.97
# Fewer rounds than that give no verdict
ROUNDS_MIN = 15
RESAMPLES = 4000
MEASURES = {"throughput": lambda ours, theirs: ours / theirs, "p99": lambda ours, theirs: theirs / ours}


def read_results(path):
    """Returns {point: {target: {round: {"throughput": …, "p99": …}}}}, all that were measured."""
    points = collections.defaultdict(lambda: collections.defaultdict(dict))
    measured = 0
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if len(words) == 2 and words[0] == "points":
                measured = int(words[1])
            if len(words) != 10 or words[0] != "real":
                continue
            disk, target, block, direction, depth, jobs, turn, rate, p99 = words[1:]
            points[disk, block, direction, int(depth), int(jobs)][target][int(turn)] = {
                "throughput": float(rate), "p99": float(p99)}
    if not measured or len(points) != measured:
        raise ValueError(f"{len(points)} points are here, {measured} were measured")
    return points


def better(targets, measure):
    """Which of dm-crypt's ways is the better one here, by the medians."""
    medians = {name: statistics.median(run[measure] for run in targets[name].values())
               for name in ("crypt", "tuned")}
    pick = max if measure == "throughput" else min
    return pick(medians, key=medians.get)


def interval(ratios):
    """The 95 % interval of the median; the generator's seed is fixed, so that a report repeats."""
    generator = random.Random(1)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975)]


def judge(targets, measure):
    """One measure of one point."""
    base = better(targets, measure)
    ratios = [MEASURES[measure](run[measure], targets[base][turn][measure])
              for turn, run in targets["vmcrypt"].items()]
    low, high = interval(ratios)
    return {"over": base, "ratio": round(statistics.median(ratios), 3), "low": round(low, 3),
            "high": round(high, 3), "short": high < ENOUGH}


def points_of(path, rounds):
    """All points of one kernel; raises ValueError where a run is missing."""
    points = []
    for point, targets in read_results(path).items():
        disk, block, direction, depth, jobs = point
        for target in ("crypt", "tuned", "vmcrypt"):
            if len(targets[target]) != rounds:
                raise ValueError(f"{len(targets[target])} runs of {rounds}: {target} {point}")
        entry = {"disk": disk, "block": block, "direction": direction, "depth": depth, "jobs": jobs}
        entry.update({measure: judge(targets, measure) for measure in MEASURES})
        points.append(entry)
    return points


def cell(result):
    """One measure as text."""
    mark = "  SHORT" if result["short"] else ""
    return f"{result['ratio']:.3f} [{result['low']:.3f}, {result['high']:.3f}] {result['over']}{mark}"


def table(kernels):
    """The table for people."""
    rows = [("kernel", "disk", "I/O", "depth", "jobs", "throughput", "1 / p99")]
    for kernel, points in kernels.items():
        rows += [(kernel, p["disk"], f"{p['block']} {p['direction']}", str(p["depth"]), str(p["jobs"]),
                  cell(p["throughput"]), cell(p["p99"])) for p in points]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows)


def main():
    """See the usage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("results", nargs="+", metavar="KERNEL=FILE")
    options = parser.parse_args()
    kernels = {}
    for argument in options.results:
        kernel, _, path = argument.partition("=")
        try:
            kernels[kernel] = points_of(path, options.rounds)
        except ValueError as error:
            print(f"report_real.py: {path}: {error}", file=sys.stderr)
            return 2
    short = sum(p[m]["short"] for points in kernels.values() for p in points for m in MEASURES)
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump({"rounds": options.rounds, "verdict": options.rounds >= ROUNDS_MIN, "enough": ENOUGH,
                   "short": short, "kernels": kernels}, out, indent=1)
        out.write("\n")
    print("vmcrypt over the better of dm-crypt's default and tuned ways: median of the rounds' ratios, "
          "95 % interval; higher is better")
    print(table(kernels))
    print(f"\n{short} measures fall short of {ENOUGH}" if short else f"\nno measure falls short of {ENOUGH}")
    if options.rounds < ROUNDS_MIN:
        print(f"This is no verdict: {options.rounds} rounds, and it takes {ROUNDS_MIN}")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
