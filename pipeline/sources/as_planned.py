"""Files held to their plan: a file that was replaced since gives no rows, and the read ends with its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hardset.pipeline.sources.digest_cache import digest_cache
from hardset.pipeline.sources.files import Place
from hardset.pipeline.sources.fingerprints import Stamp, content_digest, digests_of, stamp, tag_digest
from hardset.schemas.errors import DeniedError, RunError

_MEND = "start the job again, which plans the file as it is now"


class AsPlanned:
    """Files of a source in one process, and what is known of each.

    A store that has tags is asked for the file's before and after a read. Elsewhere the content is hashed once, after
    which device, inode, size, mtime and ctime tell that it is the same; on the host that planned, the digest cache
    spares even that. A plan without digest asks for nothing.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._known: dict[str, tuple[Stamp, str]] = {}

    @contextmanager
    def file(self, name: str, planned: str) -> Iterator[None]:
        """Holds a file to its planned digest, before and after what the block reads of it.

        Raises RunError where the file has changed, vanished, or may not be read any more.
        """
        with still_there(name):
            before = self._checked(name, planned)
            yield
            if before is not None:
                self._check_again(name, planned, before)

    def content(self, name: str, data: bytes, planned: str) -> None:
        """Holds the bytes of a whole file to the start of its planned digest. Raises RunError where they are others."""
        if planned and not any(found.startswith(planned) for found in digests_of(data)):
            with still_there(name):
                tag = tag_digest(self._place.fs.info(self._place.path_of(name)))
            if tag is None or not tag.startswith(planned):
                raise changed(name)

    def digest(self, name: str) -> str:
        """Digest of a file as it is now, from its tag, or what is remembered of it, where one will do."""
        now = stamp(self._place.fs, self._place.path_of(name))
        return now.tag or self._digest(name, now)

    def _checked(self, name: str, planned: str) -> Stamp | None:
        if not planned:
            return None
        now = stamp(self._place.fs, self._place.path_of(name))
        if (now.tag or self._digest(name, now)) != planned:
            raise changed(name)
        return now

    def _check_again(self, name: str, planned: str, before: Stamp) -> None:
        path = self._place.path_of(name)
        now = stamp(self._place.fs, path)
        same = now.tag == planned if now.tag else now.identity == before.identity
        if not same or (now.tag is None and before.racy and content_digest(self._place.fs, path) != planned):
            raise changed(name)

    def _digest(self, name: str, now: Stamp) -> str:
        """Digest of the content of a file in the state `now`."""
        known = self._known.get(name)
        if known is not None and known[0].identity == now.identity:
            return known[1]
        with digest_cache(self._place) as cache:
            found = cache.digests({name: self._place.path_of(name)}, lambda path: content_digest(self._place.fs, path))
        if not now.racy:
            self._known[name] = now, found[name]
        return found[name]


@contextmanager
def still_there(name: str) -> Iterator[None]:
    """Turns a missing file, and one that may not be read, into a RunError, as no try of single rows helps."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunError(f"{name} has vanished since the run was planned; {_MEND}") from error
    except PermissionError as error:
        raise DeniedError(f"{name} may not be read any more; mend its permissions, and start the job again") from error


def changed(name: str) -> RunError:
    """The error that ends a read of a file that is not the one that was planned."""
    return RunError(f"{name} has changed since the run was planned; {_MEND}")
