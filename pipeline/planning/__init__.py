"""From a job to its plan: shards, their keys, and what changed since an earlier run."""
