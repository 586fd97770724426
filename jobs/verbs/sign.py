"""`hardset sign`: signs a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hardset.jobs.terminal.console import give, say
from hardset.jobs.terminal.options import AsJson, OutputFolder, RunId


def sign(
    out: OutputFolder,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Private key: PEM of Ed25519, ECDSA or RSA.")],
    run: RunId = None,
    as_json: AsJson = False,
) -> None:
    """Sign a run in OUT, by default the newest: its statement, which names every file and record, in a DSSE envelope.

    Reads the records and the key, whose password comes from HARDSET_KEY_PASSWORD, and writes the envelope beside the
    statement. Refuses a run whose records do not fit its statement; its rows are what `hardset verify` looks at.
    """
    from hardset.jobs.api.audit import sign as put_name

    done = put_name(out, key, run=run)
    say(f"Signed run {done.run_id[:8]} with key {done.keyid[:12]}: {done.envelope}")
    give(done, as_json=as_json)
