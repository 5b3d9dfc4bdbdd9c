"""The cluster that a node's rules tell of: the Services and endpoints that they name, as objects of a lab."""

from __future__ import annotations

from lab.controllers.told.objects import Told, missing, told_by
from lab.controllers.told.rules import Targets, targets

__all__ = ["Targets", "Told", "missing", "targets", "told_by"]
