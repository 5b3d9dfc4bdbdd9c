"""Pages as a browser shows them: what lights what, what is hidden, and whether everything can be read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.model.journey import Journey
from lab.picture.journey import html
from tests.browser.conftest import Probe
from tests.journeys import SEP_2, clusterip, drop, hairpin, nodeport, reject, untranslated

pytestmark = pytest.mark.browser

JOURNEYS: dict[str, Callable[[], Journey]] = {
    "clusterip": clusterip,
    "hairpin": hairpin,
    "nodeport": nodeport,
    "reject": reject,
    "drop": drop,
    "untranslated": untranslated,
}
LOOKS = [(dark, wide) for dark in (False, True) for wide in (1280, 500)]

HELPERS = """
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const lit = kind => all(`${kind}.lit`).map(one => one.dataset.key).sort();
const over = one => one.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
const press = (one, key) => one.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const click = one => one.dispatchEvent(new MouseEvent("click", { bubbles: true }));
const shown = one => one.getClientRects().length > 0; // checkVisibility() is wrong about a hidden <g>
const seen = selector => all(selector).filter(shown);
// A window that the system has not given the focus yet fires no event when an element gets it: then it is done here.
for (const kind of [HTMLElement.prototype, SVGElement.prototype])
  for (const [name, told] of [["focus", "focusin"], ["blur", "focusout"]]) {
    const own = kind[name];
    kind[name] = function () {
      own.call(this);
      if (!document.hasFocus()) this.dispatchEvent(new FocusEvent(told, { bubbles: true }));
    };
  }
