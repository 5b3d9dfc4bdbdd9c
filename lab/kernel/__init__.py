"""The only rooms that touch the system: each module is one door, and knows nothing of Kubernetes."""
