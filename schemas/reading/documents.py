"""YAML of job files, read into mappings, with every failure turned into one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hardset.schemas.errors import JobError, one_line

MOST_BYTES = 1 << 20
"""Maximum size of a job file in bytes."""
MOST_VALUES = 100_000
"""Maximum number of values in a document; an alias counts as often as it is used."""
MOST_LEVELS = 64
"""Maximum depth of a document in levels."""


def read_job_file(path: str | Path) -> dict[str, Any]:
    """Mapping in a YAML file. Raises JobError if it holds none."""
    document = parse_yaml(_text(path), name=str(path))
    if isinstance(document, dict):
        return document
    held = "nothing" if document is None else f"a {type(document).__name__}, not a mapping"
    raise JobError(f"{path}: holds {held}; a job file is a mapping of keys: name, source, model, recipes, output, run")


def _text(path: str | Path) -> str:
    try:
        with Path(path).open("rb") as file:  # a pipe has no size to ask for, so that reading is what is bounded
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise JobError(f"{path}: is larger than {MOST_BYTES:,} bytes; is it a job file?")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise JobError(f"{path}: no such job file; `hardset init {path}` writes one to start from") from None
    except IsADirectoryError:
        raise JobError(f"{path}: is a folder; name the job file in it, such as {Path(path) / 'job.yaml'}") from None
    except UnicodeDecodeError as error:
        raise JobError(f"{path}: byte {error.start} is not UTF-8; save the job file as UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise JobError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def parse_yaml(text: str, *, name: str) -> Any:
    """Value of YAML text.

    Raises JobError, whose message begins with `name`, for invalid text, a key that is given twice, more than
    `MOST_VALUES` values, and more than `MOST_LEVELS` levels.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        _check_size(root, name)
        return loader.construct_document(root)
    except JobError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise JobError(f"{name}: {place}{_problem(error)}") from None
    except yaml.YAMLError as error:
        raise JobError(f"{name}: is not text: {one_line(error)}") from None
    except RecursionError:
        raise JobError(f"{name}: is nested too deeply") from None
    except (ValueError, OverflowError) as error:
        # PyYAML leaves impossible dates and overlong numbers to Python.
        reason = str(error).split(":")[0]
        raise JobError(f"{name}: holds a value that cannot be read ({reason}); put it in quotes") from None


def _check_size(root: yaml.Node, name: str) -> None:
    """Refuses a document whose expanded aliases exceed the bounds, before any value of it is made.

    A few hundred bytes of nested aliases can expand to 10^9 values (CVE-2003-1564, "billion laughs").
    """
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node, level: int) -> int:
        if level > MOST_LEVELS:
            raise JobError(f"{name}: is nested more than {MOST_LEVELS} levels deep")
        if id(node) in open_nodes:
            raise JobError(f"{name}: line {node.start_mark.line + 1}: holds itself by an alias")
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) not in sizes:
            open_nodes.add(id(node))
            inner = (
                node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
            )
            sizes[id(node)] = 1 + sum(size(part, level + 1) for part in inner)
            open_nodes.discard(id(node))
        if sizes[id(node)] > MOST_VALUES:
            raise JobError(f"{name}: line {node.start_mark.line + 1}: stands for more than {MOST_VALUES:,} values")
        return sizes[id(node)]

    size(root, 1)


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or error.context)
    if "'\\t'" in problem:
        return "a tab; YAML is indented with spaces"
    if isinstance(error, DuplicateKeyError):
        return problem
    return f"is not YAML: {problem}"


class DuplicateKeyError(yaml.constructor.ConstructorError):
    """Error for a mapping with a repeated key; YAML would silently keep the last value."""


class _Loader(yaml.SafeLoader):
    """Loader of YAML 1.1 with safe types."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            value, line = self.construct_object(key), key.start_mark.line + 1
            if value in seen:
                problem = f"the key {key.value} is given twice, first in line {seen[value]}; keep one"
                raise DuplicateKeyError(None, None, problem, key.start_mark)
            seen[value] = line
        return super().construct_mapping(node, deep)
