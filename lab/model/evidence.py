"""What a lab shows of a request that did not go as expected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.model.address import IPAddress
    from lab.model.flow import Flow
    from lab.model.installed import Installed


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The flows of a request on every node, and the rules of the Service that was asked on the nodes concerned.

    `it`: what was expected. `service`: the Service's name, "" if none was asked. `names`: a name for each address.
    """

    it: str
    flows: tuple[Flow, ...]
    service: str = ""
    rules: tuple[Installed, ...] = ()
    names: Mapping[IPAddress, str] = field(default_factory=dict)
