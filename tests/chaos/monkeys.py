"""Who breaks what while a run goes on. A monkey returns whether it found something to break."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.drivers import Driver
from tests.chaos.moody import WAYS, leave_token, struck
from tests.chaos.nodes import Nodes, raylet_of
from tests.chaos.processes import eventually, send, shard_actors


@dataclass
class Scene:
    """What a monkey can lay hands on, and where it writes down what it did."""

    driver: Driver
    nodes: Nodes | None
    """None where the driver started Ray for itself."""
    home: Path
    """Where tokens for the network lie."""
    committed: Callable[[], int]
    """How many shards have a receipt."""
    tried_again: Callable[[], int]
    """How many of them took more than one attempt."""
    random: Random
    note: Callable[[str], None]
    """Takes the name of a fault that struck."""
    tokens: int = field(default=0)

    def workers(self) -> list[int]:
        """Process ids of the shard actors."""
        return self.nodes.workers() if self.nodes else shard_actors([self.driver.pid])


Monkey = Callable[[Scene], bool]


def torment(scene: Scene, monkeys: Sequence[str], *, times: int, apart: int = 3) -> int:
    """Lets one monkey after the other strike, `times` in all, each after 1 to `apart` further commits and a moment.

    Each of `monkeys` has its turn before one has a second. Returns how many struck before the run was over.
    """
    done, turns = 0, list[str]()
    while done < times:
        seen = scene.committed() + scene.random.randint(1, apart)
        eventually(lambda seen=seen: scene.committed() >= seen or not scene.driver.running(), "another commit")
        time.sleep(scene.random.uniform(0, 0.2))
        if not scene.driver.running():
            break
        turns = turns or scene.random.sample(list(monkeys), len(monkeys))
        name = turns.pop()
        if MONKEYS[name](scene):
            scene.note(name)
            done += 1
    return done


def _kill_worker(scene: Scene) -> bool:
    workers = scene.workers()
    return bool(workers) and send(scene.random.choice(workers), signal.SIGKILL)


def _freeze_worker(scene: Scene) -> bool:
    """It wakes once another has been started in its place, if the dispatcher has not killed it by then."""
    workers = scene.workers()
    if not workers:
        return False
    zombie, seen = scene.random.choice(workers), set(workers)
    send(zombie, signal.SIGSTOP)
    eventually(lambda: set(scene.workers()) - seen or not scene.driver.running(), "a worker in place of the frozen one")
    send(zombie, signal.SIGCONT)
    return True


def _strike_inside(scene: Scene, *, fault: str) -> bool:
    scene.tokens += 1
    token = leave_token(scene.home, fault, scene.tokens)
    eventually(lambda: struck(scene.home, token) or not scene.driver.running(), f"a pass that meets {fault}")
    token.unlink(missing_ok=True)
    return struck(scene.home, token)


def _kill_node(scene: Scene) -> bool:
    node = _some_busy_node(scene)
    if scene.nodes is None or node is None:
        return False
    scene.nodes.kill(node)
    scene.nodes.join()
    return True


def _freeze_node(scene: Scene) -> bool:
    """The zombies wake before their raylet, which learns that it was given up and takes them along."""
    node = _some_busy_node(scene)
    if scene.nodes is None or node is None:
        return False
    zombies, raylet = scene.nodes.workers(node), raylet_of(node)
    for process in (*zombies, raylet):
        send(process, signal.SIGSTOP)
    scene.nodes.join()
    seen = scene.committed() + len(zombies) + 1
    eventually(lambda: scene.committed() >= seen or not scene.driver.running(), "a commit in place of a frozen worker")
    for zombie in zombies:
        send(zombie, signal.SIGCONT)
    time.sleep(scene.random.uniform(0, 1))
    send(raylet, signal.SIGCONT)
    scene.nodes.kill(node)
    return True


def _some_busy_node(scene: Scene) -> Any:
    busy = scene.nodes.busy_nodes() if scene.nodes else []
    return scene.random.choice(busy) if busy else None


def _cut_write(scene: Scene) -> bool:
    """Files of a worker end at byte k, in less than the shortest data file has, until a shard had to be tried again."""
    workers = scene.workers()
    if not workers:
        return False
    worker, seen, again = scene.random.choice(workers), scene.committed(), scene.tried_again()
    try:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (scene.random.randrange(4096), resource.RLIM_INFINITY))
        eventually(lambda: scene.committed() >= seen + 6 or not scene.driver.running(), "commits of the others")
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ProcessLookupError:
        return False
    end = seen + 20
    eventually(
        lambda: scene.tried_again() > again or scene.committed() >= end or not scene.driver.running(),
        "the shard whose write was cut",
    )
    return scene.tried_again() > again


MONKEYS: dict[str, Monkey] = {
    "worker killed": _kill_worker,
    "worker frozen": _freeze_worker,
    "node killed": _kill_node,
    "node frozen": _freeze_node,
    "write cut at byte k": _cut_write,
    **{fault: partial(_strike_inside, fault=fault) for fault in WAYS},
}
"""Faults of the table that can strike in the middle of any run."""
