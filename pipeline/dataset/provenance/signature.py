"""Signature of a run: its statement in a DSSE envelope, signed with a key that no forger has.

The envelope is that of https://github.com/secure-systems-lab/dsse, its payload the in-toto statement to the byte, so
that `cosign verify-blob-attestation` and policy engines read it as well.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from hardset.pipeline.dataset.provenance.statement import statement_path
from hardset.pipeline.dataset.records.ledger import RUNS
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.environment import KEY_PASSWORD
from hardset.schemas.errors import JobError, one_line

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_MOST_BYTES = 100_000


def envelope_path(run_id: str) -> str:
    """Path of the envelope of a run, relative to the dataset folder."""
    return f"{RUNS}/{run_id}/statement.dsse.json"


def sign(folder: Folder, run_id: str, key: Path) -> str:
    """Signs the statement of a run with a private key, beside those that have signed it. Returns the key's id.

    `key`: PEM of an Ed25519, ECDSA or RSA key. Raises JobError where the run has no statement or the key is none.
    """
    dsse, signing = _library()
    signer = signing.CryptoSigner(_private(key))
    try:
        statement = folder.read(statement_path(run_id))
    except FileNotFoundError:
        raise JobError(f"{folder.name}: run {run_id[:8]} has no statement to sign; make it with this version") from None
    envelope = _envelope(_read(folder, run_id))
    if envelope is None or envelope.payload != statement:
        envelope = dsse.Envelope(statement, PAYLOAD_TYPE, {})
    keyid: str = envelope.sign(signer).keyid
    folder.write(envelope_path(run_id), (json.dumps(envelope.to_dict()) + "\n").encode())
    return keyid


def is_signed(folder: Folder, run_id: str) -> bool:
    """Whether there is an envelope, true or false."""
    return folder.exists(envelope_path(run_id))


def holds(folder: Folder, run_id: str) -> bool:
    """Whether the envelope of a run holds its statement. Needs no library and no key."""
    try:
        payload = json.loads(folder.read(envelope_path(run_id)))["payload"]
        return base64.b64decode(payload, validate=True) == folder.read(statement_path(run_id))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def signature_fault(folder: Folder, run_id: str, public: Path) -> str | None:
    """What is wrong with the signature of a run by the holder of a public key; None where it is good.

    Raises JobError where `public` is no PEM of a public key.
    """
    _, signing = _library()
    from securesystemslib.exceptions import UnverifiedSignatureError  # noqa: PLC0415 - an extra

    key, content = signing.SSlibKey.from_crypto(_public(public)), _read(folder, run_id)
    if content is None:
        return "is missing: the run is not signed"
    envelope = _envelope(content)
    if envelope is None:
        return "is no envelope of a signed statement"
    if envelope.payload_type != PAYLOAD_TYPE or envelope.payload != folder.read(statement_path(run_id)):
        return "holds another statement than the run has"
    for signature in envelope.signatures.values():
        try:
            # Other tools leave the key's id out, so that it tells nothing.
            key.verify_signature(signing.Signature(key.keyid, signature.signature), envelope.pae())
        except UnverifiedSignatureError:
            continue
        return None
    return f"has no signature by the key in {public.name}"


def _read(folder: Folder, run_id: str) -> bytes | None:
    try:
        return folder.read(envelope_path(run_id))
    except FileNotFoundError:
        return None


def _envelope(content: bytes | None) -> Any:
    """The envelope in a file; None where it is none."""
    dsse, _ = _library()
    try:
        document = json.loads(content or b"")
        for number, signature in enumerate(document["signatures"]):
            signature["keyid"] = signature.get("keyid") or f"unnamed-{number}"
        return dsse.Envelope.from_dict(document)
    except Exception:  # the library raises errors of many kinds for what is no envelope
        return None


def _private(path: Path) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - an extra

    password, content = KEY_PASSWORD.read(), _content(path, "--key")
    try:
        return load_pem_private_key(content, None if not password else password.encode())
    except TypeError:
        raise JobError(
            f"--key: {path}: is encrypted, or is not; set {KEY_PASSWORD.name} for an encrypted key alone"
        ) from None
    except ValueError as error:
        raise JobError(
            f"--key: {path}: is no private key in PEM, or {KEY_PASSWORD.name} is wrong ({one_line(error, 100)})"
        ) from None


def _public(path: Path) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - an extra

    content = _content(path, "--public-key")
    try:
        return load_pem_public_key(content)
    except ValueError as error:
        raise JobError(f"--public-key: {path}: is no public key in PEM ({one_line(error, 100)})") from None


def _content(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise JobError(f"{option}: {path}: cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise JobError(f"{option}: {path}: holds more than {_MOST_BYTES:,} bytes, which no key does")
    return content


def _library() -> tuple[Any, Any]:
    try:
        from securesystemslib import dsse, signer  # noqa: PLC0415 - an extra
    except ImportError:
        raise JobError("securesystemslib, which signs, is not installed: pip install 'hardset[sign]'") from None
    return dsse, signer
