"""What becomes of packets, as the kernel tells it while they pass: captures, watches, traces."""
