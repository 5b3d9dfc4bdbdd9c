"""A cluster as a picture: its machines and how they are wired, its Services and lines to their endpoints."""

from lab.picture.topology.compose import scene
from lab.picture.topology.drawing import page, svg
from lab.picture.topology.flowchart import mermaid
from lab.picture.topology.letters import text
from lab.picture.topology.scene import Scene

__all__ = ["Scene", "mermaid", "page", "scene", "svg", "text"]
