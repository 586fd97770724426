"""The nightly job as a Dagster asset, one partition per day: submits the job, waits for its end, and keeps its figures.

Materialising a partition again is harmless: it joins the job if that is still running, and finds nothing to do if its
shards are committed.
"""

import json
import os
import subprocess

import dagster as dg

JOB = "/etc/hardset/job.yaml"
NO_RETRY = {2: "the job file or an argument is wrong", 3: "rows are in quarantine, or shards failed"}
"""Exit codes that need a person's attention; all others are retried."""
NIGHTS = dg.DailyPartitionsDefinition(start_date="2026-01-01", timezone="Etc/UTC")


@dg.asset(partitions_def=NIGHTS, retry_policy=dg.RetryPolicy(max_retries=3, delay=600), pool="hardset")
def hardened_dataset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The hardened training set of one night."""
    # The token of the cluster is in RAY_AUTH_TOKEN of the environment.
    address = os.environ.get("HARDSET_ADDRESS", "http://ray-head:8265")
    command = ["hardset", "submit", JOB, "--address", address, "--logical-date", context.partition_key, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    last = json.loads(done.stdout.strip().splitlines()[-1])
    if done.returncode != 0:
        why = NO_RETRY.get(done.returncode, f"hardset submit returned {done.returncode}")
        raise dg.Failure(why, metadata={"result": last}, allow_retries=done.returncode not in NO_RETRY)
    result = last["result"]
    totals = result["totals"]
    return dg.MaterializeResult(
        metadata={
            "run_id": result["run_id"],
            "rows": totals["rows_out"],
            "rows_made": result["made"]["rows_out"],
            "success": totals["success"] / totals["attacked"] if totals["attacked"] else None,
            "warnings": result["warnings"],
        }
    )


nightly = dg.build_schedule_from_partitioned_job(dg.define_asset_job("hardset_nightly", [hardened_dataset]))
defs = dg.Definitions(assets=[hardened_dataset], schedules=[nightly])
