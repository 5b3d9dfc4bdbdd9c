"""Exercises at work: their labs, a learner's attempts and what is kept of them, and their proof."""
