"""One run at a time: whoever lost the output puts nothing over what another wrote, however late it wakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.dataset.provenance.card import tells_of
from hardset.pipeline.dataset.records.lease import Lease, acquire, hold_lease
from hardset.pipeline.dataset.records.ledger import Ledger, latest_manifest
from hardset.pipeline.run.generation import generate
from hardset.pipeline.run.run_state import look
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import HeldError, RunError
from tests.nights.conftest import Night, in_process

_PAUSE = "hardset.pipeline.dataset.records.turns.pause"
"""What a start that waits sleeps for. Not `time.sleep`, which the threads of other tests call as well."""


def records(night: Night) -> dict[str, bytes]:
    """All files but leases."""
    paths = (path for path in sorted(night.out.rglob("*")) if path.is_file() and "lease" not in path.parts)
    return {str(path.relative_to(night.out)): path.read_bytes() for path in paths}


def test_a_run_that_was_taken_over_writes_no_record_any_more(files: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another driver takes the lease behind its back and makes the same run: nothing of that is touched."""
    seen: dict[str, bytes] = {}

    def interrupted(*arguments: Any, **settings: Any) -> Iterator[Any]:
        yield from in_process(*arguments, **settings)
        folder = Folder(str(files.out))
        folder.delete(folder.list("_hardset/lease/")[-1])  # as if it had run out
        monkeypatch.setattr("hardset.pipeline.run.generation.results", in_process)
        files.run()
        seen.update(records(files))

    monkeypatch.setattr("hardset.pipeline.run.generation.results", interrupted)
    with pytest.raises(HeldError, match="another run has taken this output over"):
        generate(files.job())
    assert seen
    assert records(files) == seen
    assert latest_manifest(Folder(str(files.out))) is not None
    files.check()


@pytest.mark.parametrize("at", range(1, 6))
def test_wherever_it_is_overtaken_the_other_runs_manifest_stands(
    files: Night, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is lost at the n-th check of a run that has made all of its shards."""
    checks = 0
    check = Lease.check

    def overtaken(lease: Lease) -> None:
        nonlocal checks
        checks += 1
        if checks == at:
            acquire(lease.folder, "other", above=lease.number)
        check(lease)

    monkeypatch.setattr(Lease, "check", overtaken)
    with pytest.raises(HeldError):
        generate(files.job())
    assert checks == at
    folder = Folder(str(files.out))
    newest = latest_manifest(folder)
    assert (newest is None) == (at < 4), "the plan, the statement and the manifest come first"
    assert newest is None or tells_of(folder, newest) == (at == 5), "then the card"
    assert not any(b'"COMPLETE"' in content for path, content in records(files).items() if "openlineage" in path)
    monkeypatch.setattr(Lease, "check", check)
    folder.delete(folder.list("_hardset/lease/")[-1])
    outcome = files.run()
    files.check()
    assert outcome.manifest is not None
    assert tells_of(folder, outcome.manifest), "a start that finds all done writes what was not told"


def test_a_manifest_of_a_lower_lease_is_older_whenever_it_was_written(files: Night) -> None:
    """A driver that slept through its replacement writes last, and is not the newest for it."""
    first = files.run()
    files.put("c", 3)
    second = files.run()
    assert first.manifest is not None
    folder = Folder(str(files.out))
    late = first.manifest.model_copy(update={"finished": "2999-01-01T00:00:00.000+00:00"})
    Ledger(folder, first.plan.run_id).write_manifest(late)
    newest = latest_manifest(folder)
    assert newest is not None
    assert newest.run_id == second.plan.run_id
    assert files.run().status == "nothing to do"


def test_a_manifest_that_another_holder_wrote_first_stays(files: Night) -> None:
    state = look(files.job())
    manifest = files.run().manifest
    assert manifest is not None

    class Late(Folder):
        """Looked just before the other wrote."""

        def exists(self, path: str) -> bool:
            return not path.endswith("manifest.json") and super().exists(path)

    with pytest.raises(RunError, match="another process has committed run"):
        Ledger(Late(str(files.out)), state.plan.run_id).write_manifest(manifest.model_copy(update={"warnings": ("x",)}))
    assert latest_manifest(Folder(str(files.out))) == manifest


def test_a_start_that_waited_finds_what_the_other_made(files: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its plan was made before the other run ended; it looks again before it works."""
    held = hold_lease(Folder(str(files.out)), "other")
    held.__enter__()

    def other_ends(_: float) -> float:
        held.__exit__(None, None, None)
        monkeypatch.undo()
        monkeypatch.setattr("hardset.pipeline.run.generation.results", in_process)
        monkeypatch.setenv("HARDSET_CACHE", "")
        files.run()
        return 0.0

    monkeypatch.setattr(_PAUSE, other_ends)
    outcome = generate(files.job(), wait=True)
    assert (outcome.status, outcome.shards_made) == ("nothing to do", 0)


def test_who_holds_the_output_is_told_before_anything_is_tried(files: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(*_: object) -> tuple[str, ...]:
        raise AssertionError("the model was tried")

    monkeypatch.setattr("hardset.pipeline.run.generation.check_before", tried)
    with hold_lease(Folder(str(files.out)), "other"), pytest.raises(HeldError, match="run other holds this output"):
        generate(files.job())


@pytest.mark.parametrize(
    ("option", "code", "status"), [("fail", 5, "held"), ("skip", 0, "held"), ("wait", 0, "complete")]
)
def test_the_command_line_says_it_in_its_exit_code(
    files: Night, tmp_path: Path, option: str, code: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    from tests.support import hardset, last_json

    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(files.job().model_dump(mode="json")))
    held = hold_lease(Folder(str(files.out)), "other")
    held.__enter__()
    monkeypatch.setattr(_PAUSE, _once(lambda: held.__exit__(None, None, None)))
    done = hardset("generate", file, "--if-held", option, "--json")
    assert done.returncode == code, done.stderr
    assert (last_json(done)["status"], last_json(done)["exit_code"]) == (status, code)
    if option != "wait":
        held.__exit__(None, None, None)
        assert "run other holds this output" in last_json(done)["error"]


def _once(act: Callable[[], None]) -> Callable[[float], float]:
    done = []

    def pause(_: float) -> float:
        if not done:
            done.append(True)
            act()
        return 0.0

    return pause
