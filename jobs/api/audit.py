"""`hardset.verify` and `hardset.replay`: a dataset held against its records, and a row made again."""

from __future__ import annotations

from hardset.jobs.api.inputs import Document, Place, load_job, place_of
from hardset.pipeline.audit.replay import Replayed
from hardset.pipeline.audit.replay import replay as make_again
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify as audit
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from hardset.schemas.records.results import Verified


def trust_of(job: Document | Job | None, records: bool = False, source: str | None = None) -> Trust:
    """What an operator brings to an audit: the job that made the dataset, a word for its records, its source."""
    return Trust(None if job is None else load_job(job), records, source)


def verify(
    path: Place,
    *,
    sample: int | None = 1000,
    job: Document | Job | None = None,
    trust_code: bool = False,
    against: str | None = None,
    run: str | None = None,
) -> Verified:
    """Audits a run of the dataset at `path`, and names every fault: what `hardset verify --json` prints.

    `sample`: rows that are judged again; None for all, 0 for none, which needs no model. They are judged by
    the model of `job`, the one that made the dataset; what the dataset's own records name is loaded where it is
    hardset's own, or with `trust_code`, which runs that code. `against`: where the source lies, to hold every row
    against it. `run`: a finished run by its id, how that starts, or the date that it stands for; None:
    the newest.

    Raises JobError where there is no such run, RunError where its manifest cannot be believed.

    >>> import hardset
    >>> hardset.verify("demo/out", job="demo/job.yaml").status
    'verified'
    """
    trust = trust_of(job, trust_code, against)
    findings = audit(Folder(place_of(path)), sample=sample, trust=trust, run=run)
    return Verified(
        status="failed" if findings.faults else "verified",
        files=findings.files,
        rows=findings.rows,
        rejudged=findings.rejudged,
        faults=tuple(findings.faults),
        notes=tuple(findings.notes),
    )


def replay(
    path: Place,
    row_id: str,
    *,
    job: Document | Job | None = None,
    trust_code: bool = False,
    against: str | None = None,
    run: str | None = None,
) -> Replayed:
    """Makes a row of the dataset at `path` again and compares it bit for bit: what `hardset replay --json` prints.

    `row_id`: value of that column. `job`, `trust_code`, `run`: as for `hardset.verify`. `against`: where the source
    lies now; None: where the job says.

    Raises JobError where the row is unknown or the source cannot be read, RunError where source, weights or the
    recipe's code changed.

    >>> import hardset
    >>> row_id = hardset.open_dataset("demo/out").to_arrow(["row_id"])["row_id"][0].as_py()
    >>> hardset.replay("demo/out", row_id, job="demo/job.yaml").result
    'equal'
    """
    trust = trust_of(job, trust_code, against)
    return make_again(Folder(place_of(path)), row_id, run, trust=trust)
