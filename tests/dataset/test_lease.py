"""One run at a time: refused while held, taken over when the holder is dead or silent, and the loss is noticed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from hardset.pipeline.dataset.records.holders import Holder, lease_path, read_sign
from hardset.pipeline.dataset.records.lease import Lease, acquire, hold_lease
from hardset.pipeline.dataset.records.turns import Turn, current_holder
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import GoneError, HeldError, RunError


def put(folder: Folder, number: int, **changes: object) -> Holder:
    """A lease of a run on another machine."""
    fields = {
        "run_id": "far",
        "host": "far-host",
        "machine": "another boot",
        "pid": os.getpid(),
        "process_start": "1",
        "token": "t",
        "since": "2026-01-01T00:00:00+00:00",
        "renewed": time.time(),
    }
    holder = Holder.model_validate(fields | changes)
    folder.write(f"_hardset/lease/{number:08d}.json", holder.model_dump_json().encode())
    return holder


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_second_holder_is_told_who_holds(folder: Folder) -> None:
    with hold_lease(folder, "run-1") as lease:
        assert lease.held()
        present = current_holder(folder)
        assert present is not None
        who = present.holder
        assert (who.run_id, who.pid) == ("run-1", os.getpid())
        with (
            pytest.raises(
                RunError, match=rf"run run-1 holds this output since {who.since[:4]}.*process {os.getpid()} on"
            ),
            hold_lease(folder, "run-2"),
        ):
            raise AssertionError("two runs hold one output")
    assert not lease.held()
    assert current_holder(folder) is None
    with hold_lease(folder, "run-2"):
        assert len(folder.list("_hardset/lease")) == 1


def test_it_is_given_back_after_an_error(disk: Folder) -> None:
    with pytest.raises(ZeroDivisionError), hold_lease(disk, "run-1"):
        raise ZeroDivisionError
    acquire(disk, "run-2")


def test_the_heartbeat_renews(disk: Folder) -> None:
    with hold_lease(disk, "run-1", seconds=0.6) as lease:
        eventually(lambda: (who := read_sign(disk).holder) is not None and who.beat > lease.holder.beat + 0.6)
        assert (who := current_holder(disk)) is not None and who.heard < 0.6
    assert "lease" not in {thread.name for thread in threading.enumerate()}


def test_one_of_many_takes_over(folder: Folder) -> None:
    put(folder, 5)
    silent = read_sign(folder)
    start = threading.Barrier(12)

    def attempt(number: int) -> Lease | None:
        start.wait()
        try:
            return acquire(folder, f"run-{number}", free=silent)
        except RunError:
            return None

    with ThreadPoolExecutor(12) as pool:
        leases = [lease for lease in pool.map(attempt, range(12)) if lease]
    assert len(leases) == 1
    present = current_holder(folder)
    assert present is not None
    assert present.holder.token == leases[0].holder.token
    leases[0].renew()
    assert leases[0].held()


@pytest.mark.parametrize("clock", [-7200, -31, 0, 7200])
def test_of_another_machines_lease_one_look_tells_nothing(disk: Folder, clock: float) -> None:
    """Whatever its clock says: only who has watched it takes it."""
    put(disk, 1, renewed=time.time() + clock)
    with pytest.raises(HeldError, match=r"run far holds .*process \d+ on far-host\)"):
        acquire(disk, "run-1")
    seen = read_sign(disk)
    put(disk, 1, renewed=time.time() + clock + 1)
    with pytest.raises(HeldError):
        acquire(disk, "run-1", free=seen)
    assert acquire(disk, "run-1", free=read_sign(disk)).number == 2


@pytest.mark.parametrize("clock", [-7200, 7200])
def test_a_living_process_of_this_machine_is_asked_and_not_its_clock(disk: Folder, clock: float) -> None:
    """A driver whose clock is hours ahead of a healthy one's, or behind, robs it of nothing."""
    here = acquire(disk, "run-1").holder
    disk.write("_hardset/lease/00000001.json", here.model_copy(update={"renewed": time.time() + clock}).content())
    with pytest.raises(HeldError, match="run run-1 holds this output"), hold_lease(disk, "run-2"):
        raise AssertionError("two runs hold one output")


def test_a_released_lease_is_free_at_once(disk: Folder) -> None:
    put(disk, 1, released=True)
    assert acquire(disk, "run-1").number == 2


def test_a_number_that_another_process_bears_now_holds_nothing(disk: Folder) -> None:
    here = acquire(disk, "run-1").holder
    put(disk, 2, machine=here.machine, process_start="1")
    assert acquire(disk, "run-2").number == 3


def test_without_proc_only_time_tells(disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardset.pipeline.dataset.records.holders._machine", lambda: "")
    put(disk, 1, machine="", pid=2**22 + 1)
    with pytest.raises(RunError, match="holds this output"):
        acquire(disk, "run-1")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"run_id": "later", "colour": "blue"}'])
