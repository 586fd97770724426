"""The report of an evaluation and of rounds says what the records say, to everyone, and needs nothing else."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

from hardset.jobs.api.reports import write_report
from hardset.pipeline.evaluation.stored import read_examples
from hardset.pipeline.hardening.home import Home
from hardset.pipeline.reporting.evaluation_content import EvaluationContent
from hardset.pipeline.reporting.evaluation_page import evaluation_page
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.records.evaluation import Finding
from hardset.schemas.records.hardening import Figures, Hardening, LoopStart, Round, Score, StoredWeights
from tests.reporting.test_browser import BROWSER, browse, site  # noqa: F401 - a fixture

CSS = files("hardset.pipeline.reporting").joinpath("page.css").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(finished) -> str:
    out, _, outcome = finished
    doubt = Finding(kind="static_shard", model="trained", text="<b>a cause</b>; a remedy")
    record = outcome.record.model_copy(update={"warnings": (doubt,)})
    return evaluation_page(EvaluationContent(record, read_examples(Folder(str(out)))))


class Outline(HTMLParser):
    """Ids, headings, labels and images of a page, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_it_says_what_the_record_says(html, finished):
    record, words = finished[2].record, Outline(html).words.replace("\N{NO-BREAK SPACE}", " ")
    for model in record.models:
        for share in (model.clean, model.robust):
            value = 100 * share.value
            shown = f"{value:.0f}" if value in (0, 100) else f"{value:.1f}"
            assert f"{shown} % {100 * share.low:.1f} to {100 * share.high:.1f}" in words
        assert model.model_id in words
    assert record.evaluation_id in words
    assert record.rows.sha256 in words
    assert "<b>a cause</b>." in words, "escaped, as everything is"
    assert "What to do: A remedy." in words


def test_screen_readers_and_keyboards_find_their_way(html):
    outline = Outline(html)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in outline.all("a")]
    assert all(link[1:] in ids for link in links)
    assert all(image["alt"] for image in outline.all("img"))
    for svg in outline.all("svg"):
        assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and svg["aria-label"])
    wide = [a for _, a in outline.tags if a.get("class") == "wide"]
    assert wide
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in wide)
    assert all(a.get("scope") in ("row", "col") for a in outline.all("th"))
    assert len(outline.all("details")) == len(outline.all("summary")) >= 2
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_it_needs_nothing_else_and_stays_light(html):
    assert len(html) < 5_000_000
    assert html.count("<script") == 1
    assert "style=" not in html, "the policy would refuse it"
    assert not re.search(r'(src|href)="(?!data:|#)', html)


def test_every_row_to_look_at_tells_its_lineage(html, finished):
    examples = read_examples(Folder(str(finished[0])))
    assert 8 <= len(examples) <= 2 * 2 * 8
    assert Outline(html).words.count("Lineage") == len(examples)
    for one in examples:
        assert one.source_key in html
        assert (one.clean != one.attacked).any() or one.pred == one.label


