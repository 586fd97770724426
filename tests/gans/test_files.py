"""Generator files: what is saved comes back; what is foreign or broken is refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

from hardset.pipeline.gans.files import decode_generator, encode_generator
from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.settings import resolved
from hardset.pipeline.gans.shape import Shape
from hardset.pipeline.recipes.generator_files import generator_digest, load_generator, save_generator
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.recipes import GeneratorFile
from hardset.schemas.records.run import Image
from tests.gans.conftest import TINY, tiny_generator

CPU = torch.device("cpu")
AT = "recipes.2.generator"
KEY = f"{AT}.weights"


def refused(path: Path) -> str:
    with pytest.raises(JobError) as caught:
        load_generator(str(path), device=CPU, key=KEY)
    message = str(caught.value)
    assert message.startswith(KEY) and "\n" not in message
    return message


def test_a_saved_generator_comes_back_bit_for_bit(generator: Generator, tmp_path: Path) -> None:
    path = tmp_path / "gan.safetensors"
    digest = save_generator(generator, str(path))
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest() == generator_digest(GeneratorFile(weights=str(path)))
    again = load_generator(str(path), device=CPU)
    assert (again.card, again.sha256) == (generator.card, digest)
    assert not again.net.training and not any(weight.requires_grad for weight in again.net.parameters())
    state = generator.net.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in again.net.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["gan.safetensors"]


def test_the_card_tells_what_the_generator_is(generator: Generator, tmp_path: Path) -> None:
    save_generator(generator, str(tmp_path / "gan.safetensors"))
    with safetensors.safe_open(tmp_path / "gan.safetensors", "pt") as file:
        card = json.loads(file.metadata()["hardset"])
    assert card["architecture"] == "projection-2" and card["value_range"] == [0, 1]
    assert (card["classes"], card["height"], card["width"], card["channels"], card["latent"]) == (3, 8, 8, 1, 6)
    settings = resolved(TINY, Shape(3, 8, 8, 1, 6, 8), device=CPU)
    assert (
        card["step"] == 2
        and card["training"] == settings.model_dump(mode="json")
        and card["rows"] == 24
        and len(card["trained_on"]) == 64
    )


def test_any_fsspec_url_is_written_and_read(generator: Generator) -> None:
    for url in ("memory://gan.safetensors", "memory://a/b/gan.safetensors"):
        assert save_generator(generator, url) == load_generator(url, device=CPU).sha256


def test_a_relative_path_is_written_beside_the_caller(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert save_generator(generator, "gan.safetensors") == generator_digest(GeneratorFile(weights="gan.safetensors"))
    assert (tmp_path / "gan.safetensors").is_file()


def test_loading_leaves_the_global_generator_alone(generator: Generator) -> None:
    data, before = encode_generator(generator), torch.get_rng_state()
    decode_generator(data, name="gan.safetensors")
    assert torch.equal(before, torch.get_rng_state())


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    assert "`hardset train-gan JOB` makes it" in refused(tmp_path / "gan.safetensors")
    with pytest.raises(JobError, match="train-gan JOB"):
        generator_digest(GeneratorFile(weights=str(tmp_path / "gan.safetensors")), at=AT)


def test_credentials_stay_out_of_messages() -> None:
    with pytest.raises(JobError) as caught:
        load_generator("memory://user:secret@bucket/gan.safetensors", device=CPU)
    assert "secret" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_one_sentence(generator: Generator, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match=r"cannot write gan\.safetensors"):
        save_generator(generator, str(tmp_path / "file" / "gan.safetensors"))


def with_card(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with another card over the same weights."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    card = json.loads(header["__metadata__"]["hardset"])
    header["__metadata__"]["hardset"] = json.dumps(change(card) or card)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def with_tensors(data: bytes, change: Callable[[dict[str, torch.Tensor]], Any]) -> bytes:
    """The file with other weights under the same card."""
    length = struct.unpack("<Q", data[:8])[0]
    state = safetensors.torch.load(data)
    change(state)
    return safetensors.torch.save(state, metadata=json.loads(data[8 : 8 + length])["__metadata__"])


FOREIGN = {
    "empty": lambda data: b"",
    "text": lambda data: b"<html>404 not found</html>",
    "pickle": lambda data: pickle.dumps({"G": 1}),
    "huge header": lambda data: b"\xff" * 16,
    "another safetensors file": lambda data: safetensors.torch.save({"weight": torch.zeros(2)}),
    "deeply nested": lambda data: struct.pack("<Q", 200_000) + b"[" * 200_000,
    "card is a list": lambda data: with_card(data, lambda card: [1]),
}
BROKEN = {
    "cut short": (lambda data: data[:-40], "is damaged"),
    "other architecture": (lambda data: with_card(data, lambda card: card.update(architecture="x")), "architecture x"),
    "unknown key": (lambda data: with_card(data, lambda card: card.update(more=1)), "broken card"),
    "size that is no number": (lambda data: with_card(data, lambda card: card.update(latent="many")), "broken card"),
    "side that cannot be": (lambda data: with_card(data, lambda card: card.update(width=7)), "broken card"),
    "card lies": (lambda data: with_card(data, lambda card: card.update(features=1 << 28)), "other weights"),
    "missing weight": (lambda data: with_tensors(data, lambda state: state.pop("entry.bias")), "other weights"),
    "half precision": (
        lambda data: with_tensors(data, lambda s: s.update({"entry.bias": s["entry.bias"].half()})),
        "other weights",
    ),
    "NaN": (lambda data: with_tensors(data, lambda state: state["entry.bias"].fill_(float("nan"))), "NaN"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_file_is_refused(case: str, generator: Generator, tmp_path: Path) -> None:
    path = tmp_path / "gan.safetensors"
    path.write_bytes(FOREIGN[case](encode_generator(generator)))
    assert "is not a generator that `hardset train-gan` wrote" in refused(path)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused(case: str, generator: Generator, tmp_path: Path) -> None:
    spoil, expected = BROKEN[case]
    path = tmp_path / "gan.safetensors"
    path.write_bytes(spoil(encode_generator(generator)))
    assert expected in refused(path)
    with pytest.raises(JobError):
        generator_digest(GeneratorFile(weights=str(path)), at=AT)


def test_a_generator_for_another_job_is_refused_when_its_digest_is_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "gan.safetensors")
    digest = save_generator(tiny_generator((8, 12, 3)), path)
    image = Image(height=8, width=12, channels=3)
    assert generator_digest(GeneratorFile(weights=path), at=AT, classes=3, image=image) == digest
    with pytest.raises(JobError, match="makes 3 classes, the job has 4"):
        generator_digest(GeneratorFile(weights=path), at=AT, classes=4, image=image)
    with pytest.raises(JobError, match="8 x 12 pixels with 3 channels"):
        generator_digest(GeneratorFile(weights=path), at=AT, classes=3, image=Image(height=12, width=8, channels=3))
