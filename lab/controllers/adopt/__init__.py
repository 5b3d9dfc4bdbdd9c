"""A real cluster's objects as a lab's: what kubectl printed, with the Lab document that it lacks."""

from __future__ import annotations

from lab.controllers.adopt.adopt import HINT, Adopted, adopt, label
from lab.controllers.adopt.choose import LIMIT, Choice, choice_of

__all__ = ["HINT", "LIMIT", "Adopted", "Choice", "adopt", "choice_of", "label"]
