"""The looks and the behaviour of a journey's page, beyond those of every page."""

from __future__ import annotations

from lab.picture.theme import COLOURS, MONO

_COLOURS = "".join(
    f".colour-{name}{{color:var(--{name})}}\n.number-{name},.swatch-{name}{{background:var(--{name})}}\n"
    for name in ("muted", "blue", "green", "amber", "red", "violet")
    if name in COLOURS
)

CSS = f"""
*{{box-sizing:border-box}}
body{{padding:0 20px 20px;max-width:1720px;margin:0 auto;overflow-wrap:anywhere}}
h1{{font-size:22px;line-height:1.25;margin:20px 0 6px}}
h2{{font-size:15px;margin:0 0 8px}}
h3{{font-size:13px;margin:14px 0 4px;color:var(--muted)}}
p{{margin:0}}
.sentence{{font-size:16px;max-width:100ch}}
.muted{{color:var(--muted)}}
.controls{{display:flex;flex-wrap:wrap;gap:6px 28px;margin:14px 0}}
fieldset{{border:0;padding:0;margin:0;display:flex;flex-wrap:wrap;gap:4px 14px}}
legend{{float:left;padding:0;margin-right:14px;color:var(--muted)}}
label{{white-space:nowrap;cursor:pointer}}
input{{accent-color:var(--blue)}}
:focus-visible{{outline:2px solid var(--blue);outline-offset:2px}}
main{{display:grid;grid-template-columns:minmax(0,1fr) clamp(320px,30vw,520px);gap:20px;align-items:start}}
.picture-frame{{overflow-x:auto}}
.picture{{display:block;margin:0 auto}}
.list{{position:sticky;top:12px;max-height:calc(100vh - 24px);overflow-y:auto;scroll-behavior:smooth;
border:1px solid var(--line);border-radius:10px;padding:12px 14px;background:var(--surface)}}
.leg+.leg{{margin-top:26px}}
.leg ol{{list-style:none;margin:0;padding:0}}
.step{{display:grid;grid-template-columns:30px minmax(0,1fr);gap:8px;padding:4px 4px 4px 0;border-radius:6px}}
.number{{all:unset;box-sizing:border-box;width:26px;height:20px;border-radius:10px;text-align:center;font-size:11px;
line-height:20px;font-weight:600;cursor:pointer;color:var(--ground)}}
.number:focus-visible{{outline:2px solid var(--blue);outline-offset:2px}}
.passing .number{{color:var(--muted)}}
.where{{font-weight:600}}
.beside{{color:var(--muted)}}
.step code{{display:block;padding:3px 0}}
.packet{{font:12px/1.5 {MONO};color:var(--muted)}}
.packet.new{{color:var(--violet);font-weight:600}}
.tag{{font-size:12px;font-weight:600;white-space:normal}}
.swatch{{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:8px}}
.end{{margin-top:10px;font-weight:600}}
.entries{{margin-top:28px}}
.wide{{overflow-x:auto}}
table{{border-collapse:collapse;overflow-wrap:normal}}
th,td{{text-align:left;vertical-align:top;padding:5px 20px 5px 0;white-space:nowrap}}
tr{{border-bottom:1px solid var(--line)}}
th{{color:var(--muted);font-weight:600;font-size:12px}}
.step.lit{{background:var(--tint-blue);opacity:1}}
.choosing .step:not(.lit){{opacity:1}}
.choosing .picture [data-of]:not(.lit){{opacity:.4}}
.choosing .picture .cell:not(.lit){{opacity:1}}
.cell.lit rect{{stroke-width:4}}
body:has(#what-matters:checked) .passing{{display:none}}
body:has(#show-down:not(:checked)) .of-down:not(.of-up){{display:none}}
body:has(#show-up:not(:checked)) .of-up:not(.of-down){{display:none}}
{_COLOURS}
@media (max-width:1100px){{
main{{grid-template-columns:minmax(0,1fr)}}
.list{{position:static;max-height:none}}
}}
@media (max-width:640px){{body{{padding:0 12px 12px}}.picture{{min-width:620px}}}}
@media (prefers-reduced-motion:reduce){{*{{scroll-behavior:auto!important;transition:none!important}}}}
@media print{{
body{{padding:0}}
.controls{{display:none}}
main{{display:block}}
.list{{position:static;max-height:none;border:0;padding:14px 0;background:none}}
.picture{{max-height:250mm}}
.step,tr{{break-inside:avoid}}
h2,h3{{break-after:avoid}}
}}
"""

FOLLOW = """
(() => {
  const list = document.querySelector(".list");
  const follow = event => {
    const key = event.target.closest?.(".picture [data-key]")?.dataset.key;
    const step = key && list.querySelector(".step.lit:not(.passing), .step.lit");
    if (step) step.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("click", follow);
  document.addEventListener("focusin", follow);
  list.addEventListener("keydown", event => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || !event.target.matches(".number")) return;
    const all = [...list.querySelectorAll(".number")].filter(one => one.checkVisibility());
    const next = all[all.indexOf(event.target) + by];
    if (next) next.focus();
    event.preventDefault();
  });
})();
"""
"""Brings the steps of what is chosen in the picture into sight; the arrow keys go from step to step."""
