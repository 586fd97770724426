"""`hardset.verify` and `hardset.replay`: a dataset held against its records, and a row made again."""

from __future__ import annotations

from pathlib import Path

from hardset.jobs.api.inputs import Document, Place, place_of
from hardset.jobs.api.trusting import trust_of
from hardset.pipeline.audit.replay import Replayed
from hardset.pipeline.audit.replay import replay as make_again
from hardset.pipeline.audit.statement_checks import statement_faults
from hardset.pipeline.audit.verify import verify as audit
from hardset.pipeline.dataset.provenance.signature import envelope_path
from hardset.pipeline.dataset.provenance.signature import sign as put_name
from hardset.pipeline.dataset.provenance.statement import statement_path
from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import RunError
from hardset.schemas.job.job import Job
from hardset.schemas.records.results import Signed, Verified


def verify(
    path: Place,
    *,
    sample: int | None = 1000,
    replay: int | None = 0,
    job: Document | Job | None = None,
    trust_code: bool = False,
    against: str | None = None,
    run: str | None = None,
    public_key: str | Path | None = None,
) -> Verified:
    """Audits a run of the dataset at `path`, and names every fault: what `hardset verify --json` prints.

    `sample`: rows that are judged again, `replay`: rows that are made again; None for all, 0 for none, which needs no
    model. Both are done by `job`, the one that made the dataset; what the dataset's own records name is loaded where
    it is hardset's own, or with `trust_code`, which runs that code. `against`: where the source lies, to hold every row
    against it. `run`: a finished run by its id, how that starts, or the date that it stands for; None:
    the newest.

    Raises JobError where there is no such run, RunError where its manifest cannot be believed.

    >>> import hardset
    >>> hardset.verify("demo/out", job="demo/job.yaml").status
    'verified'
    """
    trust = trust_of(job, trust_code, against)
    key = None if public_key is None else Path(public_key)
    findings = audit(Folder(place_of(path)), sample=sample, replay=replay, trust=trust, run=run, public_key=key)
    return Verified(
        status="failed" if findings.faults else "verified",
        files=findings.files,
        rows=findings.rows,
        rejudged=findings.rejudged,
        remade=findings.remade,
        signature=findings.signature,
        faults=tuple(findings.faults),
        notes=tuple(findings.notes),
    )


def sign(path: Place, key: str | Path, *, run: str | None = None) -> Signed:
    """Signs a run of the dataset at `path` with a private key: what `hardset sign --json` prints.

    `key`: file with the PEM of an Ed25519, ECDSA or RSA key. `run`: as for `hardset.verify`.

    Raises JobError where the key cannot be used, RunError where the run's records do not fit its statement.
    """
    folder = Folder(place_of(path))
    manifest = chosen_manifest(folder, run)
    fault = next(statement_faults(folder, manifest, Ledger(folder, manifest.run_id).plan()), None)
    if fault is not None:
        where = statement_path(manifest.run_id)
        raise RunError(f"{folder.name}: {where}: {fault}; `hardset verify` tells all, and nothing was signed")
    keyid = put_name(folder, manifest.run_id, Path(key))
    return Signed(status="signed", run_id=manifest.run_id, keyid=keyid, envelope=envelope_path(manifest.run_id))


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
