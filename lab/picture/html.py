"""A page: one file that needs nothing else, in which what belongs together is lit together."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from lab.picture.svg import Element, escaped, render
from lab.picture.theme import MONO, SANS, variables

LINKS = """
(() => {
  const root = document.documentElement;
  let pinned = null;
  const show = key => {
    root.classList.toggle("choosing", key !== null);
    for (const one of document.querySelectorAll("[aria-pressed]"))
      one.setAttribute("aria-pressed", String(one.dataset.key === pinned));
    for (const one of document.querySelectorAll("[data-of]"))
      one.classList.toggle("lit", key !== null && one.dataset.of.split(" ").includes(key));
  };
  const keyOf = event => event.target.closest?.("[data-key]")?.dataset.key ?? null;
  const hover = event => show(keyOf(event) ?? pinned);
  document.addEventListener("pointerover", hover);
  document.addEventListener("focusin", hover);
  document.addEventListener("focusout", () => show(pinned));
  document.addEventListener("click", event => {
    if (String(getSelection())) return;
    const key = keyOf(event);
    pinned = key === pinned ? null : key;
    show(pinned);
  });
  document.addEventListener("keydown", event => {
    const key = keyOf(event);
    if (event.key === "Escape") pinned = null;
    else if (key && event.target.localName !== "button" && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault(); // a space would scroll
      pinned = key === pinned ? null : key;
    } else return; // of a button, either key is a click
    show(pinned);
  });
})();
"""
"""Lights, while the pointer or the focus is on an element with a `data-key`, all whose `data-of` has that key among its
words, and dims the other ones that have a `data-of`. A click, Enter or the space bar keeps it so (`aria-pressed` where
there is one), Escape ends it."""

_CSS = f"""
body{{margin:0;padding:24px;background:var(--ground);color:var(--ink);font:14px/1.5 {SANS}}}
code,pre{{font-family:{MONO};font-size:12px}}
svg{{max-width:100%;height:auto}}
.hint{{color:var(--muted)}}
[data-key]{{cursor:pointer}}
[data-key]:focus-visible{{outline:2px solid var(--blue);outline-offset:2px}}
[data-of]{{transition:opacity .12s}}
.choosing [data-of]:not(.lit){{opacity:.16}}
"""


def page(title: str, *body: Element, css: str = "", script: str = LINKS) -> str:
    """Return a whole HTML document; `css` and `script` are the drawer's own, nothing from outside.

    No other style or script can be in it: its policy names theirs by hash (https://www.w3.org/TR/CSP3/).
    """
    style = f"\n{variables(':root')}{_CSS}{css}"
    styles = [style, *(text for one in body for text in _styles(one))]
    policy = f"default-src 'none'; style-src {_hashes(*styles)}; script-src {_hashes(script)}; base-uri 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        + "\n".join(render(one) for one in body)
        + f"\n<script>{script}</script>\n</body>\n</html>\n"
    )


def _hashes(*texts: str) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in dict.fromkeys(texts))
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def _styles(one: Element | str) -> Iterator[str]:
    """Yield the style sheets in an element: those of pictures."""
    if isinstance(one, str):
        return
    if one.tag == "style":
        yield "".join(child for child in one.children if isinstance(child, str))
    for child in one.children:
        yield from _styles(child)
