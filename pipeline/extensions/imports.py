"""Objects by import path."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

from hardset.schemas.errors import one_line


def by_path(path: str) -> Any:
    """The object that `package.module:name` or `package.module:Class.name` stands for.

    Raises ImportError where the module cannot be imported, AttributeError where it does not hold the name; either
    says what to do.
    """
    module_name, _, attributes = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's code
        raise ImportError(
            f"{module_name} cannot be imported: {type(error).__name__}: {one_line(error)}; check the name, and that it "
            "is installed on every machine"
        ) from error
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            near = difflib.get_close_matches(attribute, dir(found), n=1)
            hint = f"did you mean {near[0]}?" if near else "check the name"
            raise AttributeError(f"{module_name} has no {attributes}; {hint}") from None
    return found
