"""A page in a real browser: any Chrome or Chromium, without a window; `scripts/test --browser` brings one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any, Protocol

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DEADLINE_S = 60

# Before anything of the page: whatever it complains of.
_LISTEN = """
window.complaints = [];
addEventListener("error", event => complaints.push(`error: ${event.message}`));
addEventListener("unhandledrejection", event => complaints.push(`rejected: ${event.reason}`));
document.addEventListener("securitypolicyviolation", event => complaints.push(`policy: ${event.violatedDirective}`));
for (const name of ["error", "warn"]) console[name] = (...words) => complaints.push(`console: ${words.join(" ")}`);
"""
# After all of it.
_REPORT = """
const told = document.createElement("pre");
let found;
try { found = (() => { BODY })(); } catch (error) { complaints.push(`probe: ${error.stack}`); }
told.id = "told";
told.textContent = JSON.stringify({ found, complaints });
document.body.append(told);
"""


class Probe(Protocol):
    """Opens a page, and returns what a script's `return` gives there; fails if the page complains of anything."""

    def __call__(self, page: str, script: str, *, dark: bool = False, wide: int = 1280) -> Any: ...


@pytest.fixture(scope="session")
def browser() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), "")
    if not found:
        pytest.fail(f"no browser: none of {', '.join(NAMES)} is in the PATH (apt-get install chromium)")
    return found


@pytest.fixture
def probe(browser: str, tmp_path: Path) -> Probe:
    def run(page: str, script: str, *, dark: bool = False, wide: int = 1280) -> Any:
        (tmp_path / "page.html").write_text(with_scripts(page, _LISTEN, _REPORT.replace("BODY", script)), "utf-8")
        argv = [
            browser,
            "--headless",
            "--no-sandbox",  # root has none, and the pages are ours
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--no-first-run",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={wide},900",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--dump-dom",
            f"file://{tmp_path / 'page.html'}",
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
        assert told, f"{browser} ended with {done.returncode}: {done.stderr[-2000:]}"
        answer = json.loads(unescape(told[1]))
        assert answer["complaints"] == []
        return answer["found"]

    return run


def with_scripts(page: str, first: str, last: str) -> str:
    """Return a page with two more scripts, which its policy is told to let run; it still forbids all others."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in (first, last)
    )
    told = page.replace("script-src ", f"script-src {hashes} ", 1)
    assert told != page, "the page has no policy for scripts"
    policy_end = told.index(">", told.index("Content-Security-Policy")) + 1
    told = f"{told[:policy_end]}<script>{first}</script>{told[policy_end:]}"
    return told.replace("</body>", f"<script>{last}</script></body>")
