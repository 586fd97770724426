"""The page: whole, escaped, self-contained, readable for all."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest

from hardset.pipeline.reporting.content import Content
from hardset.pipeline.reporting.markup import element, text
from hardset.pipeline.reporting.page import page
from hardset.pipeline.reporting.wording import amount, percent, public_text, recipe_details, recipe_title
from hardset.pipeline.statistics.recipe_statistics import RowCounts
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.job.recipes import Attack
from tests.reporting.conftest import EVIL, SECRET, content_of, made
from tests.reporting.dataset import STRONG, Setting

VOID = {"meta", "link", "img", "br"}


class Outline(HTMLParser):
    """The elements of a page, checked for balance on the way."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self):
        return " ".join(data for parent, data in self.texts if parent not in ("style", "script", "title"))


@pytest.fixture(scope="module")
def html(digits):
    return page(digits.content)


@pytest.fixture(scope="module")
def outline(html):
    return Outline(html)


def test_the_same_dataset_gives_the_same_page(digits, html):
    assert page(content_of(digits.folder, digits.manifest)) == html


def test_nothing_is_loaded_from_elsewhere(html, outline):
    allowed = {"html", "head", "meta", "title", "style", "link", "body", "a", "div", "header", "main", "footer", "nav"}
    allowed |= {"section", "h1", "h2", "h3", "p", "span", "strong", "code", "pre", "time", "ul", "li", "dl", "dt", "dd"}
    allowed |= {"table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img", "br", "details"}
    allowed |= {"summary", "svg", "rect", "line", "text", "script", "form", "label", "select", "option"}
    assert {name for name, _ in outline.elements} <= allowed
    for name, attributes in outline.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
        for key in ("src", "href", "srcset", "action", "data"):
            if key in attributes:
                assert re.match(r"data:(image/(png|webp);base64,|,$)|#\w+$", attributes[key]), (name, attributes)
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_the_page_and_nothing_else(html, outline):
    (policy,) = [a["content"] for a in outline.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    style, script = (re.search(f"<{name}>(.*?)</{name}>", html, re.S).group(1) for name in ("style", "script"))
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in (style, script)]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{hashes[0]}'",
        "script-src": f"'sha256-{hashes[1]}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_screen_readers_and_keyboards_find_their_way(outline):
    headings = [int(name[1]) for name, _ in outline.elements if re.fullmatch("h[1-6]", name)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert all(attributes.get("alt") for attributes in outline.all("img"))
    assert len(outline.all("caption")) == len(outline.all("table")) > 2
    assert all(attributes["scope"] in ("row", "col") for attributes in outline.all("th"))
    for attributes in outline.all("svg"):
        assert attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in outline.all("a")]
    assert links[0] == "#main"
    assert {link[1:] for link in links} <= set(ids)
    assert outline.all("html")[0]["lang"] == "en"


def test_the_page_tells_what_a_reader_needs(digits, outline):
    words = outline.words()
    manifest = digits.manifest
    totals = manifest.totals
    for needed in (
        manifest.run_id,
        "digits-nightly",
        manifest.models["victim"],
        *manifest.recipes,
        f"{totals.rows_out:,}",
        percent(totals.success / totals.attacked),
        "python 3.11.2",
        '"seed": 7',
        "8 x 8 pixels, grey",
        "2 min 16 s",
    ):
        assert needed in words, needed
    shown = [example for examples in digits.content.examples.values() for example in examples]
    images = {"adversarial": 3, "augmented": 2, "generated": 1}
    assert len(outline.all("img")) == sum(images[example.row["kind"]] for example in shown) <= 200


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast(theme):
    style = files("hardset.pipeline.reporting").joinpath("page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[theme == "dark"]))

    def luminance(colour):
        channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    def contrast(one, other):
        low, high = sorted((luminance(colours[one]), luminance(colours[other])))
        return (high + 0.05) / (low + 0.05)

    for ink in ("ink", "soft", "accent", "fallen", "held"):
        assert contrast(ink, "ground") >= 4.5, f"{ink} wants 4.5:1 (WCAG 2.2, 1.4.3)"
    assert contrast("ink", "raised") >= 4.5
    assert contrast("soft", "raised") >= 4.5
    assert contrast("ink", "warn-ground") >= 4.5


def test_what_users_name_is_escaped_and_secrets_are_left_out(hostile):
    html = page(hostile.content)
    outline = Outline(html)
    assert EVIL in outline.words()
    assert len(outline.all("script")) == 1
    assert SECRET not in html
    assert not any("onerror" in attributes for _, attributes in outline.elements)
    assert "https://host/a.png" in html
    assert "s3://bucket/x" in html


def test_an_incomplete_run_says_so(hostile):
    outline = Outline(page(hostile.content))
    words = outline.words()
    assert "incomplete" in words
    assert "Rows in quarantine, by reason" in words
    assert "Shards that failed" in words
    assert [a for a in outline.all("li") if a.get("class") == "warning"]


def test_a_thousand_classes_stay_a_light_page(digits):
    content = digits.content
    names = tuple(f"class {n}, {'long name ' * 20}" for n in range(1000))
    recipes = tuple(
        replace(
            recipe,
            by_class=tuple(RowCounts(1300, 1200, n % 1200, 1300, 1200, 1300, 1200) for n in range(1001)),
            confusion={(n, m): 1 + n * m % 97 for n in range(1000) for m in range(n % 7, 1000, 37)}
            if recipe.confusion
            else {},
        )
        for recipe in content.statistics.recipes
    )
    manifest = digits.manifest.model_copy(update={"classes": names})
    rng = np.random.default_rng(0)
    large = {
        name: [
            replace(e, made=rng.integers(0, 256, (224, 224, 3), np.uint8), clean=np.zeros((224, 224, 3), np.uint8))
            for e in shown[:4]
        ]
        for name, shown in content.examples.items()
    }
    html = page(Content(replace(content.statistics, manifest=manifest, recipes=recipes), large))
    Outline(html)
    assert len(html.encode()) < 5_000_000
    assert html.count("<img") <= 200
    assert html.count('<th scope="row">class ') >= 1000, "all are there, folded after ten"
    assert 'class="sortable" data-fold="10"' in html


def test_an_empty_run_is_a_page_too(tmp_path):
    dataset = made(str(tmp_path / "out"), Setting(recipes=({**STRONG, "eps": "0"},), rows=20, keep="success"))
    assert dataset.manifest.totals.rows_out == 0
    outline = Outline(page(dataset.content))
    assert "20 resisting rows left out" in outline.words()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:secret@bucket/a.png?sig=x#y", "s3://bucket/a.png"),
        ("see https://u@h/p?q, then", "see https://h/p then"),
        ("a plain text? yes#1", "a plain text? yes#1"),
        ("x\x1b[31m\u202egnp.exe", "x\ufffd[31m\ufffdgnp.exe"),
    ],
)
def test_public_text(url, shown):
    assert public_text(url) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(None, "\u2013"), (0, "0"), (1, "100"), (0.931, "93.1"), (1e-5, "< 0.1"), (0.99999, "> 99.9"), (0.9994, "99.9")],
)
def test_shares_are_never_rounded_to_all_or_nothing(share, shown):
    assert percent(share) == (shown if share is None else f"{shown}\u00a0%")


