# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ratios as an SVG: a bar for each point, its target as a line."""

WIDTH, BAR, GAP, TOP, HEIGHT, LEFT = 980, 24, 6, 64, 200, 48
SCALE_MAX = 1.1
COLOURS = {"6.1": "#4878a8", "6.12": "#78a848"}
OTHER_COLOUR = "#888888"


def y_of(top, ratio):
    """Where a ratio lies in the panel that begins at @top."""
    return top + HEIGHT * (1 - min(ratio, SCALE_MAX) / SCALE_MAX)


def text(x, y, words, size=11, anchor="middle", extra=""):
    """One line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {extra}>{words}</text>'


def grid(top):
    """Lines at each fifth, the one of dm-crypt strong."""
    parts = []
    for fifth in range(6):
        y = y_of(top, fifth / 5)
        colour = "#333" if fifth == 5 else "#ddd"
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - 10}" y2="{y:.1f}" stroke="{colour}"/>')
        parts.append(text(LEFT - 6, y + 4, f"{fifth / 5:.1f}", anchor="end"))
    return parts


def bar(x, top, point, kernel):
    """The bar of one point, with its target."""
    ratio = point["ratios"]["tuned"]
    y = y_of(top, ratio)
    colour = COLOURS.get(kernel, OTHER_COLOUR)
    parts = [f'<rect x="{x:.1f}" y="{y:.1f}" width="{BAR}" height="{top + HEIGHT - y:.1f}" fill="{colour}"/>',
             text(x + BAR / 2, y + 12, f"{ratio:.2f}", size=9, extra='fill="white"')]
    if "tuned" in point["limits"]:
        line = y_of(top, point["limits"]["tuned"])
        parts.append(f'<line x1="{x - 2:.1f}" y1="{line:.1f}" x2="{x + BAR + 2:.1f}" y2="{line:.1f}" '
                     'stroke="#c03020" stroke-width="2"/>')
    return parts


def panel(top, kernels, sector):
    """All points on the RAM disk of one sector size."""
    parts = grid(top) + [text(LEFT, top - 8, f"sectors of {sector} bytes", size=13, anchor="start")]
    by_kernel = {k: [p for p in e["points"] if p["disk"] == "ram" and p["sector_size"] == sector]
                 for k, e in kernels.items()}
    groups = len(next(iter(by_kernel.values())))
    step = (WIDTH - LEFT - 20) / groups
    for i in range(groups):
        x = LEFT + step * i + (step - len(kernels) * (BAR + GAP)) / 2
        for kernel, points in by_kernel.items():
            parts += bar(x, top, points[i], kernel)
            x += BAR + GAP
        name = f"{points[i]['block']} {points[i]['direction']}"
        parts.append(text(LEFT + step * (i + 0.5), top + HEIGHT + 16, name))
    return parts


def plot(kernels):
    """The whole picture."""
    height = TOP + 2 * (HEIGHT + 60)
    parts = ['<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->',
             f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             'font-family="sans-serif">', f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             text(LEFT, 22, "Instructions per I/O: vmcrypt ÷ dm-crypt tuned "
                  "(no_read_workqueue no_write_workqueue); lower is better", size=14, anchor="start")]
    x = LEFT
    for kernel in kernels:
        parts.append(f'<rect x="{x}" y="30" width="10" height="10" fill="{COLOURS.get(kernel, OTHER_COLOUR)}"/>')
        parts.append(text(x + 14, 39, f"Linux {kernel}", anchor="start"))
        x += 90
    parts.append(f'<line x1="{x}" y1="35" x2="{x + 14}" y2="35" stroke="#c03020" stroke-width="2"/>')
    parts.append(text(x + 18, 39, "target", anchor="start"))
    parts += panel(TOP + 10, kernels, 4096) + panel(TOP + HEIGHT + 60, kernels, 512)
    return "\n".join(parts + ["</svg>", ""])