def colours(dark: bool) -> dict[str, str]:
    """The custom properties of the style sheet."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, flags=re.DOTALL)
    text = blocks[0] + (blocks[1] if dark else "")
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", text))


def mixed(one: str, other: str, share: float) -> tuple[float, ...]:
    parts = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (one, other)]
    return tuple(share * a + (1 - share) * b for a, b in zip(*parts, strict=True))


def contrast(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """WCAG 2.2, relative luminance."""

    def luminance(colour):
        linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dim = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_curves_stand_out(dark):
    named = colours(dark)
    ground = mixed(named["ground"], named["ground"], 1)
    for text in ("ink", "soft", "accent", "fallen", "held"):
        assert contrast(mixed(named[text], named[text], 1), ground) >= 4.5, text
    for number in range(6):
        series = named[f"series-{number}"]
        assert contrast(mixed(series, series, 1), ground) >= 3, number
    shades = re.findall(r"heat-(\d+) \{ background: color-mix\(in srgb, var\(--(\w+)\) (\d+)%, var\(--ground\)\)", CSS)
    assert len(shades) == 22
    for _, colour, percent in shades:
        shade = mixed(named[colour], named["ground"], int(percent) / 100)
        assert contrast(mixed(named["ink"], named["ink"], 1), shade) >= 4.5


# Rounds of hardening


def score(rows: int) -> Score:
    return Score(rows=rows, of=100)


def figures(clean: int, robust: int) -> Figures:
    return Figures(clean=score(clean), robust=score(robust), attacks={"pgd": score(robust)}, gradients=10)


@pytest.fixture
def hardened(tmp_path) -> Path:
    """Records of a loop as they are written: three rounds, the second one best."""
    home = Home(Folder(str(tmp_path / "out")), "loop")
    weights = StoredWeights(path="w", sha256="0" * 64)
    home.keep(LoopStart(loop_id="loop", weights=weights, validation=figures(96, 12)))
    for number, robust in ((1, 30), (2, 55), (3, 50)):
        home.keep(
            Round(
                loop_id="loop", number=number, model_sha256="0" * 64, run_id=None, rows={"adversarial": 9},
                weights=weights, state=weights, epochs=number, loss=0.5, training_accuracy=0.9,
                validation=figures(97, robust), shard=score(80), training_gradients=1000, rows_made=100, seconds=2.0,
                started="2026-01-01", finished="2026-01-01",
            )
        )  # fmt: skip
    home.keep(
        Hardening(
            loop_id="loop", job={"name": "harden digits"}, ended_by="rounds", rounds=3, best=2, last=3,
            weights=weights, start=weights, before=figures(96, 11), after=figures(97, 54), judged_on="test",
            gradients=4000, warnings=("a warning; a remedy",), environment={}, finished="2026-01-01",
        )
    )  # fmt: skip
    return tmp_path / "out"


def test_rounds_are_shown_with_what_came_of_them(hardened):
    place = write_report(str(hardened))
    assert place == f"{hardened}/report.html"
    outline = Outline(Path(place).read_text(encoding="utf-8"))
    words = outline.words.replace("\N{NO-BREAK SPACE}", " ")
    assert "54.0 % 44.3 to 63.4" in words, "Wilson's interval of 54 in 100"
    assert "round 2 of 3" in words
    assert "a warning; a remedy" in words
    assert re.search(r"2kept97.0 %55.0 %80.0 %", words)
    assert [a["aria-label"] for a in outline.all("svg") if a.get("role") == "img"] == [
        "Curves of Accuracy by round, validation rows; their figures are in the table that follows"
    ]


def test_a_folder_with_several_things_shows_them_all(hardened, finished, small_dataset, tmp_path):
    everything = tmp_path / "all"
    shutil.copytree(small_dataset, everything)
    shutil.copytree(hardened, everything, dirs_exist_ok=True)
    shutil.copytree(finished[0], everything, dirs_exist_ok=True)
    outline = Outline(Path(write_report(str(everything))).read_text(encoding="utf-8"))
    headings = re.findall(r"Hardening|Evaluation: Robustness|Recipes", outline.words)
    assert {"Hardening", "Evaluation: Robustness", "Recipes"} <= set(headings)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_nothing_to_show_is_one_sentence(tmp_path):
    with pytest.raises(JobError, match="no finished run"):
        write_report(str(tmp_path))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium installed")
def test_a_browser_shows_it_on_a_phone_and_loads_nothing(html, site, tmp_path):  # noqa: F811
    site.pages["/report.html"] = html
    dom, console = browse(f"{site.url}/phone.html", tmp_path / "profile")
    overflow, sticking_out, shown = re.search(r"<title>\[(\d+),(\[.*?\]),\d+,(true|false),.*?\]</title>", dom).groups()
    assert (int(overflow), sticking_out, shown) == (0, "[]", "true")
    assert console == []
    assert set(site.requests) - {"/favicon.ico"} == {"/phone.html", "/report.html"}, "the icon is the frame's"