@pytest.mark.parametrize(
    ("value", "norm", "shown"),
    [
        ("8/255", "linf", "8/255"),
        ("16/510", "linf", "8/255"),
        ("3/100", "linf", "0.03"),
        ({"min": "2/255", "max": "1/10"}, "linf", "2/255 to 0.1"),
        ("4/5", "l2", "0.8"),
        (["2/255"], "linf", "2/255"),
        (["0", "2/255", "1/10"], "linf", "0, 2/255 and 0.1"),
        ([f"{n}/255" for n in range(1, 9)], "linf", "8 budgets from 1/255 to 8/255"),
    ],
)
def test_amounts(value, norm, shown):
    assert amount(value, norm) == shown


@pytest.mark.parametrize(
    ("settings", "title", "details"),
    [
        ({"name": "standard", "eps": "8/255"}, "STANDARD, Linf, eps 8/255", "stops at success"),
        (
            {"name": "pgd", "norm": "l1", "eps": ["6", "12"], "eot": 20, "objective": "margin", "random_start": False},
            "PGD, L1, eps 6 and 12",
            "10 steps, objective margin, 20 passes for each gradient, spends all steps",
        ),
        (
            {"name": "apgd_ce", "eps": "1", "region": {"height": 3, "width": 5}, "stop": {"after_success": 7}},
            "APGD_CE, Linf, eps 1",
            "100 steps of 1, 1 random start, only in 3 x 5 pixels, stops 7 steps after success",
        ),
    ],
)
def test_a_recipe_is_said_in_words(settings, title, details):
    text = Attack(**settings).resolved().model_dump(mode="json")
    assert (recipe_title(text), recipe_details(text)) == (title, details)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_can_be_told_with_and_without_its_defaults(name):
    for norm in ATTACKS[name].norms:
        eps = "8" if norm == "l0" else "8/255"
        attack = Attack(name=name, norm=norm, eps=eps)
        for told in (attack, attack.resolved()):
            text = told.model_dump(mode="json")
            assert f"eps {amount(eps, norm)}" in recipe_title(text)
            assert "None" not in recipe_details(text)


def test_markup_is_escaped_by_construction():
    assert element("p", "<b>", title='"<', class_="a", hidden=True, lang=None) == (
        '<p title="&quot;&lt;" class="a" hidden>&lt;b&gt;</p>'
    )
    assert element("p", element("b", text("&")), [element("br"), 3]) == "<p><b>&amp;</b><br>3</p>"


def test_operations_with_ranges_are_told() -> None:
    ops = [{"name": "rotate", "degrees": {"min": -30.0, "max": 30.0}}, {"name": "gaussian_noise", "std": [0.1, 0.2]}]
    told = "rotate -30 to 30\u00b0; gaussian noise standard deviation 0.1 or 0.2"
    assert recipe_details({"kind": "augment", "ops": ops, "variants": 2}) == f"{told}; 2 variants per row"
    attack = {"kind": "attack", "name": "worst_of", "ops": ops, "tries": 16}
    assert recipe_details(attack) == f"{told}; 16 tries per row"
    assert recipe_title(attack) == "Worst of 16: rotate, gaussian noise"
