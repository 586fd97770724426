"""Which mode of `hardset verify` finds which lie: a small dataset of all kinds of rows, and the table of what is found.

`python -m tests.audit.grid` writes `docs/benchmarks/corruptions.json`, of which `make docs` makes a table.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from PIL import Image

from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.provenance.signature import sign
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import UserError
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import DigitsSource
from tests.audit.forger import Forger
from tests.audit.semantic_corruptions import LIES, Lie
from tests.support import job_of, make_here

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "corruptions.json"
MODES = ("always", "--against", "--sample", "--replay", "--public-key")
"""What is brought, cheapest first. Each mode finds what `always` finds."""
_ROWS = 12


def made(home: Path, weights: Mapping[str, str]) -> Job:
    """A finished run of two attacks, augmentations and a generator over twelve digits, of which one is broken."""
    source = home / "source" / "train.parquet"
    source.parent.mkdir(parents=True)
    digits = open_source(DigitsSource(limit=_ROWS))
    (part,) = digits.plan(_ROWS)
    rows, _ = digits.read(part, digits.probe(), 10)
    images = [{"bytes": _png(pixels), "path": f"{at}.png"} for at, pixels in enumerate(rows.pixels)]
    images[7]["bytes"] = b"no image"
    pq.write_table(pa.table({"image": images, "label": rows.labels}), source)
    job = job_of(
        dict(weights),
        home / "out",
        source={"format": "parquet", "path": str(source.parent)},
        transfer_to=[
            {"name": "twin", "factory": "hardset.pipeline.models.zoo:small_cnn", "weights": weights["victim"]}
        ],
        recipes=[
            {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "40/255", "steps": 3},
            {"kind": "attack", "name": "fgsm", "norm": "l2", "eps": ["1/2", "3/2"], "target": "next"},
            {"kind": "augment", "ops": [{"name": "rotate", "degrees": 15}, {"name": "hflip", "p": 0.5}], "variants": 2},
            {"kind": "sample", "generator": {"weights": weights["generator"]}, "per_class": 1},
        ],
        output={"path": str(home / "out"), "shard_rows": 6},
        run={"actors": 1, "batch": 16},
    )
    manifest = make_here(job)
    private = Ed25519PrivateKey.generate()
    (home / "key.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (home / "public.pem").write_bytes(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    sign(Folder(job.output.path), manifest.run_id, home / "key.pem")
    return job


def finds(out: Path, job: Job, mode: str) -> bool:
    """Whether `hardset verify` with a mode finds a fault; what stops it at once counts as well."""
    source = getattr(job.source, "path", "")
    trust = Trust(job=job, source=source if mode == "--against" else None)
    key = Path(job.output.path).parent / "public.pem" if mode == "--public-key" else None
    sample, replay = (None if mode == one else 0 for one in ("--sample", "--replay"))
    try:
        return bool(verify(Folder(str(out)), sample=sample, replay=replay, trust=trust, public_key=key).faults)
    except UserError:
        return True


def found_by(whole: Path, job: Job, lie: Lie, place: Path, modes: Iterable[str] = MODES) -> list[str]:
    """The modes that find a lie told in a copy of a dataset."""
    shutil.copytree(whole, place)
    lie(Forger(place))
    if "always" in modes and finds(place, job, "always"):
        return list(modes)
    found = [mode for mode in modes if mode != "always" and finds(place, job, mode)]
    shutil.rmtree(place)
    return found


def table(home: Path, weights: Mapping[str, str]) -> dict[str, list[str]]:
    """Modes by lie."""
    job = made(home, weights)
    assert not any(finds(home / "out", job, mode) for mode in MODES)
    return {name: found_by(home / "out", job, lie, home / f"{at}") for at, (name, lie) in enumerate(LIES.items())}


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(target, "PNG")
    return target.getvalue()


def main() -> None:
    """Writes the table."""
    from tests.conftest import trained_weights

    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "weights").mkdir()
        found = table(Path(home) / "data", trained_weights(Path(home) / "weights"))
    PAGE.write_text(json.dumps({"modes": MODES, "found": found}, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(found)} kinds, {sum(not modes for modes in found.values())} found by none\n")


if __name__ == "__main__":
    main()
