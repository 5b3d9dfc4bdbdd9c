"""Exercises: what is decided about them, without touching anything."""
