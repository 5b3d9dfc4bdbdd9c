"""What the colours and lines of a journey's picture mean."""

from __future__ import annotations

from lab.model.journey import Journey
from lab.picture import svg
from lab.picture.journey.layout import MARGIN
from lab.picture.journey.told import ROLES
from lab.picture.svg import Box, Element

ROW = 24.0


def legend(journey: Journey, y: float, room: float, *, again: bool) -> tuple[list[Element], float]:
    """Return the legend from y on, and how high it is; it only explains what is there.

    `again`: the packet comes to a place for a second time.
    """
    samples: list[tuple[Element, str]] = []
    for role in dict.fromkeys(leg.role for leg in journey.legs):
        hue = ROLES[role]
        samples.append((svg.track([(0, 0), (26, 0)], f"way-{hue} thick", arrow=hue), role))
    if not all(step.observed for step in journey.steps):
        samples.append((svg.panel(Box(0, -7, 26, 14), "rim-ink dashed", radius=6), "inferred, not observed"))
    if again:
        samples.append((svg.track([(0, 0), (26, 0)], "way-muted dotted"), "the same place again"))
    samples.append((svg.panel(Box(0, -7, 26, 14), "surface", radius=4), "not visited"))
    samples.append((svg.label(4, 4, "7", "count"), "number of the step"))
    x, top, drawn = MARGIN, y, list[Element]()
    for sample, text in samples:
        wide = 34 + svg.width(text, "note") + 26
        if x + wide > MARGIN + room and x > MARGIN:
            x, y = MARGIN, y + ROW
        drawn.append(svg.group(sample, svg.label(34, 4, text, "note"), transform=f"translate({x:g} {y:g})"))
        x += wide
    return drawn, y - top + ROW
