"""The report of a dataset, an evaluation or rounds of hardening as one HTML file."""

from __future__ import annotations

from functools import partial

from hardset.pipeline.audit.trust import NO_TRUST, Trust, UntrustedError
from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.dataset.records.ledger import RUNS, Ledger, latest_manifest
from hardset.pipeline.evaluation.stored import read_evaluation, read_examples
from hardset.pipeline.hardening.home import LOOPS, Home
from hardset.pipeline.reporting.clean import clean_pixels
from hardset.pipeline.reporting.embedding import MOST_IMAGES
from hardset.pipeline.reporting.evaluation_content import EvaluationContent
from hardset.pipeline.reporting.evaluation_page import chapters, evaluation_page
from hardset.pipeline.reporting.example_grid import grid_png
from hardset.pipeline.reporting.examples import CleanPixels
from hardset.pipeline.reporting.hardening_page import LoopContent, hardening_chapters, hardening_page
from hardset.pipeline.reporting.page import page, read_content
from hardset.pipeline.storage.folder import Folder, place_of, public_name
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Manifest

NEWEST = "report.html"
"""Path, in the folder of an output, of the report of what it holds now."""


def clean_rows_of(folder: Folder, trust: Trust) -> CleanPixels:
    """Function that looks up the clean rows of a dataset where the operator, or a bundled source, gives them."""
    return clean_pixels(lambda run: Ledger(folder, run).plan(), partial(trust.source_of, folder=folder))


def why_no_clean_rows(folder: Folder, manifest: Manifest | None, trust: Trust) -> str | None:
    """Why no clean rows are shown; None where they are looked up."""
    plan = None if manifest is None else Ledger(folder, manifest.run_id).plan()
    try:
        if plan is not None:
            trust.source_of(plan, folder)
    except UntrustedError as refusal:
        return f"clean rows are not shown: {refusal}"
    return None


def write_report(
    out: str, *, to: str | None = None, png: str | None = None, run: str | None = None, trust: Trust = NO_TRUST
) -> str:
    """Writes the report of what `out` holds, and with `png` a picture of its run. Returns where the report lies.

    Without `to` it lies at `OUT/report.html`, and that of a run beside its manifest too; of a run that is not the
    newest only there. `trust`: what the operator brings to read clean rows by. `run`: how the run's id starts; None:
    the newest. Raises JobError where there is no such run, or nothing to show; RunError where a file cannot be written.
    """
    folder = Folder(out)
    record, loops = read_evaluation(folder), read_loops(folder)
    whole = run is not None or png is not None or not (record or loops) or latest_manifest(folder) is not None
    # A page with a dataset and an evaluation shares its images among both.
    images = MOST_IMAGES // 2 if whole and record else MOST_IMAGES
    evaluation = None if record is None else EvaluationContent(record, read_examples(folder), images)
    rounds = hardening_chapters(loops)
    if whole:
        manifest = chosen_manifest(folder, run)
        content = read_content(folder, manifest, clean_rows_of(folder, trust), images)
        if png is not None:
            write_file(png, grid_png(content))
        html = page(content, further=[*rounds, *(chapters(evaluation, "Evaluation: ") if evaluation else ())])
        newest = latest_manifest(folder)
        paths = [f"{RUNS}/{manifest.run_id}/{NEWEST}"]
        paths += [NEWEST] if newest is not None and newest.run_id == manifest.run_id else []
    else:
        html = evaluation_page(evaluation, rounds) if evaluation else hardening_page(loops)
        paths = [NEWEST]
    if to is not None:
        return write_file(to, html.encode())
    for path in paths:
        folder.write(path, html.encode())
    return f"{folder.name.rstrip('/')}/{paths[-1]}"


def read_report(out: str, place: str, to: str | None) -> bytes:
    """The report that `write_report` put at `place`, asked to put it at `to`."""
    if to is not None:
        folder, name = place_of(to)
        return folder.read(name)
    folder_of = Folder(out)
    return folder_of.read(place.removeprefix(f"{folder_of.name.rstrip('/')}/"))


def read_loops(folder: Folder) -> list[LoopContent]:
    """The loops of hardening in a folder that have begun."""
    homes = [Home(folder, name) for name in folder.folders(LOOPS)]
    begun = [(start, home) for home in homes if (start := home.start()) is not None]
    found = [LoopContent(start, tuple(home.rounds()), home.hardening()) for start, home in begun]
    return sorted(found, key=lambda loop: loop.whole.finished if loop.whole else "~")


def write_file(file: str, data: bytes) -> str:
    """Puts a file at a path or URL, and returns its public name."""
    folder, name = place_of(file)
    if not name:
        raise JobError(f"{public_name(file)}: is a folder; name a file")
    folder.write(name, data)
    return public_name(file)
