"""Which mutants are tried: places in the code drawn by a seed, each changed by one of cosmic-ray's operators.

A place's rank is a hash of the seed and its text, so that a draw stays nearly the same while the code around it moves.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cosmic_ray.plugins
import parso.tree
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code

_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"}
_LEAST_PER_FILE = 2


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    key: str
    """Name that lasts while the text of the place and its definition do, 12 hexadecimal digits."""
    file: str
    definition: str
    """Innermost function or class around it; empty at module level."""
    line: int
    """Counted from 1."""
    operator: str
    """Of cosmic-ray."""
    diff: str
    """Lines removed and added."""
    source: str
    """The whole changed file."""


@dataclass(frozen=True)
class _Place:
    """A token that operators can change."""

    file: str
    definition: str
    line: int
    column: int
    """Behind the indentation."""
    text: str
    """Of its line, without indentation."""
    nth: int
    """Among equal tokens of equal lines of the definition."""
    variants: tuple[tuple[str, int], ...]
    """Operator and the number of its occurrence in the file."""

    def digest(self, *more: str) -> str:
        """Hash of what names the place."""
        return _digest(self.file, self.definition, self.text, str(self.column), str(self.nth), *more)


def draw(tree: Path, files: list[str], count: int, seed: int) -> list[Mutant]:
    """`count` mutants, each file's share that of its places in all, at least 2 where it has them."""
    places = {file: list(_places(file, (tree / file).read_text(encoding="utf-8"))) for file in files}
    drawn: list[Mutant] = []
    for file, quota in _quotas({file: len(found) for file, found in places.items()}, count).items():
        source = (tree / file).read_text(encoding="utf-8")
        ranked = sorted(places[file], key=lambda place: place.digest(str(seed)))
        mutants = (mutant for place in ranked if (mutant := _mutant(place, source, seed)) is not None)
        drawn += [mutant for mutant, _ in zip(mutants, range(quota), strict=False)]
    return drawn


def _quotas(sizes: dict[str, int], count: int) -> dict[str, int]:
    """Whole shares of `count` by size, by largest remainder."""
    total = sum(sizes.values())
    exact = {file: count * size / total for file, size in sizes.items()}
    quotas = {file: min(max(int(share), _LEAST_PER_FILE), sizes[file]) for file, share in exact.items()}
    hungriest = sorted(sizes, key=lambda file: quotas[file] - exact[file])
    while sum(quotas.values()) < count:
        file = hungriest.pop(0)
        quotas[file] += 1
    return quotas


def _mutant(place: _Place, source: str, seed: int) -> Mutant | None:
    """The place changed by the first of its operators, in drawn order, that leaves a program; None where none does."""
    drawn = sorted(place.variants, key=lambda variant: place.digest(str(seed), variant[0], str(variant[1])))
    for name, occurrence in drawn:
        changed = mutate_code(source, cosmic_ray.plugins.get_operator(name)(), occurrence)
        if changed is None or not _is_another_program(changed, source):
            continue
        lines = difflib.unified_diff(source.splitlines(), changed.splitlines(), lineterm="", n=0)
        diff = "\n".join(
            line for line in lines if line[:3] not in ("---", "+++") and line[:1] in "-+" and line[1:].strip()
        )
        key = place.digest(diff)[:12]
        return Mutant(key, place.file, place.definition, place.line, name.partition("/")[2], diff, changed)
    return None


def _is_another_program(changed: str, source: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            return ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source)) and bool(compile(changed, "", "exec"))
        except SyntaxError:
            return False


def _places(file: str, source: str) -> Iterator[_Place]:
    tree, lines, idle = get_ast(source), source.splitlines(), _annotations(source)
    variants: dict[tuple[int, int], list[tuple[str, int]]] = {}
    definitions: dict[tuple[int, int], str] = {}
    for name in sorted(cosmic_ray.plugins.operator_names()):
        operator = cosmic_ray.plugins.get_operator(name)
        if operator.arguments() or _crosses(name):
            continue
        found = ((node, start) for node in ast_nodes(tree) for start, _ in operator().mutation_positions(node))
        for occurrence, (node, start) in enumerate(found):
            if not _marks_keywords(node) and not any(first <= start < last for first, last in idle):
                variants.setdefault(start, []).append((name, occurrence))
                definitions[start] = ASTQuery(node).get_definition_name() or ""
    seen: Counter[tuple[str, str, int]] = Counter()
    for (line, column), changes in sorted(variants.items()):
        text = lines[line - 1]
        inside, definition = column - (len(text) - len(text.lstrip())), definitions[line, column]
        nth = seen[definition, text.strip(), inside]
        seen[definition, text.strip(), inside] += 1
        yield _Place(file, definition, line, inside, text.strip(), nth, tuple(changes))


def _crosses(name: str) -> bool:
    """Whether an operator turns arithmetic into bits or back: that raises on floats, so that any call kills it."""
    _, *ends = name.split("_")
    return "ReplaceBinaryOperator" in name and {end in _ARITHMETIC for end in ends[-2:]} == {True, False}


def _marks_keywords(node: parso.tree.NodeOrLeaf) -> bool:
    """Whether it is the asterisk behind which a function's parameters are keywords."""
    return node.parent is not None and node.parent.type == "parameters"


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations start and end, which nothing evaluates: line, counted from 1, and column."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        for value in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(value, ast.expr):
                spans.append(((value.lineno, value.col_offset), (value.end_lineno or 0, value.end_col_offset or 0)))
    return spans


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
