"""What the parts of every object have in common."""

from __future__ import annotations

from msgspec import Struct

_UPPER = {"ip": "IP", "ips": "IPs", "cidr": "CIDR", "cidrs": "CIDRs"}


def camel(name: str) -> str:
    """Return the API's spelling of a field: `cluster_ip` is `clusterIP`."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(_UPPER.get(word, word.capitalize()) for word in rest)


class Part(Struct, frozen=True, kw_only=True, rename=camel, omit_defaults=True):
    """A part of an object: immutable, with the API's field names on the wire."""
