"""Hairpin: Kubernetes Service networking on one Linux machine, out of network namespaces."""

__version__ = "0.1.0"
