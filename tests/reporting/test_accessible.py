"""No violation of axe-core, which `make accessible` fetches, on any page, in any state that a reader brings it into."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from hardset.pipeline.evaluation.stored import read_examples
from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.evaluation_content import EvaluationContent
from hardset.pipeline.reporting.evaluation_page import evaluation_page
from hardset.pipeline.reporting.page import page
from hardset.pipeline.storage.folder import Folder
from tests.evaluation.conftest import finished, models  # noqa: F401 - fixtures
from tests.reporting.test_browser import BROWSER, browse, site  # noqa: F401 - a fixture
from tests.reporting.test_sections import nights

AXE = "AXE_CORE"
"""Environment variable with the path of axe.min.js."""
pytestmark = pytest.mark.skipif(AXE not in os.environ, reason=f"{AXE} is not set: make accessible")

SCREENS = {
    "desktop": ("--window-size=1440,900", "--blink-settings=preferredColorScheme=1"),
    "dark": ("--window-size=1440,900", "--blink-settings=preferredColorScheme=0"),
    "phone": ("--window-size=390,844", "--blink-settings=preferredColorScheme=1"),
    "dark phone": ("--window-size=390,844", "--blink-settings=preferredColorScheme=0"),
}
STATES = {
    "as loaded": "",
    "all open": "for (const one of document.querySelectorAll('details')) one.open = true;"
    "for (const one of document.querySelectorAll('.unfold')) one.click();",
    "enlarged": "document.querySelector('button.row').click();",
}


@pytest.fixture(scope="module")
def pages(digits, hostile, finished) -> dict[str, str]:  # noqa: F811
    content = digits.content
    warned = digits.manifest.model_copy(update={"warnings": ("a cause; a remedy",)})
    whole = replace(content, statistics=replace(content.statistics, manifest=warned), history=nights(digits, 12))
    assert isinstance(whole, Content)
    record = finished[2].record
    return {
        "dataset": page(whole),
        "incomplete": page(hostile.content),
        "evaluation": evaluation_page(EvaluationContent(record, read_examples(Folder(str(finished[0]))))),
    }


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", ["dataset", "incomplete", "evaluation"])
def test_axe_finds_nothing(pages, site, tmp_path, name, screen):  # noqa: F811
    assert BROWSER is not None, "no Chromium installed"
    script = Path(os.environ[AXE]).read_text(encoding="utf-8")
    for state, brought in STATES.items():
        run = (
            f"{brought} axe.run().then(found => document.title = 'axe ' + JSON.stringify([innerWidth, "
            "matchMedia('(prefers-color-scheme: dark)').matches, found.passes.length, found.violations.map(v => "
            "[v.id, v.nodes.length, v.nodes[0].html.slice(0, 200), v.nodes[0].failureSummary])]))"
        )
        # The policy would refuse these scripts; that it does is tested elsewhere.
        open_page = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", pages[name])
        site.pages["/axe.html"] = open_page.replace(
            "</body>", f"<script>{script}</script><script>{run}</script></body>"
        )
        dom, _ = browse(f"{site.url}/axe.html", tmp_path / state.replace(" ", "-"), *SCREENS[screen])
        width, dark, passes, violations = json.loads(unescape(re.search(r"<title>axe (.*?)</title>", dom).group(1)))
        assert dark == ("dark" in screen)
        assert width <= 500 if "phone" in screen else width >= 1200
        assert passes > 15
        assert violations == [], state
