"""A whole run: looked at, tried, worked off, committed."""

from hardset.pipeline.run.budget import NO_BUDGET, Budget, Left
from hardset.pipeline.run.commit import commit_run, make_manifest
from hardset.pipeline.run.generation import Outcome, Progress, generate
from hardset.pipeline.run.preflight import PREFLIGHT_ROWS, check_before
from hardset.pipeline.run.state import State, look

__all__ = [
    "NO_BUDGET",
    "PREFLIGHT_ROWS",
    "Budget",
    "Left",
    "Outcome",
    "Progress",
    "State",
    "check_before",
    "commit_run",
    "generate",
    "look",
    "make_manifest",
]
