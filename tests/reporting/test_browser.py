"""The page in a real browser, where one is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.reporting.page import page
from hardset.pipeline.reporting.shell import Chapter, html_page
from hardset.pipeline.reporting.tables import Figure, TableColumn, table
from tests.reporting.conftest import made
from tests.reporting.dataset import STRONG, WEAK, Setting
from tests.reporting.test_sections import nights

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


def browse(url: str, profile: Path, *further: str, budget: int = 3000) -> tuple[str, list[str]]:
    """The page's elements once it is loaded, and what it said on the console. `further`: flags of Chromium.

    `budget`: milliseconds of virtual time for its scripts, which passes faster than real time where nothing is loaded.
    """
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
    ]
    flags += ["--no-first-run", "--disable-dev-shm-usage", "--enable-logging=stderr", f"--virtual-time-budget={budget}"]
    command = [str(BROWSER), *flags, *further, f"--user-data-dir={profile}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def drive(site: Site, profile: Path, html: str, script: str, width: int = 1200) -> Any:
    """What a script answers that runs beside the page, with `page` (its document) and `find` (a selector's elements).

    The page keeps its own policy, so that its script is held to it.
    """
    site.pages["/report.html"] = html
    site.pages["/drive.html"] = (
        f"<!DOCTYPE html><title>?</title><iframe src='/report.html' style='width:{width}px;height:900px'></iframe>"
        "<script>onload = async () => { const page = document.querySelector('iframe').contentDocument,"
        " find = selector => [...page.querySelectorAll(selector)];"
        f"document.title = JSON.stringify(await (async () => {{ {script} }})()); }};</script>"
    )
    # Images are decoded in real time, in which a busy machine may take longer than a budget of virtual time lasts.
    for budget in (3_000, 30_000, 300_000):
        dom, console = browse(f"{site.url}/drive.html", profile, budget=budget)
        assert console == []
        answer = unescape(re.search(r"<title>(.*?)</title>", dom).group(1))
        if answer != "?":
            return json.loads(answer)
    raise AssertionError("the script gave no answer")


def test_it_loads_nothing_says_nothing_and_runs_its_own_script_alone(site, tmp_path):
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
    assert dom.count("<script") == 1
    assert f"{site.url}/leak" in dom.replace("&lt;", ""), "shown as text"
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", dom) == [
        *("Recipes", "Examples", "Classes", "Confusion", "Margins", "Size of the changes", "Rows that are missing"),
        "Provenance",
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
    assert (int(images), shown) == (page(digits.content).count("<img"), "true")
    assert "system-ui" in font, "the style sheet is applied"
    assert console == []


def test_pictures_enlarge_and_are_walked_by_keys(site, tmp_path, digits):
    script = """
      const openers = find("button.row"), viewer = page.querySelector("dialog");
      const press = key => viewer.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
      const seen = () => [viewer.open && viewer.matches(":modal"), page.querySelector("#viewer-title").textContent,
        find("#viewer img").length, find("#viewer dt").some(one => one.textContent === "image_sha256"),
        find("#viewer img").every((image, at) => image.src === page.querySelectorAll("#viewer img")[at].src)];
      openers[0].focus(); openers[0].click();
      const answers = [seen()];
      await Promise.all(find("#viewer img").map(image => image.decode()));
      await new Promise(done => setTimeout(done, 50));
      const [image] = find("#viewer img"), style = getComputedStyle(image);
      answers.push([image.width % image.naturalWidth, image.width > 100, style.imageRendering]);
      press("ArrowRight"); answers.push(seen()); press("ArrowLeft"); press("ArrowLeft"); answers.push(seen());
      const over = new Promise(done => viewer.addEventListener("close", () => setTimeout(done), {once: true}));
      find("#viewer button").at(-1).click(); await over;
      answers.push([viewer.open, page.activeElement === openers.at(-1)]);
      return answers;
    """
    content = digits.content
    shown = [example.row for examples in content.examples.values() for example in examples]
    titles = [f"{row['label']} → {row['pred']}" for row in shown]
    first, size, second, last, closed = drive(site, tmp_path / "profile", page(content), script)
    assert first == [True, titles[0], 3, True, True]
    assert size == [0, True, "pixelated"], "whole multiples of the pixels, and no blur"
    assert second == [True, titles[1], 3, True, True]
    assert last == [True, titles[-1], 1, True, True], "from the first row back to the last"
    assert closed == [False, True], "the focus stays on the row that was looked at"


def test_rows_are_filtered_by_recipe_class_and_outcome(site, tmp_path, digits):
    script = """
      const answers = [], choose = (field, value) => {
        const one = page.querySelector(`[data-field=${field}]`);
        one.value = value; one.dispatchEvent(new Event("change", {bubbles: true}));
        answers.push([page.querySelector(".filters [role=status]").textContent,
          ...[".examples figure", ".gallery h3"].map(one => find(one).filter(one => one.offsetParent).length)]);
      };
      choose("outcome", "fooled"); choose("class", "3"); choose("recipe", "1"); choose("outcome", "");
      return answers;
    """
    content = digits.content
    rows = [(r.position, e.row) for r in content.statistics.recipes for e in content.examples[r.recipe_id]]
    fooled = [(at, row) for at, row in rows if row["kind"] == "adversarial" and row["success"]]
    threes = [(at, row) for at, row in fooled if row["label"] == 3]
    second = [(at, row) for at, row in threes if at == 1]
    either = [(at, row) for at, row in rows if at == 1 and row["label"] == 3]
    wanted = [
        [f"{len(s)} of {len(rows)} rows shown", len(s), len({at for at, _ in s})]
        for s in (fooled, threes, second, either)
    ]
    assert drive(site, tmp_path / "profile", page(content), script) == wanted
    assert 0 < len(either) <= len(threes) < len(fooled) < len(rows)


def test_tables_sort_by_any_column_and_fold_after_ten(site, tmp_path):
    columns = (TableColumn("Name"), TableColumn("Share", figures=True))
    values = [0.5, None, 0.25, *(n / 100 for n in range(60, 72))]
    rows = [
        [f"row {at}", Figure("none" if value is None else f"{value:.0%}", value)] for at, value in enumerate(values)
    ]
    wide = table("Shares", columns, rows, sortable=True, folds=True)
    chapter = Chapter("shares", "Shares", wide)
    html = html_page(title="t", heading="t", lead="", top=None, chapters=[chapter], version="")
    script = """
      const seen = () => find("tbody tr").filter(row => row.offsetParent).map(row => row.cells[0].textContent.slice(4));
      const sort = () => find("thead button").at(-1).click(), state = () => find("th").at(1).getAttribute("aria-sort");
      const answers = [seen()]; sort(); answers.push([state(), seen()]); sort(); answers.push([state(), seen()]);
      const fold = page.querySelector(".unfold"), said = [fold.textContent, fold.getAttribute("aria-expanded")];
      fold.click();
      answers.push([...said, fold.textContent, fold.getAttribute("aria-expanded"), seen()]);
      return answers;
    """
    first, rising, falling, unfolded = drive(site, tmp_path / "profile", html, script)
    order = sorted((at for at, value in enumerate(values) if value is not None), key=lambda at: values[at])
    assert first == [str(at) for at in range(10)]
    assert rising == ["ascending", [str(at) for at in order[:10]]]
    assert falling == ["descending", [str(at) for at in order[::-1][:10]]]
    assert unfolded == [
        *("Show all 15", "false", "Show 10 only", "true"),
        [*(str(at) for at in order[::-1]), "1"],
    ], "what has no value stays last"


CUT = """
  const text = one => [...one.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join("");
  for (const one of find("details")) one.open = true;
  await new Promise(done => setTimeout(done, 100));
  const wide = find(".wide").filter(one => one.scrollWidth > one.clientWidth + 1);
  const sign = one => getComputedStyle(one, "::before").content + getComputedStyle(one).maskImage;
  return {
    unsigned: wide.filter(one => !/Scroll sideways.*gradient/.test(sign(one))).map(one => one.ariaLabel),
    hidden: find("body *").filter(one => ["hidden", "clip"].includes(getComputedStyle(one).overflowX)
      && one.scrollWidth > one.clientWidth + 1 && !one.closest("svg, select")).map(one => one.className),
    ellipses: find("body *").filter(one => getComputedStyle(one).textOverflow === "ellipsis").length,
    labels: find("svg text").filter(one => {
      const box = one.getBBox(), view = one.ownerSVGElement.viewBox.baseVal;
      return box.x < -1 || box.x + box.width > view.width + 1 || box.y + box.height > view.height + 1;
    }).map(text),
    wide: wide.length,
  };
"""


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_cut_without_a_sign(site, tmp_path, digits, width):
    statistics = digits.content.statistics
    drawn = replace(
        statistics.recipes[0],
        text={**statistics.recipes[0].text, "eps": {"min": "8/255", "max": "200/255"}},
        by_part=((10, 4),) * 9,
    )
    whole = replace(
        digits.content,
        statistics=replace(statistics, recipes=(drawn, *statistics.recipes[1:])),
        history=nights(digits, 12),
    )
    found = drive(site, tmp_path / "profile", page(whole), CUT, width)
    assert found.pop("wide") >= (3 if width == 390 else 0), "there is something to tell"
    assert found == {"unsigned": [], "hidden": [], "ellipses": 0, "labels": []}
