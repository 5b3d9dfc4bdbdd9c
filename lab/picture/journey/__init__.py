"""A journey as a picture: the packet's way through the hooks of every node, and back."""

from __future__ import annotations

from lab.model.journey import Journey
from lab.picture.journey.draw import drawing
from lab.picture.journey.page import document
from lab.picture.svg import render


def svg(journey: Journey) -> str:
    """Return the picture as an SVG file that needs nothing else."""
    return f"{render(drawing(journey))}\n"


def html(journey: Journey) -> str:
    """Return the picture with all steps beside it, as a page that needs nothing else."""
    return document(journey)
