"""Datasets of the Hugging Face Hub: `hf://datasets/ORG/NAME[@REVISION][/PATH]`, read at one commit for a whole run."""

from __future__ import annotations

from hardset.pipeline.sources.base import Versions
from hardset.pipeline.sources.files import storage_faults
from hardset.pipeline.sources.revisions import HUB, pinned, without_revision
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageSource, StoredSource

_KINDS = {"datasets": "dataset", "models": "model", "spaces": "space"}


def commit_of(spec: ImageSource) -> str:
    """Commit that the revision of a source on the Hub stands for now, 40 hex digits; empty for any other source.

    Raises JobError where the library is missing, the repository or the revision is not there, or the Hub is silent.
    """
    url = str(getattr(spec, "path", ""))
    found = HUB.fullmatch(url)
    if found is None:
        return ""
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415 - an extra
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError  # noqa: PLC0415
    except ImportError:
        raise JobError(
            f"source.path: {public_name(url)}: the driver for hf:// is not installed; pip install hardset[hf]"
        ) from None
    name, revision = without_revision(public_name(url)), found["revision"]
    with storage_faults(name, at="source.path"):
        try:
            info = HfApi().repo_info(found["id"], repo_type=_KINDS[found["kind"] or "models"], revision=revision)
        except RevisionNotFoundError:
            raise JobError(
                f"source.path: {name} has no revision {revision!r}; name a branch, a tag or a commit"
            ) from None
        except RepositoryNotFoundError:
            raise JobError(
                f"source.path: {name}: the Hub knows no such repository, or it is private; check the name, and "
                "HF_TOKEN for a private one"
            ) from None
    return str(info.sha)


def _at_commit(spec: StoredSource, commit: str) -> StoredSource:
    return spec.model_copy(update={"path": pinned(spec.path, commit)})


COMMITS = Versions(commit_of, _at_commit)
