"""Reads weight files from any fsspec URL as tensors, without ever executing their content."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, TypeVar

import fsspec
import safetensors
import safetensors.torch
import torch

from hardset.pipeline.models.candidates import State, at_key, candidates
from hardset.pipeline.models.harmless import harmless, unknown_type
from hardset.pipeline.models.lookalikes import other_kind
from hardset.pipeline.storage.folder import public_name
from hardset.pipeline.storage.retrying import patiently
from hardset.schemas.errors import JobError, RunError, UserError
from hardset.schemas.limits import GIB, MIB, Limits, variable
from hardset.schemas.retries import Retries

RESULT = TypeVar("RESULT")

_MEND = "save the state dict with safetensors.torch.save_file(model.state_dict(), path)"
_REFUSED = {
    ".pt2": "an exported program, which can run code",
    ".pkl": "a pickle, which can run code",
    ".pickle": "a pickle, which can run code",
    ".joblib": "a pickle, which can run code",
    ".keras": "a Keras model",
    ".h5": "a Keras model, or another HDF5 file",
    ".hdf5": "a Keras model, or another HDF5 file",
    ".onnx": "an ONNX model",
    ".tflite": "a TensorFlow Lite model",
    ".pb": "a TensorFlow graph",
    ".mlmodel": "a Core ML model",
    ".npz": "a file of arrays",
    ".npy": "a file of arrays",
    ".msgpack": "a Flax checkpoint",
    ".gguf": "a quantised language model",
}
"""Suffixes of files that are no checkpoint of torch, and what those are. Any other is told by its content: checkpoints
end in .pt, .pth, .pth.tar, .ckpt, .bin, .t7, .model or nothing."""

_WHOLE = {".pt2": "export", ".keras": "keras", ".h5": "keras", ".hdf5": "keras"}
"""Formats of a model that take such files, by suffix."""


def weights_sha256(url: str, *, at: str = "model") -> str:
    """SHA-256 of a weight file, read in chunks. Raises JobError if its kind is refused or it is missing.

    `at`: the key of the weights' model in the job, for error messages.
    """
    _check_kind(url, at)
    with _reading(url, at):
        return _of_file(url, lambda file: hashlib.file_digest(file, "sha256").hexdigest())


def read_bytes(url: str, at: str) -> bytes:
    """Content of a file of any kind. Raises JobError if it is missing, RunError if the storage fails."""
    with _reading(url, at):
        return _of_file(url, lambda file: bytes(file.read()))


def read_folder(url: str, at: str, chosen: Callable[[Iterable[str]], Iterable[str]]) -> dict[str, bytes]:
    """Content of files of a folder by name; `chosen`: names to those to read, or JobError. Raises as `read_bytes`."""

    def act() -> dict[str, bytes]:
        system, path = fsspec.core.url_to_fs(url)
        places = {str(place).rsplit("/", 1)[-1]: place for place in system.ls(path, detail=False)}
        found = {}
        for name in chosen(places):
            _check_place(system.info(places[name]), f"{public_name(url)}: {name}")
            found[name] = bytes(system.cat_file(places[name]))
        return found

    with _reading(url, at):
        return patiently(act, Retries.from_environment(), what="read weights")


def read_weights(url: str, *, at: str = "model") -> tuple[State, str]:
    """Tensors of a weight file, the first state dict of a checkpoint, and its SHA-256. Raises as `read_states`."""
    states, sha256 = read_states(url, at=at)
    return next(iter(states.values())), sha256


def read_states(url: str, *, key: str | None = None, at: str = "model") -> tuple[dict[str, State], str]:
    """All state dicts of a weight file, by their path in it (see `candidates`), and its SHA-256.

    Reads safetensors, and what torch.save wrote with the restricted unpickler of `torch.load(weights_only=True)`.
    `key`: path of the one to read. Raises JobError for other kinds, unreadable content, a missing file, or a key that
    leads to no state dict; RunError if the storage fails.
    """
    _check_kind(url, at)
    data = read_bytes(url, at)
    return states_in(data, url, key=key, at=at), hashlib.sha256(data).hexdigest()


def states_in(data: bytes, url: str, *, key: str | None = None, at: str = "model") -> dict[str, State]:
    """All state dicts in the content of a weight file, by their path in it. Raises JobError as `read_states`."""
    name = f"{at}.weights: {public_name(url)}"
    found = _safetensors(data, name) if is_safetensors(data, url) else _checkpoint(data, name)
    states = candidates(found if key is None else at_key(found, key))
    if not states and key is not None:
        there = ", ".join(path or "the file itself" for path in candidates(found))
        raise JobError(f"{at}.weights_key: {public_name(url)} has no state dict at {key!r}; it has {there or 'none'}")
    if not states:
        raise JobError(f"{name}: holds no state dict; {_MEND}")
    return states


def is_safetensors(data: bytes, url: str) -> bool:
    """Whether a file is of the safetensors format: by its name, or a header of JSON after 8 bytes of its length."""
    named = PurePosixPath(re.split(r"[?#]", url)[0]).suffix.lower() == ".safetensors"
    return named or (len(data) > 9 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data))


def _of_file(url: str, read: Callable[[Any], RESULT]) -> RESULT:
    """Result of `read` on the opened file; opens it again after transient storage errors."""

    def act() -> RESULT:
        system, path = fsspec.core.url_to_fs(url)
        _check_place(system.info(path), public_name(url))
        with system.open(path, "rb") as file:
            return read(file)

    return patiently(act, Retries.from_environment(), what="read weights")


def _check_place(info: Mapping[str, Any], name: str) -> None:
    """Refuses what is no regular file (a pipe may never end, a device never does), and what is beyond the bound."""
    most = Limits.from_environment().weights_gib
    if info.get("type") == "directory":
        raise IsADirectoryError
    if info.get("type") not in ("file", None):
        raise JobError(f"{name}: is a pipe, a device or the like; wants a regular file")
    size = int(info.get("size") or 0)
    if size > most * GIB:
        raise JobError(f"{name}: has {size / GIB:,.1f} GiB, more than {variable('weights_gib')} allows ({most:g})")


def _check_kind(url: str, at: str) -> None:
    path = re.split(r"[?#]", url)[0] if "://" in url else url
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _REFUSED:
        raise JobError(
            f"{at}.weights: {public_name(url)}: is {_REFUSED[suffix]}; wants .safetensors, or a checkpoint of torch "
            f"such as .pt or .pth: {_MEND}{_or_whole(_WHOLE.get(suffix))}"
        )


def _safetensors(data: bytes, name: str) -> State:
    try:
        state: State = safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise JobError(f"{name}: is no safetensors file ({_line(error)}); {_MEND}") from None
    return state


def _checkpoint(data: bytes, name: str) -> Any:
    other = other_kind(data)
    if other:
        raise JobError(f"{name}: is {other.told}; {other.remedy or _MEND}{_or_whole(other.format)}")
    _refuse_unfolding(data, name)
    try:
        with torch.serialization.safe_globals(list(harmless())):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can make the unpickler raise any exception
        named = unknown_type(error)
        if named is None:
            raise JobError(f"{name}: is damaged, or holds more than tensors; {_MEND}") from None
        raise JobError(
            f"{name}: holds an object of type {named}, which takes that type's own code to read, so it is not read; "
            f"{_MEND}"
        ) from None


def _or_whole(name: str | None) -> str:
    """What else to do with a file that holds the network too: the format that takes it."""
    return "" if name is None else f"; or take the network from it too: set format: {name} in place of the factory"


def _refuse_unfolding(data: bytes, name: str) -> None:
    """Refuses an archive whose members are larger than it: torch.save stores them as they are, a bomb deflates them."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile:
        return  # the format before torch 1.6 is no archive
    unfolded = sum(member.file_size for member in members)
    if unfolded > len(data) or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise JobError(
            f"{name}: holds compressed or overlapping records, which unfold to {unfolded / MIB:,.0f} MiB; torch.save "
            f"writes none; {_MEND}"
        )


@contextmanager
def _reading(url: str, at: str) -> Iterator[None]:
    name = f"{at}.weights: {public_name(url)}"
    try:
        yield
    except JobError as error:
        raise JobError(f"{at}.weights: {error}") from None
    except UserError:
        raise
    except FileNotFoundError:
        raise JobError(f"{name}: no such file; check the path") from None
    except IsADirectoryError:
        raise JobError(f"{name}: is a folder; name the weight file in it{_or_whole('huggingface')}") from None
    except (ImportError, ValueError) as error:
        raise JobError(f"{name}: cannot be opened: {_line(error)}") from None
    except Exception as error:  # every fsspec driver raises its own exceptions
        raise RunError(f"{name}: cannot be read: {type(error).__name__}: {_line(error)}") from error


def _line(error: Exception) -> str:
    """The error message on one line, with credentials and queries removed from URLs."""
    return " ".join(re.sub(r"\S+://\S+", lambda match: public_name(match[0]), str(error)).split())[:160]
