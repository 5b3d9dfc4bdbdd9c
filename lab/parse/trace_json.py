"""Evidence as JSON and back: recorded once, it is told and drawn without a lab."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import msgspec

from lab.model.trace import Evidence
from lab.parse.values import decode

_BETWEEN = " "  # the words of a listing's keys; no family, table or chain has one in its name


def save(evidence: Evidence) -> bytes:
    """Return `evidence` as JSON."""
    raw = msgspec.to_builtins(evidence, enc_hook=str)
    for listing in raw["listings"]:
        listing["handles"] = {_BETWEEN.join(key): numbers for key, numbers in listing["handles"].items()}
    return msgspec.json.encode(raw)


def restore(data: bytes) -> Evidence:
    """Return the evidence that `save` made `data` of; raises `msgspec.ValidationError` for anything else."""
    raw = msgspec.json.decode(data)
    for listing in raw["listings"]:
        listing["handles"] = {tuple(key.split(_BETWEEN)): numbers for key, numbers in listing["handles"].items()}
    names = {ip_address(address): name for address, name in raw["names"].items()}  # its hooks leave keys alone
    return replace(msgspec.convert(raw, Evidence, dec_hook=decode), names=names)