def test_a_broken_lease_is_named_watched_and_taken_over(disk: Folder, content: bytes) -> None:
    disk.write("_hardset/lease/00000003.json", content)
    for stranger in ("notes.txt", "9.json", "00000009.json.bak", f"{'9' * 30}.json", "\u0660" * 7 + "\u0669.json"):
        disk.write(f"_hardset/lease/{stranger}", b"")
    with pytest.raises(HeldError, match=r"_hardset/lease/00000003\.json: is no lease"):
        acquire(disk, "run-1")
    told: list[str] = []
    with hold_lease(disk, "run-1", turn=Turn(tell=told.append), seconds=0.3) as lease:
        assert lease.number == 4
    (sentence,) = told
    assert "_hardset/lease/00000003.json holds no lease that this version of hardset can read" in sentence


def test_a_broken_lease_that_somebody_renews_is_held(disk: Folder) -> None:
    """A later version of hardset may write other fields."""
    disk.write("_hardset/lease/00000003.json", b"1")
    threading.Timer(0.2, lambda: disk.write("_hardset/lease/00000003.json", b"2")).start()
    with pytest.raises(HeldError, match=r"00000003\.json: is no lease"), hold_lease(disk, "run-1", seconds=20):
        raise AssertionError("two runs hold one output")


def test_garbage_in_place_of_ones_own_lease_is_put_right(disk: Folder) -> None:
    lease = acquire(disk, "run-1")
    disk.write("_hardset/lease/00000001.json", b"garbage")
    lease.check()
    assert read_sign(disk).holder is not None


def test_a_removed_output_is_told_from_a_lost_one(disk: Folder) -> None:
    with hold_lease(disk, "run-1") as lease:
        for path in disk.list():
            disk.delete(path)
        for _ in range(2):
            with pytest.raises(GoneError, match="the output is gone"):
                lease.check()
        assert not lease.held()
    assert disk.list() == []
    assert GoneError.exit_code == 1


def test_a_taken_over_lease_is_noticed_and_left_alone(disk: Folder) -> None:
    with hold_lease(disk, "run-1", seconds=0.6) as lease:
        taker = put(disk, lease.number + 1)
        eventually(lambda: not lease.held())
        with pytest.raises(RunError):
            acquire(disk, "run-3")
    assert read_sign(disk).holder == taker


def test_a_lease_that_cannot_be_renewed_is_not_held(disk: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with hold_lease(disk, "run-1", seconds=0.3) as lease:

        def refuse(*_: object) -> None:
            raise RunError("out: cannot write: out of reach")

        with monkeypatch.context() as patch:
            patch.setattr(Folder, "write", refuse)
            eventually(lambda: not lease.held())
        eventually(lease.held)


def test_a_holder_that_may_be_dead_is_watched_and_replaced_once_it_is_silent(disk: Folder) -> None:
    """The next run need not be started a second time after a machine died."""
    put(disk, 1, renewed=time.time())
    started = time.monotonic()
    with hold_lease(disk, "run-1", seconds=0.5) as lease:
        assert lease.number == 2
        assert 0.4 < time.monotonic() - started < 5


def test_a_far_holder_that_renews_its_lease_lives(disk: Folder) -> None:
    put(disk, 1, renewed=time.time())
    renewing = threading.Timer(0.3, lambda: put(disk, 1, renewed=time.time()))
    renewing.start()
    with pytest.raises(HeldError, match="run far holds this output"), hold_lease(disk, "run-1", seconds=20):
        raise AssertionError("two runs hold one output")


def test_a_run_that_waits_starts_when_the_holder_ends(disk: Folder) -> None:
    first = acquire(disk, "run-1")
    threading.Timer(0.2, first.release).start()
    with hold_lease(disk, "run-2", turn=Turn(wait=True), seconds=0.5) as lease:
        assert lease.number == 2


def test_a_run_that_waits_can_be_stopped(disk: Folder) -> None:
    acquire(disk, "run-1")
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(HeldError), hold_lease(disk, "run-2", turn=Turn(wait=True, stop=stop)):
        raise AssertionError("two runs hold one output")


def test_a_check_tells_a_lapse_from_a_loss(disk: Folder) -> None:
    lease = acquire(disk, "run-1", seconds=0.05)
    eventually(lambda: not lease.held())
    lease.check()
    assert lease.held()
    put(disk, 2)
    with pytest.raises(HeldError, match="another run has taken this output over"):
        lease.check()
    assert not lease.held()


def test_numbers_go_on_where_the_leases_are_gone(disk: Folder) -> None:
    assert acquire(disk, "run-1", above=7).number == 8
    disk.delete("_hardset/lease/00000008.json")
    assert acquire(disk, "run-2", above=8).number == 9


HOLDER = """
import sys, time
from hardset.pipeline.dataset.records.lease import hold_lease
from hardset.pipeline.storage.folder import Folder
with hold_lease(Folder(sys.argv[1]), "first"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("store", ["local", "s3"])
def test_a_killed_holder_is_replaced_at_once(store: str, disk: Folder, request: pytest.FixtureRequest) -> None:
    folder = disk if store == "local" else Folder(request.getfixturevalue("s3_bucket") + "/lease")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder.url], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"run first holds .*process {holder.pid} "):
            acquire(folder, "second")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with hold_lease(folder, "second") as lease:
        assert lease.held()


def test_a_lease_that_another_took_over_unnoticed_is_not_given_back(disk: Folder) -> None:
    lease = acquire(disk, "run-1")
    left = disk.read(lease_path(lease.number))
    taker = put(disk, lease.number + 1)
    lease.release()
    assert disk.read(lease_path(lease.number)) == left
    assert read_sign(disk).holder == taker
