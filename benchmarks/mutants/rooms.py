"""The rooms whose code is mutated, and the tests that each is held to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Room:
    """Code of one folder, and the tests that are run on each of its mutants."""

    folder: str
    """Its modules, those of subfolders aside."""
    tests: tuple[str, ...]
    """Test files or folders."""
    without: str = ""
    """Expression of pytest's -k for tests that are too slow to run on every mutant."""
    nearest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further test files that meet a module first, by its name."""
    last: frozenset[str] = frozenset()
    """Modules whose tests start Ray, a minute for a mutant: these are tried after all others."""

    def files(self, tree: Path) -> Iterator[str]:
        """Paths of its modules, relative to the tree, sorted."""
        for path in sorted((tree / self.folder).glob("*.py")):
            if path.name != "__init__.py":
                yield path.relative_to(tree).as_posix()

    def nearest_tests(self, tree: Path, file: str) -> list[str]:
        """Test files that most mutants of a module die in: those that bear its name, and those named for it."""
        stem, places = Path(file).stem, (tree / place for place in self.tests)
        found = (path for place in places for path in ([place] if place.is_file() else place.rglob("test_*.py")))
        own = sorted(
            (path.relative_to(tree).as_posix() for path in found if stem in path.stem.split("_")), reverse=True
        )
        return own + [f"tests/{name}.py" for name in self.nearest.get(stem, ())]


_ENGINE = ("attacks/test_refill", "attacks/test_engine", "attacks/test_program")
_DISPATCHER = ("cluster/test_dispatcher",)
_RAY = ("cluster/test_environment",)

ROOMS: Mapping[str, Room] = {
    "attacks": Room(
        "pipeline/attacks",
        ("tests/attacks",),
        # Compilation takes up to 20 s for a test, and the strength on published models is no matter of one line.
        without="test_compiled or test_accelerator or test_reference_figures",
        nearest={
            "engine": ("attacks/test_refill", "attacks/test_program"),
            "apgd_l1": ("attacks/test_textbook_apgd_l1", "attacks/test_fab"),
            "ascent": ("attacks/test_engine",),
            "composition": ("attacks/test_settings", "attacks/test_program"),
            "ddn": ("attacks/test_fab",),
            "declared": ("attacks/test_settings", "attacks/test_program"),
            "drawing": ("attacks/test_recipe",),
            "foreign_batches": ("attacks/test_foreign",),
            "generators": ("attacks/test_foreign",),
            "hyperplanes": ("attacks/test_fab",),
            "lent_model": ("attacks/test_foreign",),
            "libraries": ("attacks/test_foreign",),
            "nearest": ("attacks/test_fmn", "attacks/test_fab"),
            "passes": (*_ENGINE, "attacks/test_regions", "attacks/test_textbook_fmn"),
            "program": ("attacks/test_several_budgets",),
            "square": ("attacks/test_textbook_square",),
            "square_l2": ("attacks/test_square", "attacks/test_textbook_square"),
            "pieces": ("attacks/test_settings", "attacks/test_program"),
            "schedules": ("attacks/test_textbook_pma", *_ENGINE),
            "search": _ENGINE,
            "sigma_zero": ("attacks/test_textbook_sigma_zero", "attacks/test_l0"),
            "slots": _ENGINE,
            "starts": (*_ENGINE, "attacks/test_several_budgets"),
            "verdicts": _ENGINE,
            "windows": ("attacks/test_textbook_square", "attacks/test_square"),
            "work_queue": (*_ENGINE, "attacks/test_several_budgets"),
        },
    ),
    "cluster": Room(
        "pipeline/cluster",
        ("tests/cluster",),
        # Poisoned rows kill real workers, half a minute for a test; the dispatcher's tests meet the same faults
        # simulated. What threads do is a matter of the machine.
        without="test_poison or spin",
        nearest=dict.fromkeys(("backend", "fleet", "loads", "messages", "pending"), _DISPATCHER)
        | dict.fromkeys(("actors", "connection", "quiet", "ray_backend", "undisturbed"), _RAY)
        | dict.fromkeys(("machine", "nodes"), ("jobs/test_doctor",))
        | dict.fromkeys(("here", "place", "work_place"), ("runs/test_here",))
        | {"bisection": ("cluster/test_pending",), "reaper": ("cluster/test_embedded",)},
        last=frozenset({"actors", "connection", "embedded", "quiet", "ray_backend", "reaper", "undisturbed"}),
    ),
    "lease and ledger": Room(
        "pipeline/dataset/records",
        tuple(f"tests/dataset/test_{name}.py" for name in ("lease_patience", "lease", "ledger", "publish")),
        # The same tests run on a local folder, which is enough here, and on a store in a process of its own.
        without="s3",
        nearest={
            "chosen": ("jobs/test_chosen_runs",),
            "places": ("dataset/test_ledger",),
            "seals": ("dataset/test_ledger",),
        }
        | dict.fromkeys(("holders", "turns", "unfinished"), ("dataset/test_lease", "dataset/test_lease_patience")),
    ),
    "judge": Room(
        "pipeline/judging", ("tests/judging",), nearest={"transfer_counts": ("judging/test_transfer_columns",)}
    ),
    "random numbers and devices": Room(
        "pipeline/compute", ("tests/compute",), nearest={"transfers": ("compute/test_devices",)}
    ),
}
