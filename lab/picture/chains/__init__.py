"""The chains of one Service as a picture, from its node's rules: who leads where, by what chance, and how often."""

from lab.picture.chains.compose import forests
from lab.picture.chains.drawing import page, svg
from lab.picture.chains.flowchart import mermaid
from lab.picture.chains.letters import text
from lab.picture.chains.scene import Forest

__all__ = ["Forest", "forests", "mermaid", "page", "svg", "text"]