"""

# The colour of each text, and of what it stands on: in a picture the last box drawn before it that is under its middle.
CONTRAST = """
const part = word => { const of = word / 255; return of <= 0.04045 ? of / 12.92 : ((of + 0.055) / 1.055) ** 2.4; };
const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
const light = ([red, green, blue]) => 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue);
const ratio = (one, other) => {
  const [more, less] = [light(one), light(other)].sort((a, b) => b - a);
  return (more + 0.05) / (less + 0.05);
};
const opaque = colour => colour !== "none" && (numbers(colour)[3] ?? 1) > 0.99;
const behind = one => {
  for (let at = one; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (opaque(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
const holds = (box, x, y) => box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
const drawn = all(".picture text, .picture rect").map(one => [one, one.getBoundingClientRect(), getComputedStyle(one)]);
const faint = [];
let measured = 0;
const judge = (text, colour, ground) => {
  measured += 1;
  const found = ratio(numbers(colour), numbers(ground));
  if (found < 4.5) faint.push(`${text.trim().slice(0, 40)}: ${colour} on ${ground} is ${found.toFixed(2)}`);
};
drawn.forEach(([one, box, style], at) => {
  if (one.tagName !== "text" || !shown(one)) return;
  const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  const under = drawn.slice(0, at).filter(([other, place, look]) =>
    other.tagName === "rect" && opaque(look.fill) && holds(place, x, y)).at(-1);
  judge(one.textContent, style.fill, under ? under[2].fill : behind(one));
});
for (const one of all("body *:not(svg, svg *, script, style)")) {
  const own = [...one.childNodes].filter(node => node.nodeType === 3).map(node => node.data).join("").trim();
  if (own && shown(one)) judge(own, getComputedStyle(one).color, behind(one));
}
"""

# Words over words, beyond the box that they stand in, beyond the picture; and whatever is wider than its place.
FIT = """
const spilt = [];
const texts = drawn.filter(([one]) => one.tagName === "text");
const boxes = drawn.filter(([one]) => one.tagName === "rect");
const canvas = document.querySelector(".picture").getBoundingClientRect();
const clear = 1; // pixel
texts.forEach(([one, box], at) => {
  const name = one.textContent;
  if (box.left < canvas.left - clear || box.right > canvas.right + clear) spilt.push(`${name} leaves the picture`);
  for (const [other, place] of texts.slice(at + 1)) {
    const across = Math.min(box.right, place.right) - Math.max(box.left, place.left);
    const down = Math.min(box.bottom, place.bottom) - Math.max(box.top, place.top);
    const near = Math.min(box.height, place.height) * 0.4; // lines of one text: their boxes have room for accents
    if (across > clear && down > near) spilt.push(`${name} is over ${other.textContent}`);
  }
  const inner = boxes.filter(([, place]) => holds(place, (box.left + box.right) / 2, (box.top + box.bottom) / 2))
    .sort(([, one], [, other]) => one.width * one.height - other.width * other.height)[0];
  const own = inner ? inner[1] : canvas;
  if (box.left < own.left - clear || box.right > own.right + clear) spilt.push(`${name} leaves its box`);
});
for (const one of all("header *, .list, .list *, .controls, .controls *"))
  if (shown(one) && one.clientWidth && one.scrollWidth > one.clientWidth + clear)
    spilt.push(`${one.tagName} ${one.textContent.slice(0, 40)} is wider than its place`);
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) spilt.push("the page is wider than the window");
"""


@pytest.mark.parametrize("name", JOURNEYS)
@pytest.mark.parametrize(("dark", "wide"), LOOKS, ids=["light", "light-narrow", "dark", "dark-narrow"])
def test_all_words_can_be_read_and_none_leaves_its_place(probe: Probe, name: str, dark: bool, wide: int) -> None:
    script = HELPERS + 'document.querySelector("#all-steps").click();' + CONTRAST + FIT
    found = probe(html(JOURNEYS[name]()), script + "return [faint, spilt, measured];", dark=dark, wide=wide)
    assert found[:2] == [[], []]
    assert found[2] > 100


def test_dark_is_dark_and_light_is_light(probe: Probe) -> None:
    script = "return getComputedStyle(document.body).backgroundColor;"
    assert probe(html(clusterip()), script) == "rgb(255, 255, 255)"
    assert probe(html(clusterip()), script, dark=True) == "rgb(15, 20, 27)"


def test_a_step_lights_its_place_in_the_picture_and_a_place_its_steps(probe: Probe) -> None:
    script = """
    const tried = one => { over(one); return [one.dataset.key, lit(".cell"), lit(".step")]; };
    const steps = all(".step").map(tried), cells = all(".cell[data-key]").map(tried);
    over(document.querySelector("h1"));
    return [steps, cells, lit("*")];
    """
    journey = hairpin()
    steps, cells, after = probe(html(journey), HELPERS + script)
    assert [key for key, _, _ in steps] == [f"s{index}" for index in range(len(journey.steps))]
    owner = {step: cell for cell, _, own in cells for step in own}
    assert all(own == [key] and places == [owner[key]] for key, places, own in steps)
    assert all(places == [key] and own for key, places, own in cells)
    assert sorted(step for _, _, own in cells for step in own) == sorted(key for key, _, _ in steps)
    assert after == []


def test_a_translation_that_is_called_out_is_lit_with_its_rule(probe: Probe) -> None:
    index = next(at for at, step in enumerate(clusterip().steps) if "dnat" in step.moments)
    script = f"""
    over(document.querySelector('.step[data-key="s{index}"]'));
    return all(".callout .lit").map(one => one.textContent.trim());
    """
    said = probe(html(clusterip()), HELPERS + script)
    assert [line.split()[-1] for line in said] == ["DNAT", "10.96.0.10:80", "10.244.2.2:8080", SEP_2]


def test_a_click_keeps_the_light_until_escape(probe: Probe) -> None:
    script = """
    const cell = all(".cell[data-key]")[3], other = all(".cell[data-key]")[5], out = [];
    click(cell); over(document.querySelector("h1"));
    out.push(lit(".cell").length, cell.getAttribute("aria-pressed"));
    over(other); out.push(lit(".cell")[0] === other.dataset.key);
    over(document.querySelector("h1")); out.push(lit(".cell")[0] === cell.dataset.key);
    press(document.body, "Escape"); out.push(lit("*").length, cell.getAttribute("aria-pressed"));
    return out;
    """
    assert probe(html(clusterip()), HELPERS + script) == [1, "true", True, True, 0, "false"]


def test_all_of_it_works_without_a_mouse(probe: Probe) -> None:
    script = """
    const out = [], buttons = all(".step:not(.passing) .number"), cell = all(".cell[data-key]")[2];
    buttons[0].focus(); out.push(lit(".step"));
    press(buttons[0], "ArrowDown"); out.push(document.activeElement === buttons[1], lit(".step").length);
    press(buttons[1], "ArrowUp"); out.push(document.activeElement === buttons[0]);
    cell.focus(); out.push(lit(".cell").join() === cell.dataset.key);
    press(cell, "Enter"); cell.blur(); out.push(lit(".cell").join() === cell.dataset.key);
    press(document.body, "Escape"); out.push(lit(".cell").length);
    press(cell, " "); cell.blur(); out.push(lit(".cell").join() === cell.dataset.key);
    return out;
    """
    assert probe(html(clusterip()), HELPERS + script) == [["s0"], True, 1, True, True, True, 0, True]


def test_every_place_and_every_step_says_what_it_is_to_who_cannot_see_it(probe: Probe) -> None:
    script = """
    const named = [...all(".cell[data-key]"), ...all(".number")];
    return [named.length, named.filter(one => !/^(step \\d+|a step), |: /.test(one.getAttribute("aria-label"))).length,
      named.filter(one => one.tabIndex !== 0).length, document.documentElement.lang, all("h1").length,
      document.querySelector(".picture").getAttribute("aria-label")];
    """
    journey = clusterip()
    count, unnamed, unreachable, language, titles, label = probe(html(journey), HELPERS + script)
    assert count > len(journey.steps)
    assert (unnamed, unreachable, language, titles) == (0, 0, "en", 1)
    assert label == "The way of client-a → svc/web"


def test_what_matters_is_shown_first_and_all_of_it_when_asked_for(probe: Probe) -> None:
    script = """
    const before = seen(".step").length;
    document.querySelector("#all-steps").click();
    const after = seen(".step").length;
    document.querySelector("#what-matters").click();
    return [before, after, seen(".step").length];
    """
    journey = clusterip()
    told = sum(step.matters for step in journey.steps)
    assert probe(html(journey), HELPERS + script) == [told, len(journey.steps), told]


def test_request_and_reply_can_be_hidden_one_without_the_other(probe: Probe) -> None:
    script = """
    const count = () => [seen(".of-down").length, seen(".of-up").length, seen("section.leg").length];
    const out = [count()];
    for (const id of ["show-up", "show-down", "show-up"]) { document.getElementById(id).click(); out.push(count()); }
    return out;
    """
    both, down, neither, up = probe(html(clusterip()), HELPERS + script)
    assert both[2] == 2
    assert down == [both[0], 0, 1]
    assert neither == [0, 0, 0]
    assert up == [0, both[1], 1]


def test_words_can_be_selected(probe: Probe) -> None:
    script = """
    const chosen = [document.querySelector(".step code"), document.querySelector(".picture text.code")].map(one => {
      getSelection().selectAllChildren(one);
      return String(getSelection()) === one.textContent && getComputedStyle(one).userSelect !== "none";
    });
    return chosen;
    """
    assert probe(html(clusterip()), HELPERS + script) == [True, True]


def test_hostile_names_are_words_and_nothing_runs(probe: Probe) -> None:
    from dataclasses import replace  # noqa: PLC0415 - here only

    evil = '</script><script>complaints.push("ran")</script><img src=x onerror=complaints.push("img")>"\'&'
    journey = replace(clusterip(), asker=evil, goal=evil, notes=(evil,))
    script = 'return [document.querySelector("h1").textContent, document.title, all("img").length];'
    assert probe(html(journey), HELPERS + script) == [f"{evil} → {evil}", f"{evil} → {evil}", 0]
