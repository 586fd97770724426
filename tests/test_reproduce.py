"""docs/reproduce.md makes rows of a real run again, bit for bit, in a process that cannot import hardset."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from hardset.pipeline.compute import rng
from hardset.schemas.reading.loading import parse_job
from tests.sources.making import png, write
from tests.support import make_here

PAGE = (Path(__file__).parents[1] / "docs" / "reproduce.md").read_text(encoding="utf-8")
NET = """
from torch import nn


def tiny():
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2))
"""
ALONE = "import sys\nsys.modules['hardset'] = None  # an import of it raises\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs higher and wider than the rows, and of their size, a network, and the run of the page's job."""
    home = tmp_path_factory.mktemp("reproduce")
    sides = [(80, 70), (33, 90), (32, 32), (45, 45), (64, 41)]
    for number in range(20):
        write(home / "photos" / "ab"[number % 2] / f"{number}.png", png(number, *sides[number % 5]))
    write(home / "net.py", NET.encode())
    return home


def test_every_recipe_kind_is_made_again_without_hardset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    torch.manual_seed(0)
    from net import tiny  # type: ignore[import-not-found]

    save_file(tiny().state_dict(), "net.safetensors")
    (block,) = blocks("yaml")
    manifest = make_here(parse_job(yaml.safe_load(block)))
    assert manifest.totals.rows_out == 20 * (1 + 1 + 2)
    code = ALONE + "\n".join(blocks("python")) + "\nprint(len(rows), sum(row['success'] or False for row in rows))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    count, fallen = map(int, done.stdout.split())
    assert count == 80 and fallen > 0


def test_the_pages_noise_is_that_of_rows() -> None:
    space: dict[str, object] = {}
    (block,) = [block for block in blocks("python") if block.startswith("def words")]
    exec("import numpy as np\nimport torch\n" + block, space)
    seed = 2**62 + 12345
    one = torch.tensor([seed])
    for name, drawn in (("uniform", rng.uniform), ("normal", rng.normal)):
        ours = space[name](seed, 4, (3, 5), 2, 7)  # type: ignore[operator]
        assert torch.equal(ours, drawn(one, 4, (3, 5), 2, step=7)[0])


def test_the_files_that_the_page_names_are_there() -> None:
    root = Path(__file__).parents[1]
    named = re.findall(r"`((?:pipeline|schemas)/[\w/.]*)`", PAGE)
    assert named and all((root / name).exists() for name in named)
    assert all((root / "docs" / name).is_file() for name in re.findall(r"\]\((\w+\.md)\)", PAGE))
