"""Signatures of runs: by keys of every kind, beside those of others, and no other bytes than the statement's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from hardset.pipeline.dataset.provenance.signature import envelope_path, sign, signature_fault
from hardset.pipeline.dataset.provenance.statement import statement_path
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.environment import KEY_PASSWORD
from hardset.schemas.errors import JobError
from tests.dataset.examples import RUN, finished_run, shard_of
from tests.support import hardset, job_of, last_json, make_here

KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


def written(folder: Path, kind: str = "ed25519", password: bytes | None = None) -> tuple[Path, Path]:
    """A new pair of keys in files: private and public."""
    key: Any = KEYS[kind]()
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    private, public = folder / f"{kind}.pem", folder / f"{kind}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def stated(disk: Folder) -> Folder:
    """A folder with a statement."""
    finished_run(disk, (shard_of(0),))
    disk.write(statement_path(RUN), b'{"_type":"https://in-toto.io/Statement/v1"}\n')
    return disk


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_is_good_for_its_key_alone(stated: Folder, tmp_path: Path, kind: str) -> None:
    private, public = written(tmp_path, kind)
    (tmp_path / "other").mkdir()
    _, other = written(tmp_path / "other", kind)
    assert signature_fault(stated, RUN, public) == "is missing: the run is not signed"
    sign(stated, RUN, private)
    assert signature_fault(stated, RUN, public) is None
    assert signature_fault(stated, RUN, other) == f"has no signature by the key in {other.name}"
    stated.write(statement_path(RUN), stated.read(statement_path(RUN)) + b" ")
    assert signature_fault(stated, RUN, public) == "holds another statement than the run has"


def test_several_sign_and_each_is_found(stated: Folder, tmp_path: Path) -> None:
    keys = [written(tmp_path, kind) for kind in KEYS]
    assert len({sign(stated, RUN, private) for private, _ in keys}) == 3
    assert [signature_fault(stated, RUN, public) for _, public in keys] == [None] * 3
    stated.write(statement_path(RUN), b"{}")
    sign(stated, RUN, keys[0][0])
    assert [signature_fault(stated, RUN, public) is None for _, public in keys] == [True, False, False]


def test_the_envelope_is_what_the_library_verifies_and_may_lack_the_id_of_the_key(
    stated: Folder, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    private, public = written(tmp_path)
    keyid = sign(stated, RUN, private)
    document = json.loads(stated.read(envelope_path(RUN)))
    assert document["payloadType"] == "application/vnd.in-toto+json"
    key = SSlibKey.from_crypto(load_pem_public_key(public.read_bytes()))
    assert Envelope.from_dict(json.loads(json.dumps(document))).verify([key], 1).keys() == {keyid}
    del document["signatures"][0]["keyid"]
    stated.write(envelope_path(RUN), json.dumps(document).encode())
    assert signature_fault(stated, RUN, public) is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"payload":"AA","payloadType":"x","signatures":[{"sig":"?"}]}']
)
def test_what_is_no_envelope_is_told(stated: Folder, tmp_path: Path, content: bytes) -> None:
    stated.write(envelope_path(RUN), content)
    assert signature_fault(stated, RUN, written(tmp_path)[1]) == "is no envelope of a signed statement"


def test_a_file_that_cannot_be_a_key_is_told_for_what_it_is(stated: Folder, tmp_path: Path) -> None:
    private, public = written(tmp_path)
    for path in (private, public):
        path.write_bytes(path.read_bytes() + b"\n" * 100_000)
    for act, option in (
        (lambda: sign(stated, RUN, private), "--key"),
        (lambda: signature_fault(stated, RUN, public), "--public-key"),
    ):
        with pytest.raises(JobError, match=rf"^{option}: .* holds more than 100,000 bytes, which no key does$"):
            act()
        (private if option == "--key" else public).unlink()
        with pytest.raises(JobError, match=rf"^{option}: \S+: cannot be read: No such file or directory$"):
            act()


def test_a_run_is_signed_and_verified_by_the_commands(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    make_here(job_of(weights, out, source={"format": "digits", "limit": 10}))
    private, public = written(tmp_path, password=b"open sesame")
    done = hardset("sign", out, "--key", private)
    assert (done.returncode, KEY_PASSWORD.name in done.stderr) == (2, True)
    monkeypatch.setenv(KEY_PASSWORD.name, "wrong")
    assert hardset("sign", out, "--key", private).returncode == 2
    monkeypatch.setenv(KEY_PASSWORD.name, "open sesame")
    unsigned = hardset("verify", out, "--sample", "0", "--json")
    assert (unsigned.returncode, last_json(unsigned)["signature"]) == (0, "none")
    assert "Not signed: a forger who rewrites" in unsigned.stdout
    assert hardset("verify", out, "--sample", "0", "--public-key", public).returncode == 1
    signed = last_json(hardset("sign", out, "--key", private, "--json"))
    assert signed["status"] == "signed"
    done = hardset("verify", out, "--sample", "0", "--public-key", public, "--json")
    assert (done.returncode, last_json(done)["signature"], last_json(done)["faults"]) == (0, "valid", [])
    assert last_json(hardset("verify", out, "--sample", "0", "--json"))["signature"] == "unchecked"
    for wrong in (private, tmp_path / "none.pem"):
        assert hardset("verify", out, "--sample", "0", "--public-key", wrong).returncode == 2
    (out / statement_path(signed["run_id"])).write_text("{}")
    assert hardset("sign", out, "--key", private).returncode == 1
    assert hardset("verify", out, "--sample", "0", "--public-key", public).returncode == 1
