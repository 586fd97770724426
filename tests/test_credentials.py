"""Credentials of a real run, wherever they come from, reach nothing that it writes, says, or tells Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hardset.pipeline.storage.folder import Folder
from tests.support import RECIPES, document

SECRETS = tuple(f"planted-{place}-secret" for place in ("url", "env", "profile", "token", "ray"))
URL, ENVIRONMENT, PROFILE, TOKEN, RAY = SECRETS

DRIVER = """
import json, logging, shutil, sys
from pathlib import Path
import ray
import hardset

logging.basicConfig(level=logging.INFO)  # what libraries say for debugging is theirs: botocore prints its headers
logging.getLogger("hardset").setLevel(logging.DEBUG)

def look(progress):
    "Copies Ray's session and its metadata while the run is at work."
    if progress.shards_done != 3:
        return
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    shutil.copytree(session, Path(sys.argv[2]) / "session", symlinks=True, ignore=shutil.ignore_patterns("sockets"))
    store = ray._private.worker.global_worker.gcs_client
    found = [repr(ray._private.state.state.job_table()), repr(ray._private.state.actors()), repr(ray.nodes())]
    for space in (None, b"fun", b"job", b"session", b"cluster", b"serve", b"workflow", b"healthcheck"):
        for key in store.internal_kv_keys(b"", space):
            found.append(repr((key, store.internal_kv_get(key, space))))
    assert len(found) > 5
    (Path(sys.argv[2]) / "metadata").write_text("\\n".join(found))

job = json.loads(Path(sys.argv[1]).read_text())
ended = hardset.generate(job, progress=look, on_warning=print)
print(ended.model_dump_json())
assert ended.status == "complete"
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("place", ["environment", "profile"])
def test_nothing_that_a_run_leaves_holds_a_credential(
    place: str, s3_bucket: str, weights: dict[str, str], tmp_path: Path
) -> None:
    """In the URL of the source and the weights, in the environment or in a configuration file, and Ray's own token."""
    out, host = f"{s3_bucket}/{tmp_path.name}", os.environ["AWS_ENDPOINT_URL"]
    Folder(f"{s3_bucket}/{tmp_path.name}-in").write("victim.safetensors", Path(weights["victim"]).read_bytes())
    served = f"{host.replace('://', f'://user:{URL}@')}/bucket-of-tests/{tmp_path.name}-in/victim.safetensors"
    job = document(weights, out, recipes=RECIPES[1:], source={"format": "digits", "limit": 60})
    job["model"]["weights"] = f"{served}?token={URL}"
    job["output"]["shard_rows"] = 10
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
        "AWS_ENDPOINT_URL": host,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "RAY_AUTH_TOKEN": RAY,
        "HOME": str(tmp_path),
    }
    if place == "environment":
        environment |= {"AWS_ACCESS_KEY_ID": "known", "AWS_SECRET_ACCESS_KEY": ENVIRONMENT, "AWS_SESSION_TOKEN": TOKEN}
    else:
        (tmp_path / ".aws").mkdir()
        text = f"[default]\naws_access_key_id=known\naws_secret_access_key={PROFILE}\naws_session_token={TOKEN}\n"
        (tmp_path / ".aws" / "credentials").write_text(text)
    (tmp_path / "job.json").write_text(json.dumps(job))
    found = tmp_path / "found"
    found.mkdir()
    line = [sys.executable, "-c", DRIVER, str(tmp_path / "job.json"), str(found)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    folder = Folder(out)
    texts = {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    texts |= {path: folder.read(path) for path in folder.list()}
    texts |= {str(path): path.read_bytes() for path in found.rglob("*") if path.is_file() and not path.is_symlink()}
    assert any("openlineage" in name for name in texts) and any("raylet" in name for name in texts)
    leaks = {name: [secret for secret in SECRETS if secret.encode() in text] for name, text in texts.items()}
    assert {name: secrets for name, secrets in leaks.items() if secrets} == {}
