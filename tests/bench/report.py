#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what measure.sh printed; table, JSON, SVG; exit status 1 for a missed target."""

import argparse
import json
import sys

from plot import plot

BLOCKS = {"4k": 4096, "64k": 65536, "1m": 1048576}
DIRECTIONS = ("read", "write")
COLUMNS = [(block, direction) for block in BLOCKS for direction in DIRECTIONS]

# vmcrypt over dm-crypt tuned, same sector size and kernel, in the order of COLUMNS
OVER_TUNED = {4096: (0.965, 0.77, 0.97, 0.69, 0.97, 0.69), 512: (0.87, 0.73, 0.82, 0.67, 0.82, 0.66)}
OVER_DEFAULT = {("4k", "read"): 0.68, ("4k", "write"): 0.52}
OVER_FLOOR = 1.07
# What big writes may cost over dm-crypt tuned where segments are few
OVER_TUNED_FEW_SEGMENTS = 1.0
# As measure.sh makes them, with the sector sizes that it measures there
NULL_DISKS = (("null", 4096), ("small", 512), ("small", 4096))


class Unmeasured(Exception):
    """A point is missing or makes no sense."""


def read_results(path):
    """Returns {"fio": {(disk, target, sector, block, direction): ns}, "bare": …, "driver": …}."""
    found = {"fio": {}, "bare": {}, "driver": ""}
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if len(words) == 7 and words[0] == "fio":
                disk, target, sector, block, direction = words[1:6]
                found["fio"][disk, target, int(sector), block, direction] = float(words[6])
            elif len(words) == 8 and words[0] == "bare":
                found["bare"][int(words[1])] = {words[2]: float(words[3]), words[4]: float(words[5])}
                found["driver"] = words[7]
    return found


def cost(results, disk, target, sector, block, direction):
    """Instructions of one I/O; a point that is missing or zero is no measurement."""
    value = results["fio"].get((disk, target, sector, block, direction), 0)
    if value <= 0:
        raise Unmeasured(f"{disk} {target} {sector} {block} {direction}")
    return value


def compare(point, name, base, limit):
    """Adds the ratio to what @name costs; a limit that is passed is a miss."""
    ratio = point["vmcrypt"] / base
    point["ratios"][name] = round(ratio, 4)
    if limit is not None:
        point["limits"][name] = limit
        if ratio > limit:
            point["missed"].append(name)


def ram_point(results, sector, column):
    """One point on the RAM disk with all that it is held against."""
    block, direction = COLUMNS[column]
    point = {"disk": "ram", "sector_size": sector, "block": block, "direction": direction,
             "ratios": {}, "limits": {}, "missed": []}
    point["linear"] = cost(results, "ram", "linear", 0, block, direction)
    for name in ("crypt", "tuned", "vmcrypt"):
        point[name] = cost(results, "ram", name, sector, block, direction)
    bare = results["bare"].get(sector, {}).get(direction, 0)
    if bare <= 0:
        raise Unmeasured(f"bare xts(aes) {sector} {direction}")
    point["floor"] = round(point["linear"] + bare * BLOCKS[block] / 4096, 1)
    compare(point, "tuned", point["tuned"], OVER_TUNED[sector][column])
    compare(point, "crypt", point["crypt"], OVER_DEFAULT.get((block, direction)))
    compare(point, "floor", point["floor"], OVER_FLOOR)
    return point


def null_point(results, disk, sector, block, direction):
    """One point on null_blk, whose segments are few, or small, too."""
    point = {"disk": disk, "sector_size": sector, "block": block, "direction": direction,
             "ratios": {}, "limits": {}, "missed": []}
    point["linear"] = cost(results, disk, "linear", 0, block, direction)
    for name in ("crypt", "tuned", "vmcrypt"):
        point[name] = cost(results, disk, name, sector, block, direction)
    compare(point, "tuned", point["tuned"], OVER_TUNED_FEW_SEGMENTS)
    compare(point, "crypt", point["crypt"], None)
    return point


def points_of(results):
    """All points of one kernel."""
    points = [ram_point(results, sector, column) for sector in OVER_TUNED for column in range(len(COLUMNS))]
    return points + [null_point(results, disk, sector, block, direction)
                     for disk, sector in NULL_DISKS for block in ("64k", "1m") for direction in DIRECTIONS]


def short(value):
    """12345 as 12.3k."""
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    return f"{value / 1e3:.3g}k" if value >= 1e3 else f"{value:.0f}"


def ratio_cell(point, name):
    """A ratio with its limit, marked when it is missed."""
    if name not in point["ratios"]:
        return ""
    text = f"{point['ratios'][name]:.3f}"
    if name in point["limits"]:
        text += f" ≤ {point['limits'][name]}" + ("  MISSED" if name in point["missed"] else "")
    return text


def table(kernels):
    """The table for people: instructions per I/O, and the ratios."""
    heads = ("kernel", "disk", "sector", "I/O", "linear", "dm-crypt", "tuned", "vmcrypt", "floor",
             "÷ tuned", "÷ dm-crypt", "÷ floor")
    rows = [heads]
    for kernel, entry in kernels.items():
        for p in entry["points"]:
            rows.append((kernel, p["disk"], str(p["sector_size"]), f"{p['block']} {p['direction']}",
                         *(short(p[n]) for n in ("linear", "crypt", "tuned", "vmcrypt")),
                         short(p["floor"]) if "floor" in p else "",
                         *(ratio_cell(p, n) for n in ("tuned", "crypt", "floor"))))
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows)


def main():
    """See the usage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", required=True)
    parser.add_argument("--svg", required=True)
    parser.add_argument("results", nargs="+", metavar="KERNEL=FILE")
    options = parser.parse_args()
    kernels = {}
    for argument in options.results:
        kernel, _, path = argument.partition("=")
        results = read_results(path)
        try:
            kernels[kernel] = {"driver": results["driver"], "bare_4096_bytes": results["bare"],
                               "points": points_of(results)}
        except Unmeasured as point:
            print(f"report.py: {path} has no measurement of {point}", file=sys.stderr)
            return 2
    points = [p for entry in kernels.values() for p in entry["points"]]
    missed = sum(len(p["missed"]) for p in points)
    targets = sum(len(p["limits"]) for p in points)
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump({"unit": "instructions per I/O", "missed": missed, "kernels": kernels}, out, indent=1)
        out.write("\n")
    with open(options.svg, "w", encoding="utf-8") as out:
        out.write(plot(kernels))
    print(table(kernels))
    print(f"\nbench: {targets - missed} passed, {missed} failed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
