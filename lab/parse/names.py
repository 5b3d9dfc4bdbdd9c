"""Kubernetes' rules for names: None when good, else what is expected.

Source: staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go (v1.36).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253
PORT_NAME_LENGTH = 15

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


def label(name: str) -> str | None:
    """Judge an RFC 1123 label: namespaces, clients, labs, ports of a Service."""
    if len(name) <= LABEL_LENGTH and _LABEL.fullmatch(name):
        return None
    return f"at most {LABEL_LENGTH} lower-case letters, digits and '-', with no '-' at either end"


def service_name(name: str) -> str | None:
    """Judge an RFC 1035 label: Services."""
    if len(name) <= LABEL_LENGTH and _LABEL_1035.fullmatch(name):
        return None
    return f"at most {LABEL_LENGTH} lower-case letters, digits and '-', a letter first and no '-' at the end"


def subdomain(name: str) -> str | None:
    """Judge an RFC 1123 subdomain: nodes, pods, Deployments."""
    if len(name) <= SUBDOMAIN_LENGTH and _SUBDOMAIN.fullmatch(name):
        return None
    return f"at most {SUBDOMAIN_LENGTH} lower-case letters, digits, '-' and '.', a letter or digit at both ends"


def port_name(name: str) -> str | None:
    """Judge a container port's name (RFC 6335, section 5.1); the empty name is none."""
    good = len(name) <= PORT_NAME_LENGTH and _LABEL.fullmatch(name) and "--" not in name
    if not name or (good and not name.isdigit() and any(letter.isalpha() for letter in name)):
        return None
    return f"at most {PORT_NAME_LENGTH} lower-case letters, digits and '-', with a letter"


def service_port_name(name: str) -> str | None:
    """Judge the name of a Service's port; the empty name is none."""
    return label(name) if name else None


def label_key(key: str) -> str | None:
    """Judge a label's key: a name of at most 63 characters, with or without a domain and a '/' before it."""
    domain, slash, name = key.rpartition("/")
    if name and len(name) <= LABEL_LENGTH and _VALUE.fullmatch(name) and (not slash or subdomain(domain) is None):
        return None
    return "letters, digits, '-', '_' and '.', with or without a domain and a '/' before them"


def label_value(value: str) -> str | None:
    """Judge a label's value."""
    if len(value) <= LABEL_LENGTH and _VALUE.fullmatch(value):
        return None
    return f"at most {LABEL_LENGTH} letters, digits, '-', '_' and '.', a letter or digit at both ends"


BY_KIND: dict[str, Callable[[str], str | None]] = {
    "Lab": label,
    "Node": subdomain,
    "Pod": subdomain,
    "Deployment": subdomain,
    "Service": service_name,
    "EndpointSlice": subdomain,
    "ServiceCIDR": subdomain,
}
