"""Renders the figures as Markdown: every number on the page comes from the JSON beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.attacks.context import Record

Cells = Sequence[str]
MISSING = "Not measured yet: `make bench-attacks`."
_OURS = "hardset"


def between(page: str, name: str, text: str) -> str:
    """The page with the part between the markers of `name` replaced. Raises ValueError if the markers are missing."""
    start, end = f"<!-- attacks:{name} -->", f"<!-- /attacks:{name} -->"
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no {start} ... {end}; put both markers where the section belongs")
    return f"{before}{start}\n{text.strip()}\n{end}{after}"


def filled(page: str, figures: Record) -> str:
    """The page with every section filled for which there are figures."""
    for name, write in SECTIONS.items():
        section = figures.get(name)
        text = f"{machine(section['machine'])}\n\n{write(section['lines'])}" if section else MISSING
        page = between(page, name, text)
    return page


def machine(described: Record) -> str:
    """The machine in one paragraph."""
    versions = described["versions"]
    units = " ".join(described["vector_units"]) or "no vector units of note"
    where = described["accelerator"] or f"{described['cpu']}, {described['cores']} cores ({units})"
    libraries = ", ".join(f"{name} {versions[name]}" for name in _SHOWN if name in versions)
    quick = " **A quick run: few rows, one round; its figures mean nothing.**" if described.get("quick") else ""
    return (
        f"{where}; {described['threads']} threads for everyone; {libraries}; Python {versions['python']}. "
        f"Measured on {described['date']}, load {described['load_at_start']:.1f} before the start.{quick}"
    )


_SHOWN = ("hardset", "torch", "torchattacks", "foolbox", "ART", "adv-lib")


def speed(lines: Mapping[str, Record]) -> str:
    """Speed ratios, seconds, and the two limits."""
    timed = [line for line in lines.values() if line.get("ratios")]
    modes = list(dict.fromkeys(mode for line in timed for ratios in line["ratios"].values() for mode in ratios))
    ratios = [
        (
            _work(line),
            rival,
            *(_times(found.get(mode)) for mode in modes),
            *_against(line["at_least"], rival, found),
        )
        for line in timed
        for rival, found in line["ratios"].items()
    ]
    head = ("work", "against", *(mode.partition(", ")[2] for mode in modes), "at least", "met")
    parts = ["How many times faster, by medians of wall-clock time:", _table(head, ratios)]
    parts += _limits(lines)
    seconds = [
        (_work(line), name, f"{one['seconds']:.2f}", f"{one['cpu_seconds']:.2f}", str(len(one["rounds"])))
        for line in lines.values()
        for name, one in line.get("times", {}).items()
    ]
    parts += ["The times behind the ratios:"]
    parts += [_table(("work", "implementation", "seconds", "processor seconds", "rounds"), seconds)]
    networks = {mode: note for line in lines.values() for mode, note in line.get("networks", {}).items()}
    parts += [f"* hardset, {mode}: the search ran the model as: {note}" for mode, note in networks.items()]
    fell = [
        (_work(line), name, f"{share:.1f}") for line in lines.values() for name, share in line.get("robust", {}).items()
    ]
    if fell:
        parts += ["Robust accuracy in % after the timed runs, by the one judge; the engine's images as stored:"]
        parts += [_table(("work", "implementation", "robust accuracy"), fell)]
    return "\n\n".join(parts)


def _limits(lines: Mapping[str, Record]) -> list[str]:
    rows = []
    if "bare_loop" in lines:
        line = lines["bare_loop"]
        for mode, share in line["share_of_limit"].items():
            met = _met(share >= line["at_least"])
            rows.append((f"{_work(line)}, {mode}", f"{share:.3f}", f">= {line['at_least']}", met))
    if "queue" in lines:
        line = lines["queue"]
        for name, one in line["workloads"].items():
            work = f"{line['title']}: {name}, {one['rows']:,} rows, PGD-{one['steps']} to first success"
            for counted, key in (("", "over_minimum"), (", empty slots included", "slots_over_minimum")):
                met = _met(one[key] <= line["at_most"])
                rows.append((work + counted, f"{one[key]:.3f}", f"<= {line['at_most']}", met))
    return ["Against the limit:", _table(("work", "share", "wanted", "met"), rows)] if rows else []


def strength(lines: Mapping[str, Record]) -> str:
    """Robust accuracy in floats and as stored, then the ensembles and their cost."""
    single = [line for line in lines.values() if "points_above_best" in line]
    names = list(dict.fromkeys(name for line in single for name in line["figures"]))
    parts = ["Robust accuracy in % on float images, at equal steps and step size:"]
    shown = [name for name in names if name != _GRID]
    head = ("model", "eps", "attack", "rows", "clean", *shown, "above the best", "met")
    rows = []
    for line in single:
        above = line["points_above_best"]
        best = ("", "") if above is None else (f"{above:+.1f}", _met(above <= line["at_most"] + 1e-9))
        found = (_robust(line["figures"].get(name), "floats") for name in shown)
        rows.append((*_what(line), f"{line['clean']:.1f}", *found, *best))
    parts += [_table(head, rows)]
    parts += ["The same images stored as 8-bit pixels within the budget (floats rounded, then clamped into it):"]
    stored = [
        (*_what(line), *(_robust(line["figures"].get(name), "stored") for name in names)) for line in single
    ]  # fmt: skip
    parts += [_table(("model", "eps", "attack", "rows", *names), stored)]
    whole = [line for line in lines.values() if "points_above_best" not in line]
    if whole:
        parts += ["Ensembles, robust accuracy in %, and gradients and queries of a row that survives:"]
        head = ("model", "eps", "attack", "rows", "by", "floats", "stored", "gradients", "queries", "gradients in all")
        parts += [_table(head, [_ensemble(line, *item) for line in whole for item in line["figures"].items()])]
    return "\n\n".join(parts)


_GRID = "hardset, on the grid"


def _ensemble(line: Record, by: str, found: Record) -> Cells:
    costs = [found.get(f"{kind}_per_surviving_row") for kind in ("gradients", "queries")]
    shown = (f"{cost:,.0f}" if cost is not None else "" for cost in costs)
    total = f"{found['gradients']:,}" if "gradients" in found else ""
    return (*_what(line), by, _robust(found, "floats"), _robust(found, "stored"), *shown, total)


def stored(lines: Mapping[str, Record]) -> str:
    """Counts of stored rows that are adversarial and within budget."""
    rows = []
    for line in lines.values():
        if "model" not in line:
            continue
        ways = {"": line.get("stored"), ", rounded": line.get("nearest"), ", rounded and clamped": line.get("clamped")}
        for way, found in ways.items():
            if found:
                wanted, met = _wanted(line, found["fallen"]) if "stored" in line else ("", "")
                what = (line["title"] + way, line["model"], line["eps"], f"{line['rows']:,}")
                rows.append((*what, f"{found['fallen']:,}", f"{found['over_budget']:,}", wanted, met))
    head = ("attack", "model", "eps", "rows", "stored, adversarial, within budget", "over budget", "wanted", "met")
    notes = [f"> {text}" for line in lines.values() for text in line.get("warnings", ())]
    told = ["What the job with a budget below one level says before it starts:", *notes] if notes else []
    return "\n\n".join([_table(head, rows), *told])


def _wanted(line: Record, fallen: int) -> tuple[str, str]:
    if "at_most" in line:
        return f"<= {line['at_most']}", _met(fallen <= line["at_most"])
    if line["rows"] != line["of_rows"]:
        return f">= {line['at_least']} of {line['of_rows']:,}", ""
    return f">= {line['at_least']}", _met(fallen >= line["at_least"])


def _what(line: Record) -> tuple[str, str, str, str]:
    attack = line["attack"] if line["steps"] in (None, 1) else f"{line['attack']}-{line['steps']}"
    return line["model"], line["eps_pixels"], attack, f"{line['rows']:,}"


def _robust(found: Record | None, kind: str) -> str:
    if not found or kind not in found:
        return ""
    over = found[kind]["over_budget"]
    return f"{found[kind]['robust']:.1f}" + (f" ({over:g} over eps)" if over else "")


def _work(line: Record) -> str:
    return f"{line['title']}; {line['model']}, {line['rows']:,} rows"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f}x"


def _against(at_least: Mapping[str, float], rival: str, found: Mapping[str, float]) -> tuple[str, str]:
    least = at_least.get(rival)
    return ("", "") if least is None else (f"{least}x", _met(max(found.values()) >= least))


def _met(holds: bool) -> str:
    return "yes" if holds else "**no**"


def _table(head: Cells, rows: Iterable[Cells]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


SECTIONS: Mapping[str, Callable[[Mapping[str, Record]], str]] = {"speed": speed, "strength": strength, "stored": stored}
"""Renderer of each section, in page order."""
