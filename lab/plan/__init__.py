"""Cluster -> ops: all that makes a lab stand, decided before anything is done."""

from __future__ import annotations

from lab.plan.difference import Difference, difference, mending, stages
from lab.plan.planner import Plan, plan

__all__ = ["Difference", "Plan", "difference", "mending", "plan", "stages"]
