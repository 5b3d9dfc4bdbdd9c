"""What `invoke` finds in this folder: all of Hairpin's tasks (they live in lab/cli, so that `hairpin` has them too)."""

import sys

# invoke forbids bytecode while it loads this file; compiling all of Hairpin anew would cost 0.2 s at every start.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

from lab.cli import mind_help, namespace  # noqa: E402 - it comes behind that

mind_help()

__all__ = ["namespace"]
