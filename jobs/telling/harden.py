"""Rounds of hardening as they end, and how the loop ended."""

from __future__ import annotations

from hardset.jobs.api.hardening import harden
from hardset.jobs.api.trusting import trust_of
from hardset.jobs.telling.next_steps import report_of
from hardset.jobs.terminal.console import count
from hardset.jobs.terminal.phases import phases
from hardset.jobs.terminal.stopping import stop_on_signal
from hardset.jobs.terminal.voice import LogFormat, Voice, speaking
from hardset.schemas.job.job import Job
from hardset.schemas.records.hardening import LoopStart, Round
from hardset.schemas.records.results import Hardened


def make(
    job: Job,
    address: str | None,
    grace_seconds: float,
    log_format: LogFormat,
    *,
    fail_under: list[str],
    against: str | None,
    tolerance: float,
) -> Hardened:
    """Runs the loop, with a line for each round, until it ends or a signal stops it; says how it ended."""
    with speaking(log_format) as voice:

        def show(one: LoopStart | Round, rounds: int) -> None:
            voice.say(line_of(one, rounds), event="round", round=getattr(one, "number", 0), **one.validation.shares())

        with stop_on_signal(voice, grace_seconds) as stop, phases(voice) as told:
            hardened = harden(
                job,
                address=address,
                fail_under=fail_under,
                against=against,
                tolerance=tolerance,
                phase=told,
                progress=show,
                on_warning=voice.warn,
                stop=stop,
            )
        _tell_end(hardened, voice)
        if hardened.status != "stopped":
            anew = hardened.status != "nothing to do"
            report = report_of(job.output.path, voice, trust_of(job), anew=anew)
            hardened = hardened.model_copy(update={"report": report})
            if report is not None:
                voice.say(f"Report: {report}", event="next", report=report)
    return hardened


def _tell_end(hardened: Hardened, voice: Voice) -> None:
    if hardened.status == "stopped":
        made = count(hardened.rounds, "round")
        voice.say(f"Stopped after {made}; start the same command again to go on", event="ended", status="stopped")
        return
    voice.say(sentence(hardened), event="ended", status=hardened.status, loop_id=hardened.loop_id)
    for warning in hardened.warnings:
        voice.warn(warning)
    for fault in hardened.failed:
        voice.say(f"FAILED: {fault}", event="gate_failed")
    if hardened.weights is not None:
        voice.say(f"Weights: {hardened.weights}", event="promoted", weights=hardened.weights)


def line_of(one: LoopStart | Round, rounds: int) -> str:
    """What a round came to."""
    told = _figures(one.validation.shares())
    if isinstance(one, LoopStart):
        return f"start: {told} (validation)"
    shard = f", {one.shard.value:.1%} of its own shard" if one.shard else ""
    cost = f"{one.training_gradients:,} gradients, {one.seconds:.0f} s"
    return f"round {one.number} of {rounds}: {told}{shard}; loss {one.loss:.3f}, {cost}"


def sentence(hardened: Hardened) -> str:
    """How the loop ended, in one line."""
    budgets = {"rounds": "", "gradients": " (budget of gradients)", "rows": " (budget of rows)"}
    ended = budgets.get(hardened.ended_by or "", " (budget of minutes)")
    return (
        f"Done after {count(hardened.rounds, 'round')}{ended}: round {hardened.best} is the best; "
        f"{_figures(hardened.after or {})}, before {_figures(hardened.before or {})} ({hardened.judged_on})"
    )


def _figures(shares: dict[str, float]) -> str:
    return f"robust {shares['robust']:.1%}, clean {shares['clean']:.1%}"
