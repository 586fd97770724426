"""`hardset jobs`: the jobs that were submitted to a cluster."""

from __future__ import annotations

from hardset.jobs.terminal.options import AsJson, Insecure, JobApi


def jobs(address: JobApi, *, insecure: Insecure = False, as_json: AsJson = False) -> None:
    """List the jobs of hardset that were submitted to a cluster, oldest first: status, exit code, start and end.

    The cluster remembers them for as long as its head lives; `hardset status JOB --address` shows one with its result.
    Writes nothing. Returns 0.
    """
    from hardset.jobs.cluster.submitted import show_submissions

    show_submissions(None, address, (), insecure=insecure, as_json=as_json)
