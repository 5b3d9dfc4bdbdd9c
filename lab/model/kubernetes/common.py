"""What all objects have, and the types of values that several have."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from lab.model.part import Part

Protocol = Literal["TCP", "UDP", "SCTP"]
HIGHEST_PORT = 65_535
Port = Annotated[int, Meta(ge=1, le=HIGHEST_PORT)]
OptionalPort = Annotated[int, Meta(ge=0, le=HIGHEST_PORT)]
Policy = Literal["Cluster", "Local"]
Distribution = Literal["PreferClose", "PreferSameZone", "PreferSameNode"]
Annotation = Annotated[str, Meta(max_length=256 * 1024)]  # kubectl keeps a whole object in one


class ObjectMeta(Part, frozen=True, kw_only=True):
    """Name, namespace and labels; an object with a `deletionTimestamp` is on its way out (a terminating pod)."""

    name: str
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, Annotation] = {}
    deletion_timestamp: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name: what tells objects of one kind apart."""
        return self.namespace, self.name
