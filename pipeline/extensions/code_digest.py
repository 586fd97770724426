"""The digest that names a user's code in keys and records: of what is installed, or of its source files."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import Distribution, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

from hardset.schemas.digests import digest


@cache
def code_digest(module: str) -> dict[str, str]:
    """The name of a module's code: `distribution` (name and version) or `module`, and `sha256`.

    The digest of an installed distribution covers name, version and the recorded hashes of its packages; that of a
    module beside the job its source file, or all Python files of its package. What such a file imports from its
    neighbours is not covered: put them into one package. The answer is kept, as Python keeps the module that it
    imported. Raises ImportError where the module cannot be found.
    """
    top = module.partition(".")[0]
    source = _source(top)
    for name in sorted(set(packages_distributions().get(top, ()))):
        found = distribution(name)
        recorded = _recorded(found)
        if source in {Path(str(found.locate_file(path))).resolve() for path in recorded}:
            told = f"{found.metadata['Name']} {found.version}"
            return {"distribution": told, "sha256": digest([told, sorted(recorded.items())])}
    # So is a distribution that is installed as editable: its record lists a link alone.
    return {"module": top, "sha256": _digest_of_files(source)}


def _source(top: str) -> Path:
    spec = None if top == "__main__" else find_spec(top)  # workers have another __main__
    if spec is None or spec.origin is None or not spec.has_location:
        raise ImportError(f"{top} has no source file, so that its code has no version; make it a module or a package")
    return Path(spec.origin).resolve()


def _recorded(found: Distribution) -> dict[str, str]:
    """Hashes of the distribution's own files by path; scripts and metadata differ from machine to machine."""
    return {
        file.as_posix(): file.hash.value
        for file in found.files or ()
        if file.hash is not None and ".." not in file.parts and not file.parts[0].endswith(".dist-info")
    }


def _digest_of_files(source: Path) -> str:
    if source.name != "__init__.py":
        return hashlib.sha256(source.read_bytes()).hexdigest()
    home = source.parent
    files = {path.relative_to(home).as_posix(): path for path in home.rglob("*.py")}
    return digest([[name, hashlib.sha256(path.read_bytes()).hexdigest()] for name, path in sorted(files.items())])
