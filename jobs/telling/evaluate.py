"""An evaluation with its progress on the terminal, its figures and warnings, and how it ended."""

from __future__ import annotations

from hardset.jobs.api.evaluation import evaluate
from hardset.jobs.telling.next_steps import report_of
from hardset.jobs.terminal.console import console, count, say
from hardset.jobs.terminal.phases import phases
from hardset.jobs.terminal.stopping import stop_on_signal
from hardset.jobs.terminal.voice import LogFormat, Voice, speaking
from hardset.pipeline.evaluation.evaluate import EvaluationProgress
from hardset.pipeline.evaluation.stored import read_evaluation
from hardset.pipeline.evaluation.summary import gate_figures, summary_line
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.records.results import Evaluated


def make(
    job: EvaluationJob,
    address: str | None,
    grace_seconds: float,
    log_format: LogFormat,
    *,
    fail_under: list[str],
    against: str | None,
    tolerance: float,
) -> Evaluated:
    """Runs the evaluation until it ends or a signal stops it, and tells its figures, warnings and failed gates."""
    with speaking(log_format) as voice:
        with (
            stop_on_signal(voice, grace_seconds) as stop,
            console.status("evaluate: planning") as shown,
            phases(voice) as told,
        ):

            def begin(text: str) -> None:
                shown.update(f"evaluate: {text}")
                if not console.is_terminal or log_format is LogFormat.JSON:
                    told(text)

            def show(progress: EvaluationProgress) -> None:
                begin(f"{progress.done:,} of {count(progress.parts, 'part')}")

            done = evaluate(
                job,
                address=address,
                fail_under=fail_under,
                against=against,
                tolerance=tolerance,
                phase=begin,
                progress=show,
                on_warning=voice.warn,
                stop=stop,
            )
        if done.status != "stopped":
            _tell_figures(job.output.path, voice)
            anew = done.status != "nothing to do" and done.parts_made > 0
            done = done.model_copy(update={"report": report_of(job.output.path, voice, anew=anew)})
        voice.say(sentence(done, public_name(job.output.path)), event="ended", status=done.status)
        if done.report is not None:
            voice.say(f"Report: {done.report}", event="next", report=done.report)
    for text in done.failed:
        say(f"FAILED: {text}")
    return done


def _tell_figures(path: str, voice: Voice) -> None:
    record = read_evaluation(Folder(path))
    assert record is not None
    for model in record.models:
        voice.say(summary_line(record, model), event="figures", model=model.name, **gate_figures(model))
    for finding in record.warnings:
        voice.warn(f"{finding.model}: {finding.text}", kind=finding.kind, model=finding.model)


def sentence(done: Evaluated, path: str) -> str:
    """How the evaluation ended, in one line."""
    if done.status == "stopped":
        return (
            f"Stopped: {done.parts_made:,} of {count(done.parts, 'part')} made; start the same command again to go on"
        )
    if not done.parts_made:
        return f"Nothing to do: all {count(done.parts, 'part')} are in {path}"
    return f"Done: {count(done.parts_made, 'part')} made of {done.parts:,}"
