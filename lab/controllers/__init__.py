"""What the API server, the scheduler and the controllers do to a lab's objects before kube-proxy sees them."""

from __future__ import annotations

from lab.controllers.complete import assemble, complete
from lab.controllers.remarks import notes

__all__ = ["assemble", "complete", "notes"]
