"""What every pod of a lab runs: HTTP and UDP servers that tell what they saw, all in the keeper's one event loop."""

SOCKET = "/run/hairpin/keeper.sock"
"""Inside a capsule: where its keeper takes orders (`lab.standing.keeper`)."""
