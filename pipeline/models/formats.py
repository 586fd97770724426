"""Files that hold a network as well as its weights: by format, what reads them and what fixes them.

What is loaded are the bytes that were digested: a program that was replaced meanwhile does not run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hardset.pipeline.models import huggingface, keras_models, onnx_models, programs
from hardset.pipeline.models.saved import SavedNetwork
from hardset.pipeline.models.weights import read_bytes
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import JobError
from hardset.schemas.job.network import Network

Content = TypeVar("Content")
"""What a format reads at a URL: bytes of a file, or those of a folder's files by name."""
_HELD: dict[str, SavedNetwork] = {}
"""Networks that this process has loaded, by format and digest: libraries take seconds to build one."""


@dataclass(frozen=True)
class Format(Generic[Content]):
    """A kind of file, or folder."""

    load: Callable[[Content, str, str], SavedNetwork]
    """The network in the content of a URL: (content, URL, key of the network in the job). Raises JobError."""
    read: Callable[[str, str], Content]
    """Content of a URL: (URL, key of the network in the job). Raises JobError, RunError if the storage fails."""
    sha256: Callable[[Content], str]
    """Digest of the content, 64 hex digits."""
    copied: bool = True
    """Whether a network that was loaded once can be copied; otherwise it is loaded again."""


FORMATS: dict[str, Format[Any]] = {
    "huggingface": Format(huggingface.load, huggingface.read_files, huggingface.files_sha256),
    "keras": Format(keras_models.load, read_bytes, sha256_hex),
    "onnx": Format(onnx_models.load, read_bytes, sha256_hex),
    "torchscript": Format(programs.load_torchscript, read_bytes, sha256_hex, copied=False),
    "export": Format(programs.load_export, read_bytes, sha256_hex, copied=False),
}
"""All formats besides factories, by name."""


def saved_sha256(spec: Network, at: str) -> str:
    """Digest of a network that its file holds whole. Raises JobError where it is not the one that the job pins."""
    return _pinned(spec, at)[1]


def _pinned(spec: Network, at: str) -> tuple[Any, str]:
    """Content of the network's file and its digest, which is the one that the job pins."""
    assert spec.format is not None
    assert spec.weights is not None
    kind = FORMATS[spec.format]
    content = kind.read(spec.weights, at)
    found = kind.sha256(content)
    if spec.sha256 is not None and spec.sha256 != found:
        raise JobError(f"{at}.sha256: the weights have {found}, the job names {spec.sha256}")
    return content, found


def read_saved(spec: Network, at: str, class_names: Sequence[str] | None) -> tuple[SavedNetwork, str]:
    """The network of a file that holds it whole, and its digest; loaded once per process where it can be copied.

    `class_names`: those of the source, held against the file's own where it names them. Raises JobError.
    """
    assert spec.format is not None
    assert spec.weights is not None
    content, sha256 = _pinned(spec, at)
    key, kind = f"{spec.format}:{sha256}", FORMATS[spec.format]
    held = _HELD.get(key) or kind.load(content, spec.weights, at)
    if kind.copied:
        _HELD[key] = held
    if class_names is not None and held.class_names is not None:
        check_names(held.class_names, class_names, spec.output_order, at)
    return (held.with_network(copy.deepcopy(held.network)) if kind.copied else held), sha256


def check_names(own: Sequence[str], wanted: Sequence[str], order: Sequence[int] | None, at: str) -> None:
    """Raises JobError where a model names the source's classes in another order than its outputs are taken in.

    Names are compared without case, spaces and underscores. Where the sets differ, names say nothing of the order.
    """
    names, classes = [_plain(name) for name in own], [_plain(name) for name in wanted]
    if len(set(names)) != len(names) or set(names) != set(classes):
        return
    right = [names.index(name) for name in classes]
    if list(order or range(len(names))) == right:
        return
    shown = ", ".join(map(str, right[:20])) + (", ..." if len(right) > 20 else "")
    what = "the model names the source's classes in another order" if order is None else "is not the order of the names"
    raise JobError(f"{at}.output_order: {what}; set it to [{shown}], so that each class meets its own output")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
