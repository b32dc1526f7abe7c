#!/usr/bin/env python3
"""Draw hops against N, ours and the papers', from the figures that main_papers wrote.

papers_report.py FOLDER reads FOLDER/figures.json (one object a line) and FOLDER/tables.txt, and
writes FOLDER/hops.svg and FOLDER/index.html.
"""

import html
import json
import math
import pathlib
import sys

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 20, 50
COLOURS = ["#1b6ca8", "#c0392b", "#27865a", "#8e44ad", "#b9770e", "#34495e"]


def read_figures(path):
    """The curves: plug-in to a list of (peers, ours, the paper's), in order of peers."""
    curves = {}
    for line in path.read_text().splitlines():
        figure = json.loads(line)
        if figure["table"] == "hops":
            paper = figure.get("figure_hops", figure["model_hops"])
            point = (figure["peers"], figure["mean_hops"], paper)
            curves.setdefault(figure["plugin"], []).append(point)
    return {name: sorted(points) for name, points in curves.items()}


class Plot:
    """Hops over log2 N."""

    def __init__(self, curves):
        peers = [p[0] for points in curves.values() for p in points]
        self.first, self.last = math.log2(min(peers)), math.log2(max(peers))
        self.top = max(max(p[1:]) for points in curves.values() for p in points) * 1.05
        self.parts = []

    def x(self, peers):
        span = max(self.last - self.first, 1)
        return LEFT + (math.log2(peers) - self.first) / span * (WIDTH - LEFT - RIGHT)

    def y(self, hops):
        return HEIGHT - BOTTOM - hops / self.top * (HEIGHT - TOP - BOTTOM)

    def text(self, x, y, words, anchor="middle", colour="#222"):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
            f"{html.escape(words)}</text>"
        )

    def line(self, points, colour, dashes=""):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dashes}"/>'
        )

    def axes(self):
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        self.line([(LEFT, TOP), (LEFT, bottom), (right, bottom)], "#888")
        for power in range(math.ceil(self.first), math.floor(self.last) + 1):
            self.text(self.x(2**power), bottom + 18, str(2**power))
        for hops in range(0, math.floor(self.top) + 1, max(1, math.floor(self.top) // 8)):
            self.text(LEFT - 8, self.y(hops) + 4, str(hops), "end")
        self.text((LEFT + right) / 2, HEIGHT - 12, "peers (N)")
        self.text(LEFT + 6, TOP + 4, "mean hops", "start")

    def curve(self, index, name, points):
        colour = COLOURS[index % len(COLOURS)]
        self.line([(self.x(p[0]), self.y(p[1])) for p in points], colour)
        self.line([(self.x(p[0]), self.y(p[2])) for p in points], colour, "6 4")
        for p in points:
            self.parts.append(
                f'<circle cx="{self.x(p[0]):.1f}" cy="{self.y(p[1]):.1f}" r="3" fill="{colour}"/>'
            )
        self.text(WIDTH - RIGHT + 14, TOP + 20 + 22 * index, name, "start", colour)

    def svg(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13">'
            + "".join(self.parts)
            + "</svg>\n"
        )


def draw(curves):
    plot = Plot(curves)
    plot.axes()
    for index, (name, points) in enumerate(curves.items()):
        plot.curve(index, name, points)
    return plot.svg()


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: papers_report.py FOLDER")
    folder = pathlib.Path(sys.argv[1])
    curves = read_figures(folder / "figures.json")
    if not curves:
        sys.exit(f"{folder / 'figures.json'}: no figures of hops")
    svg = draw(curves)
    (folder / "hops.svg").write_text(svg)
    (folder / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Hops against N</title>'
        "<h1>Ringway beside the papers</h1><p>Drawn through: ours. Dashed: what the papers measured where "
        "it can be read off their figures, else their model.</p>"
        f"{svg}<pre>{html.escape((folder / 'tables.txt').read_text())}</pre></html>\n"
    )
    print(f"written: {folder / 'index.html'}, {folder / 'hops.svg'}")


if __name__ == "__main__":
    main()
