"""Naming of the classes of a source of files: by its job, by its files, or by its labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

from hardset.pipeline.sources import classes
from hardset.pipeline.sources.files import storage_faults
from hardset.pipeline.sources.labels import Numbering
from hardset.schemas.job.sources import FROM_SOURCE, StoredSource


class ClassNaming(ABC):
    """The part of a reader that knows its classes. A format says which of these its files hold."""

    spec: StoredSource
    named_by_folders: ClassVar[bool] = False
    """Whether the source's own names are those of its folders, in an order that nobody chose."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the source, without credentials and query."""

    def class_names(self) -> tuple[str, ...] | None:
        """Class names in label order: the job's, the source's own, or those found in its labels.

        None where labels are numbers without names. Raises JobError.
        """
        return self._names

    def own_names(self) -> tuple[str, ...] | None:
        """Class names that the files hold beside the labels; None unless the format overrides it. Raises JobError."""
        return None

    def text_labels(self) -> bool:
        """Whether labels are names; False unless the format overrides it. Raises JobError where files disagree."""
        return False

    @abstractmethod
    def label_values(self) -> Iterable[Any]:
        """Labels of the whole source as stored, in any order, each once or more often."""

    def warnings(self) -> tuple[str, ...]:
        """What the reader takes for granted of its classes, one sentence each."""
        names, asked = self.class_names(), self.spec.classes
        if names is None or asked not in (None, FROM_SOURCE):
            return ()
        numbers = classes.number_warning(names) if self.own_names() is None or self.named_by_folders else None
        found = None if self.own_names() is not None or asked else classes.found_warning(names)
        return tuple(text for text in (found, numbers) if text)

    @cached_property
    def _names(self) -> tuple[str, ...] | None:
        spec = self.spec
        declared = classes.declared(spec)
        if declared is not None:
            return declared
        own = self.own_names()
        if own is not None or not (spec.classes == FROM_SOURCE or self.text_labels()):
            return own
        with storage_faults(self.name):
            labels = self.label_values()
            return classes.in_labels(labels, numeric=spec.numeric, offset=spec.label_offset, name=self.name)

    def check_listed(self) -> None:
        """Raises JobError where the source itself names a class that the job does not list."""
        declared = classes.declared(self.spec)
        own = None if declared is None else self.own_names()
        if declared is not None and own is not None:
            classes.check_listed(own, declared, self.name)

    @cached_property
    def numbering(self) -> Numbering:
        """The numbering of labels; its names are looked for in the whole source where no others are known."""
        return Numbering.of(self.class_names(), self.spec.label_offset)
