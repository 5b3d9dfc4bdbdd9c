"""A journey as data for programs, and the JSON Schema of that.

The schema lies in lab/schema/; a test compares, `scripts/update-goldens` writes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from lab.report import flows, predicted, replies
from lab.report.journey_document import Answer, Comparison, End, Ends, Entry, Journey, Leg, Step
from lab.report.journey_sentence import sentence

if TYPE_CHECKING:
    from lab.model import journey as seen
    from lab.model.flow import Tuple
    from lab.model.predicted import Compared
    from lab.words import Names

FILE = "journey.v1alpha1.json"


def data(journey: seen.Journey, compared: Compared | None = None) -> dict[str, Any]:
    """Return a journey, all of it, as JSON-able data of the published shape."""
    plain: dict[str, Any] = msgspec.to_builtins(document(journey, compared))
    return plain


def document(journey: seen.Journey, compared: Compared | None = None) -> Journey:
    """Return a journey in the published shape, with what was predicted of it, if that is given."""
    names, reply = journey.names, journey.reply
    return Journey(
        api_version="hairpin/v1alpha1",
        kind="Journey",
        asker=journey.asker,
        goal=journey.goal,
        service=journey.service,
        endpoint=journey.endpoint,
        protocol=journey.protocol,
        tool=journey.tool,
        original=_ends(journey.original, names),
        answered=reply.answered,
        reply=msgspec.convert(replies.data([reply], [], names)["replies"][0], Answer),
        legs=[_leg(leg, names) for leg in journey.legs],
        flows=msgspec.convert(flows.data(journey.flows, names), list[Entry]),
        notes=list(journey.notes),
        sentence=sentence(journey),
        comparison=msgspec.convert(predicted.data(compared), Comparison) if compared else None,
    )


def _ends(way: Tuple, names: Names) -> Ends:
    return msgspec.convert(flows.way_data(way, names), Ends)


def _leg(leg: seen.Leg, names: Names) -> Leg:
    steps = [_step(step, names) for step in leg.steps]
    return Leg(role=leg.role, packet=leg.packet, times=leg.times, steps=steps, end=_ending(leg.end))


def _ending(end: seen.End) -> End:
    return End(kind=end.kind, node=end.node, why=end.why, observed=end.observed)


def _step(step: seen.Step, names: Names) -> Step:
    return Step(
        node=step.node,
        kind=step.kind,
        observed=step.observed,
        matters=step.matters,
        before=_ends(step.before, names),
        after=_ends(step.after, names),
        mark_before=step.mark_before,
        mark_after=step.mark_after,
        hook=step.hook,
        interface=step.interface,
        out_interface=step.out_interface,
        direction=step.direction,
        ttl=step.ttl,
        family=step.family,
        table=step.table,
        tool=step.tool,
        chain=step.chain,
        rule=step.rule.text if step.rule else None,
        number=step.number,
        handle=step.handle,
        verdict=step.verdict,
        service=step.service,
        moments=list(step.moments),
        endpoint=step.endpoint,
        probability=None if step.share is None else float(step.share),
        share=None if step.share is None else str(step.share),
        time_ns=step.time_ns,
        text=step.text,
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the document."""
    (root,), parts = msgspec.json.schema_components([Journey], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A journey, as `invoke lab.trace --json` prints it",
        **root,
        "$defs": dict(sorted(parts.items())),
    }


def schema_text() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(schema(), indent=2) + "\n"
