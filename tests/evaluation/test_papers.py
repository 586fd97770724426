"""Tables for papers hold the figures of the record, and nothing that differs is averaged."""

from __future__ import annotations

import csv
import io
import re
import statistics
from pathlib import Path

import pytest

from hardset.jobs.app import run
from hardset.pipeline.evaluation.papers import CSV_COLUMNS, as_csv, as_latex, check_alike, mean_line
from hardset.pipeline.statistics.shares import share
from hardset.schemas.errors import JobError
from hardset.schemas.records.evaluation import Evaluation


def moved(record: Evaluation, rows: int, seed: int) -> Evaluation:
    """The record of another seed, in which `rows` more are robust under every attack, as stored, and clean."""
    models = []
    for model in record.models:
        attacks = tuple(
            attack.model_copy(
                update={
                    "points": tuple(
                        point.model_copy(update={"robust": share(point.robust.rows + rows, point.robust.of)})
                        for point in attack.points
                    )
                }
            )
            for attack in model.attacks
        )
        threats = tuple(
            threat.model_copy(update={"robust": share(threat.robust.rows + rows, threat.robust.of)})
            for threat in model.threats
        )
        models.append(model.model_copy(update={"attacks": attacks, "threats": threats}))
    return record.model_copy(update={"models": tuple(models), "job": record.job | {"seed": seed}})


def cells(table: str, name: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(f"{name} &")]
    return [cell.strip() for cell in line.removesuffix(r" \\").split("&")[1:]]


def test_the_csv_has_a_line_for_every_figure(finished) -> None:
    record: Evaluation = finished[2].record
    lines = list(csv.DictReader(io.StringIO(as_csv([record]))))
    assert tuple(lines[0]) == CSV_COLUMNS
    for model in record.models:
        mine = {(line["attack"], line["eps"]): line for line in lines if line["model"] == model.name}
        points = {(attack.label, point.eps): point for attack in model.attacks for point in attack.points}
        curve = {("worst", place.eps): place for place in model.threats[0].curve[1:]}
        assert set(mine) == {("clean", "0"), *points, *curve}
        assert float(mine["clean", "0"]["stored"]) == pytest.approx(100 * model.clean.value, abs=5e-3)
        for key, point in points.items():
            assert float(mine[key]["stored"]) == pytest.approx(100 * point.robust.value, abs=5e-3)
            assert float(mine[key]["float"]) == pytest.approx(100 * point.float_robust.value, abs=5e-3)
            assert float(mine[key]["stored_low"]) == pytest.approx(100 * point.robust.low, abs=5e-3)
            assert int(mine[key]["rows"]) == point.robust.of


def test_the_latex_table_has_stored_and_float_side_by_side(finished) -> None:
    record: Evaluation = finished[2].record
    table = as_latex([record])
    assert table.count(r"\begin{tabular}") == table.count(r"\end{tabular}") == 1
    assert r"\multicolumn{3}{c}{linf, eps 38/255}" in table
    for model in record.models:
        clean, fgsm, pgd, worst = cells(table, model.name)
        assert clean == f"{100 * model.clean.value:.1f}"
        for cell, attack in zip((fgsm, pgd), model.attacks, strict=True):
            (point,) = [point for point in attack.points if point.eps == "38/255"]
            assert cell == f"{100 * point.robust.value:.1f} ({100 * point.float_robust.value:.1f})"
        assert worst == f"{100 * model.robust.value:.1f}"
    columns = re.search(r"\{tabular\}\{(\w+)\}", table)
    assert columns is not None and len(columns[1]) == 5


def test_several_seeds_have_mean_and_sample_deviation(finished) -> None:
    record: Evaluation = finished[2].record
    records = [record, moved(record, 2, 4), moved(record, 7, 5)]
    values = [100 * one.model("trained").robust.value for one in records]
    told = f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"
    table = as_latex(records)
    assert cells(table, "trained")[-1] == told.replace("±", r"$\pm$")
    assert "% mean and sample deviation of 3 evaluations, seeds 3, 4, 5" in table
    line = mean_line(records, "trained")
    assert f"robust {told} % at linf 38/255, worst of fgsm, pgd (n = 50, mean and deviation of 3 evaluations)" in line
    assert len(as_csv(records).splitlines()) == 1 + 3 * (len(as_csv([record]).splitlines()) - 1)


def test_evaluations_of_different_things_have_no_mean(finished) -> None:
    record: Evaluation = finished[2].record
    other = record.model_copy(update={"models": record.models[:1], "name": "other"})
    with pytest.raises(
        JobError, match=r"other: its models are \['trained'\] and those of digits are .*seed or weights"
    ):
        check_alike([record, other])
    fewer = record.model_copy(update={"rows": record.rows.model_copy(update={"count": 49})})
    with pytest.raises(JobError, match="its rows are 49"):
        as_latex([record, fewer])


def test_names_are_escaped(finished) -> None:
    record: Evaluation = finished[2].record
    odd = record.models[0].model_copy(update={"name": "a_b"})
    table = as_latex([record.model_copy(update={"models": (odd,)})])
    assert r"a\_b &" in table and "a_b &" not in table


def test_the_verb_writes_both_beside_the_report(finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, to = str(finished[0]), tmp_path / "paper"
    line = ["report", out, "--to", str(tmp_path / "report.html"), "--tables", str(to)]
    assert run([*line, "--beside", out]) == 0
    said = capsys.readouterr().out
    assert "mean and deviation of 2 evaluations" in said and f"Tables: {to}" in said
    assert (to / "figures.csv").read_text(encoding="utf-8").startswith("evaluation,seed,model")
    assert r"\bottomrule" in (to / "figures.tex").read_text(encoding="utf-8")
    assert run([*line, "--beside", str(tmp_path)]) == 2
    assert "holds no evaluation; name a folder" in capsys.readouterr().err
