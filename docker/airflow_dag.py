"""The nightly job as an Airflow 3 DAG: one task submits it, waits for its end, and passes its result on.

Copy it into the DAGs folder of an Airflow whose workers have hardset installed. Clearing or back-filling the task is
harmless: it joins the job if that is still running, and finds nothing to do if its shards are committed.
"""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import Variable, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

JOB = "/etc/hardset/job.yaml"
NO_RETRY = {2: "the job file or an argument is wrong", 3: "rows are in quarantine, or shards failed"}
"""Exit codes that need a person's attention; all others are retried."""


@dag(
    dag_id="hardset_nightly",
    schedule="30 1 * * *",
    start_date=datetime(2026, 1, 1),  # in the DAG's time zone
    catchup=False,
    max_active_runs=1,
    tags=["hardset"],
)
def hardset_nightly() -> None:
    """Make the missing shards of the dataset."""

    @task(retries=3, retry_delay=timedelta(minutes=10), execution_timeout=timedelta(hours=8))
    def submit() -> dict[str, Any]:
        """Run the job on the Ray cluster; the last line of stdout is its result."""
        # The token of the cluster is in RAY_AUTH_TOKEN of the worker's environment.
        address = Variable.get("hardset_address", default="http://ray-head:8265")
        date = get_current_context()["ds"]
        command = ["hardset", "submit", JOB, "--address", address, "--logical-date", date, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        result = json.loads(done.stdout.strip().splitlines()[-1])
        if done.returncode in NO_RETRY:
            raise AirflowFailException(f"{NO_RETRY[done.returncode]}: {result}")
        if done.returncode != 0:
            raise RuntimeError(f"hardset submit returned {done.returncode}: {result}")
        return dict(result["result"])

    @task
    def announce(result: dict[str, Any]) -> None:
        """Placeholder for the consumers of the dataset."""
        print(f"run {result['run_id']}: {result['totals']['rows_out']} rows")

    announce(submit())


hardset_nightly()
