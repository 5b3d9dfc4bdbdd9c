"""Cluster -> ops: all that makes a lab stand, decided before anything is done."""

from __future__ import annotations

from lab.plan.planner import Plan, plan

__all__ = ["Plan", "plan"]
