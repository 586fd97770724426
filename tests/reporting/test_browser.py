"""The page in a real browser, where one is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hardset.pipeline.reporting.page import page
from tests.reporting.conftest import made
from tests.reporting.dataset import STRONG, WEAK, Setting

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium installed")

PHONE = """<!DOCTYPE html><title>?</title><iframe src="/report.html" style="border:0;width:390px;height:844px"></iframe>
<script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const out = [...page.querySelectorAll("body *")].filter(e => !e.closest(".wide, pre, .skip")
    && e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className);
  document.title = JSON.stringify([root.scrollWidth - root.clientWidth, out, page.images.length,
    [...page.images].every(i => i.complete && i.naturalWidth > 0), getComputedStyle(page.body).fontFamily]);
};
</script>"""


@dataclass
class Site:
    """A server of one report that remembers what was asked of it."""

    url: str
    pages: dict[str, str]
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            shared.requests.append(self.path)
            body = shared.pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shared = Site(f"http://127.0.0.1:{server.server_port}", {"/phone.html": PHONE})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield shared
    server.shutdown()
    server.server_close()


def browse(url: str, profile: Path) -> tuple[str, list[str]]:
    """The page's elements once it is loaded, and what it said on the console."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
    ]
    flags += ["--no-first-run", "--disable-dev-shm-usage", "--enable-logging=stderr", "--virtual-time-budget=3000"]
    command = [str(BROWSER), *flags, f"--user-data-dir={profile}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def test_it_loads_nothing_says_nothing_and_runs_nothing(site, tmp_path):
    evil = f"<img src='{site.url}/leak'><script src='{site.url}/leak.js'></script>"
    setting = Setting(
        rows=60,
        recipes=(STRONG, WEAK),
        classes=tuple(f"{evil}{n}" for n in range(10)),
        quarantine=({"stage": "read", "error_class": evil, "message": f"</pre></style>{evil}", "source_key": evil},),
    )
    site.pages["/report.html"] = page(made(str(tmp_path / "out"), setting).content)
    dom, console = browse(f"{site.url}/report.html", tmp_path / "profile")
    assert site.requests == ["/report.html"]
    assert console == []
    assert "<script" not in dom
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", dom) == [
        *("Recipes", "Examples", "Classes", "Margins", "Size of the changes", "Rows that are missing", "Provenance")
    ]


def test_the_policy_stops_what_escaping_would_miss(site, tmp_path, digits):
    harm = "<script>document.title = 'owned'</script><img src='/leak'><link rel=stylesheet href='/leak.css'>"
    site.pages["/report.html"] = page(digits.content).replace("</header>", f"</header>{harm}")
    dom, console = browse(f"{site.url}/report.html", tmp_path / "profile")
    assert site.requests == ["/report.html"]
    assert "owned</title>" not in dom
    assert len(console) >= 3, "every refusal is told"


def test_it_fits_a_phone_and_shows_its_images(site, tmp_path, digits):
    site.pages["/report.html"] = page(digits.content)
    dom, console = browse(f"{site.url}/phone.html", tmp_path / "profile")
    overflow, sticking_out, images, shown, font = re.search(
        r"<title>\[(\d+),(\[.*?\]),(\d+),(true|false),(.*?)\]</title>", dom
    ).groups()
    assert (int(overflow), sticking_out) == (0, "[]")
    assert (int(images), shown) == (120, "true")
    assert "system-ui" in font, "the style sheet is applied"
    assert console == []
