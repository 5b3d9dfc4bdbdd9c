"""Labs for programs: build one, ask through it, change it, and hold the kernel to what is expected.

    from lab.api import up

    with up("clusterip", mode="nftables") as lab:
        assert lab.pod("client-a").curl("svc/web").pod in {"web-1", "web-2"}

Everything here does what the command of that name does (`up` is `lab.up`), and raises `LabError` where that ends with
exit status 2. docs/testing.md has it all with examples.
"""

from __future__ import annotations

# All that our children need inside a capsule is loaded here: one that is forked while another of the program's threads
# is amid an import would wait for that one's lock for ever.
import encodings.ascii  # noqa: F401 - see above

from lab.api.expecting import ExpectationError, Expected
from lab.api.handle import Lab, Settings, attach, unique, up
from lab.api.place import Place
from lab.ask import curl, traffic  # noqa: F401 - see above
from lab.errors import HostError, KernelError, LabError, TopologyError
from lab.kernel import foreign  # noqa: F401 - see above
from lab.kernel.command import Done
from lab.model.finding import Finding
from lab.model.flow import Flow
from lab.model.installed import Line
from lab.model.request import Reply
from lab.model.status import Status
from lab.standing import build, loaded  # noqa: F401 - see above
from lab.standing.sync import Drift

__all__ = [
    "Done",
    "Drift",
    "ExpectationError",
    "Expected",
    "Finding",
    "Flow",
    "HostError",
    "KernelError",
    "Lab",
    "LabError",
    "Line",
    "Place",
    "Reply",
    "Settings",
    "Status",
    "TopologyError",
    "attach",
    "unique",
    "up",
]
