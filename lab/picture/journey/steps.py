"""The steps of a journey as a list that stands beside its picture: every step, with its rule's whole text."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from lab import words
from lab.model.journey import Journey, Leg, Moment, Step
from lab.picture.journey import told
from lab.picture.journey.stations import side_of
from lab.picture.svg import Element, element
from lab.report.journey_sentence import MOMENTS, ending, odds


def steps(journey: Journey, lit: dict[int, str]) -> Element:
    """Return all steps, by leg and place; `lit`: the key of the picture's cell that each step belongs to."""
    first = 0
    legs = []
    for number, leg in enumerate(journey.legs):
        legs.append(_leg(journey, number, leg, range(first, first + len(leg.steps)), lit))
        first += len(leg.steps)
    return element("div", *legs, class_="steps")


def _leg(journey: Journey, number: int, leg: Leg, indexes: range, lit: dict[int, str]) -> Element:
    numbers = told.numbers(journey)
    children: list[Element | str] = [
        element(
            "h2", element("span", class_=f"swatch swatch-{told.ROLES[leg.role]}"), told.caption(leg), id=f"leg-{number}"
        )
    ]
    for place, own in groupby(indexes, key=lambda index: journey.steps[index].node):
        rows = (_step(journey, index, numbers.get(index, 0), lit.get(index, "")) for index in own)
        children += [element("h3", words.line(place)), element("ol", *rows)]
    colour = "red" if leg.end.kind != "delivered" else told.ROLES[leg.role]
    sure: list[Element | str] = [] if leg.end.observed else [" ", _tag("inferred", "muted")]
    children.append(element("p", ending(leg.end), *sure, class_=f"end colour-{colour}"))
    return element("section", *children, class_=f"leg of-{side_of(journey, leg)}", aria_labelledby=f"leg-{number}")


def _step(journey: Journey, index: int, number: int, cell: str) -> Element:
    step = journey.steps[index]
    where, hue = " ".join(_where(step)).rstrip(), told.ROLES[journey.legs[told.legs_of(journey)[index]].role]
    button = element(
        "button",
        str(number or "·"),
        type="button",
        class_=f"number number-{hue}" if number else "number",
        data_key=f"s{index}",
        aria_pressed="false",
        aria_label=f"{f'step {number}' if number else 'a step'}, {words.line(step.node)}: {where}",
    )
    return element(
        "li",
        button,
        element("div", *_told(journey, step)),
        class_="step" if number else "step passing",
        data_key=f"s{index}",
        data_of=f"s{index} {cell}".rstrip(),
    )


def _where(step: Step) -> tuple[str, str]:
    """Return at which place of the node a step was, and what is to be said beside that."""
    match step.kind:
        case "tap":
            return words.line(step.interface), "coming in" if step.direction == "in" else "going out"
        case "hook":
            sides = [f"{word} {name}" for word, name in (("in", step.interface), ("out", step.out_interface)) if name]
            return str(step.hook), words.line(", ".join(sides))
        case "bridge":
            ends = step.interface and step.out_interface
            return "bridge", words.line(f"from {step.interface} to {step.out_interface}") if ends else ""
        case "route" | "conntrack":
            return ("routing" if step.kind == "route" else "conntrack"), ""
        case _:
            return words.line(f"{step.table} {step.chain}"), f"rule {step.number}" if step.number else ""


def _told(journey: Journey, step: Step) -> Iterator[Element]:
    where, beside = _where(step)
    head: list[Element | str] = [element("span", where, class_="where")]
    if beside:
        head += [" ", element("span", beside, class_="beside")]
    for moment in step.moments:
        head += [" ", _tag(MOMENTS[moment] + _more(step, moment), told.HUES[moment])]
    if not step.observed:
        head += [" ", _tag("inferred", "muted")]
    yield element("p", *head)
    if step.rule:
        yield element("code", words.line(step.rule.text))
    if step.kind == "verdict":
        yield element("p", words.line(f"policy {step.verdict}" if step.verdict else "ended"))
    elif step.verdict and (target := step.verdict.partition(" ")[2]) and step.rule and target not in step.rule.text:
        yield element("p", words.line(step.verdict), class_="muted")  # from a map: the rule's text does not say it
    if step.text:
        yield element("p", words.line(step.text))
    yield from _packet(journey, step)


def _more(step: Step, moment: Moment) -> str:
    """Return what a moment's tag says beside its word."""
    if moment == "choose":
        return f": {words.line(step.endpoint)}, {odds(step)}".removesuffix(", ")
    if moment == "mark":
        return f": {told.mark(step.mark_before)} → {told.mark(step.mark_after)}"
    return f": {told.mark(step.mark_before)}" if moment == "mark-read" else ""


def _packet(journey: Journey, step: Step) -> Iterator[Element]:
    """Yield what the packet looked like, where it is seen, and what of it was rewritten."""
    if step.before != step.after:
        for at, text in enumerate(told.changed(step.before, step.after)):
            yield element("p", text, class_="packet new" if at % 2 else "packet old")
    elif step.kind == "tap":
        yield element("p", words.direction(step.before, journey.names).replace("->", "→"), class_="packet")


def _tag(text: str, colour: str) -> Element:
    return element("span", text, class_=f"tag colour-{colour}")
