"""Text that is meant to exhaust who reads it: refused from its outline, in one sentence."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hardset.schemas.errors import JobError
from hardset.schemas.reading.documents import MOST_BYTES, MOST_LEVELS, MOST_VALUES, parse_yaml, read_job_file

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LAUGHS, f"stands for more than {MOST_VALUES:,} values"),
        ("a: &a {b: *a}", "line 1: holds itself by an alias"),
        ("a: &a [1, *a]", "line 1: holds itself by an alias"),
        ("[" * 100 + "]" * 100, f"nested more than {MOST_LEVELS} levels deep"),
        ("[" * 100_000 + "]" * 100_000, "nested"),
        (f"seed: {'9' * 200_000}", "holds a value that cannot be read"),
        (f"seed: 0x{'f' * 200_000}", "wants"),
        ("a: " + "1e" * 3 + "999999999", None),
        ("[" + "1," * (MOST_VALUES + 5) + "]", f"more than {MOST_VALUES:,} values"),
        ("!!python/object/apply:os.system [id]", "is not YAML"),
    ],
)
def test_hostile_text_is_refused_in_one_sentence(text: str, told: str | None) -> None:
    if told == "wants":
        assert isinstance(parse_yaml(text, name="job.yaml"), dict)  # a number that the schema refuses by its bounds
        return
    if told is None:
        assert parse_yaml(text, name="job.yaml") == {"a": "1e1e1e999999999"}
        return
    with pytest.raises(JobError) as refusal:
        parse_yaml(text, name="job.yaml")
    assert str(refusal.value).startswith("job.yaml: ") and told in str(refusal.value)
    assert len(str(refusal.value)) < 300 and "\n" not in str(refusal.value)


def test_aliases_within_the_bounds_and_merge_keys_work_as_ever() -> None:
    text = "base: &base {norm: linf, steps: 10}\none: *base\ntwo: {<<: *base, steps: 5}\nlist: [*base, *base]"
    found = parse_yaml(text, name="job.yaml")
    assert found["two"] == {"norm": "linf", "steps": 5} and found["list"] == [found["base"]] * 2
    assert parse_yaml("", name="job.yaml") is None


def test_a_file_beyond_the_bound_is_refused_and_a_pipe_is_read(tmp_path: Path) -> None:
    large, pipe = tmp_path / "large.yaml", tmp_path / "pipe"
    large.write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(JobError, match="is larger than"):
        read_job_file(large)
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("name: x"))
    writer.start()
    assert read_job_file(pipe) == {"name": "x"}
    writer.join()
    with pytest.raises(JobError, match="is larger than"):
        read_job_file("/dev/zero")
