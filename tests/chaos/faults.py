"""The table of faults, and what the product promises about each: the suite's specification."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One way in which something breaks."""

    name: str
    injected: str
    """How the suite brings it about."""
    promise: str
    """What holds afterwards, besides the same bytes."""


_AGAIN = "the shard is made again by another worker; the run ends with 0"
_RIDDEN_OUT = "the request is repeated; the run ends with 0"
_RESUMED = "whatever it had committed stays; the next start makes the rest and ends with 0"
_EITHER = "the start ends with 0 and all is there, or with another code; then the next start makes the rest"

FAULTS = (
    Fault(
        "worker frozen",
        "SIGSTOP to a ShardActor process, SIGCONT if it is still there once its shard was made elsewhere",
        "the shard is abandoned after its deadline and made again; what the zombie still commits changes nothing",
    ),
    Fault("worker killed", "SIGKILL to a ShardActor process", _AGAIN),
    Fault("out of memory", "SIGKILL from inside the recipe, as the kernel's OOM killer does", _AGAIN),
    Fault("os._exit", "`os._exit(7)` inside the recipe", _AGAIN),
    Fault("sys.exit", "`sys.exit(7)` inside the recipe", _AGAIN),
    Fault("segfault", "a read of address 0 inside the recipe", _AGAIN),
    Fault("exception", "RuntimeError inside the recipe, once", "the shard is tried again; the run ends with 0"),
    Fault("node killed", "SIGKILL to a raylet with its workers; another node joins", _AGAIN),
    Fault(
        "node frozen",
        "SIGSTOP to a raylet and its workers until they were replaced, then SIGCONT, workers first",
        "the replacement makes the shard; what the zombie still commits changes nothing",
    ),
    Fault("driver killed", "SIGKILL to the driver between two commits", _RESUMED),
    Fault("raylet killed", "SIGKILL to the raylet of a driver that started Ray for itself", _EITHER),
    Fault("gcs_server killed", "SIGKILL to the head process of such a Ray", _EITHER),
    Fault("driver killed at the end", "SIGKILL to the driver once all shards are committed", _RESUMED),
    Fault("driver asked to stop", "SIGTERM to the driver", f"it ends with 4; {_RESUMED}"),
    Fault(
        "driver frozen",
        "SIGSTOP to the driver past its lease, SIGCONT once another start has taken over",
        "the other start ends with 0; the frozen one ends with 5 and changes no record",
    ),
    Fault(
        "two drivers",
        "another start while one is at work",
        "it ends with 5 and says who holds the lease, or waits with `--if-held wait` and takes over from a dead one",
    ),
    Fault(
        "driver interrupted twice",
        "SIGINT to the driver, and again half a second later",
        f"it ends with 4 within seconds, and nothing that it started is left; {_RESUMED}",
    ),
    Fault("terminal closed", "SIGHUP to the driver", f"it ends with 4; {_RESUMED}"),
    Fault("closed pipes", "stdout and stderr are pipes that nobody reads", "the run ends with 0"),
    Fault(
        "clock skew",
        "another start whose clock is two hours ahead, or behind, while one is at work",
        "it ends with 5 and changes nothing",
    ),
    Fault(
        "lease garbage",
        "bytes that are no lease in place of the lease: under a driver, and after one was killed",
        "the driver goes on and ends with 0; the next start names the file, watches it and takes over",
    ),
    Fault(
        "output removed",
        "the output's folder is removed under a driver",
        'the start ends with 1 and says "the output is gone"; the next start makes all anew',
    ),
    Fault(
        "replaced source",
        "another file in place of a source file under a driver",
        "the start ends with 1 or 2 and names the file, and commits no row of it; with the file back, the next start "
        "makes the rest",
    ),
    Fault(
        "memory kill",
        "Ray's memory monitor with a limit of 2%, which ends every worker while it starts",
        "the start ends with 1 and tells node, figures and settings to lower; the next start makes the rest",
    ),
    Fault(
        "write cut at byte k", "RLIMIT_FSIZE of k bytes on a worker: the kernel refuses the rest of the file", _AGAIN
    ),
    Fault("disk full", "a file system with no byte left", f"the start ends with 1 and says so; {_RESUMED}"),
    Fault("request cut at byte k", "the connection to S3 is reset after k bytes of a request", _RIDDEN_OUT),
    Fault("answer cut at byte k", "the connection to S3 is reset after k bytes of an answer", _RIDDEN_OUT),
    Fault("answer lost", "S3 does what was asked, then resets the connection without an answer", _RIDDEN_OUT),
    Fault("throttled", "503 SlowDown instead of an answer", _RIDDEN_OUT),
    Fault("server error", "500 InternalError instead of an answer", _RIDDEN_OUT),
    Fault("slow store", "an answer of S3 that takes half a second longer", "the run ends with 0"),
    Fault("store away", "S3 resets every connection for half a second to three", _RIDDEN_OUT),
    Fault("store gone", "S3 resets every connection until the driver gives up", f"it ends with 1; {_RESUMED}"),
    Fault("corrupt image", "one source image in 5,000 is truncated", "its row is in quarantine; the run ends with 3"),
    Fault(
        "lethal image",
        "SIGKILL inside the recipe whenever a worker meets one source image in 5,000",
        "that row, found by halves, is in quarantine and every neighbour delivered; the run ends with 3",
    ),
)

NAMES = frozenset(fault.name for fault in FAULTS)
