"""Networks with names, of a library that stands in for timm; tests/foreign has the real ones."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from hardset.pipeline.models import architectures, factory, vision
from hardset.pipeline.models.loading import LoadedModel, load_model, network_sha256
from hardset.pipeline.models.preflight import check_model
from hardset.pipeline.models.zoo import small_cnn
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Model
from tests.models.conftest import IMAGES

CPU = torch.device("cpu")
CONFIG = {"mean": [0.4], "std": [0.25], "input_size": [1, 8, 8], "fixed_input_size": True, "interpolation": "bicubic"}


class Timm(SimpleNamespace):
    """What is used of timm: names, and a network of each."""

    def list_models(self) -> list[str]:
        return ["tiny_net"]

    def is_model(self, name: str) -> bool:
        return name.partition(".")[0] in self.list_models()

    def create_model(self, name: str, pretrained: bool, num_classes: int, in_chans: int = 3) -> nn.Module:
        assert not pretrained
        network = small_cnn(classes=num_classes, channels=in_chans)
        network.pretrained_cfg = CONFIG  # type: ignore[assignment]
        return network


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", Timm())  # type: ignore[arg-type]
    monkeypatch.setattr(architectures, "make_importable", lambda: None)


def folder(place: Path, network: nn.Module, **config: Any) -> Path:
    place.mkdir(exist_ok=True)
    own = {"architecture": "tiny_net", "num_classes": 10, "model_args": {"in_chans": 1}, "pretrained_cfg": CONFIG}
    (place / "config.json").write_text(json.dumps(own | config))
    safetensors.torch.save_file(network.state_dict(), place / "model.safetensors")
    return place


def load(weights: Path, names: tuple[str, ...] | None = None, **settings: Any) -> LoadedModel:
    spec = Model.model_validate({"format": "timm", "weights": str(weights), "classes": 10, **settings})
    return load_model(spec, channels=1, device=CPU, class_names=names)


def test_a_folder_says_all_that_is_needed(tmp_path: Path, trained: nn.Module) -> None:
    found = load(folder(tmp_path, trained))
    torch.testing.assert_close(found.module(IMAGES), trained((IMAGES - 0.4) / 0.25))
    assert found.told == ()
    assert found.model_id == f"timm@{found.sha256[:12]}"
    assert found.sha256 == network_sha256(Model(format="timm", weights=str(tmp_path), classes=10))
    mine = load(tmp_path, normalize={"mean": [0.0], "std": [1.0]})
    torch.testing.assert_close(mine.module(IMAGES), trained(IMAGES))
    assert folder(tmp_path, trained, num_classes=10, more=1) == tmp_path
    assert network_sha256(Model(format="timm", weights=str(tmp_path), classes=10)) != found.sha256


def test_images_of_another_size_are_brought_to_that_of_the_folder(tmp_path: Path, trained: nn.Module) -> None:
    images = torch.rand(2, 1, 12, 16)
    resized = nn.functional.interpolate(images, (8, 8), mode="bicubic", antialias=True)
    found = load(folder(tmp_path, trained)).module(images)
    torch.testing.assert_close(found, trained((resized - 0.4) / 0.25), atol=1e-4, rtol=0)


def test_a_name_and_weights_are_fed_as_published_which_is_told(tmp_path: Path, trained: nn.Module) -> None:
    torch.save({"state_dict": trained.state_dict(), "epoch": 3}, tmp_path / "w.pth.tar")
    section: dict[str, Any] = {"architecture": "tiny_net", "arguments": {"in_chans": 1}}
    found = load(tmp_path / "w.pth.tar", **section)
    torch.testing.assert_close(found.module(IMAGES), trained((IMAGES - 0.4) / 0.25))
    assert found.model_id == f"timm:tiny_net@{found.sha256[:12]}"
    (told,) = found.told
    assert told.startswith("model.normalize: unset, so images are brought to what timm's own weights of tiny_net take")
    assert check_model(found, np.zeros((4, 8, 8, 1), np.uint8), CPU) == (told,)
    assert load(tmp_path / "w.pth.tar", normalize={"mean": [0.4], "std": [0.25]}, **section).told == ()


def test_a_normalisation_of_other_channels_is_none(
    tmp_path: Path, trained: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    colour = CONFIG | {"mean": [0.4] * 3, "std": [0.25] * 3}
    found = load(folder(tmp_path, trained, pretrained_cfg=colour))
    torch.testing.assert_close(found.module(IMAGES), trained(IMAGES))


def test_the_sources_names_and_the_pinned_digest_are_held_against_it(tmp_path: Path, trained: nn.Module) -> None:
    names = tuple("abcdefghij")
    folder(tmp_path, trained, label_names=list(names))
    assert load(tmp_path, names).classes == 10
    with pytest.raises(JobError, match=r"model\.output_order: .* another order; set it to \[1, 0, 2"):
        load(tmp_path, ("b", "a", *names[2:]))
    for refused in (
        load,
        lambda path, **pin: network_sha256(Model(format="timm", weights=str(path), classes=10, **pin)),
    ):
        with pytest.raises(JobError, match=r"model\.sha256: the weights have [0-9a-f]{64}, the job names 0{64}"):
            refused(tmp_path, sha256="0" * 64)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"architecture": "hf-hub:owner/name"}, r"model\.architecture: timm has no classifier hf-hub:owner/name"),
        ({"architecture": "tiny_nett"}, "has no classifier tiny_nett; did you mean tiny_net"),
        ({"architecture": None}, r"config\.json is not what timm writes; it names no architecture"),
        ({"architecture": None, "model_type": "vit"}, "set format: huggingface"),
        ({"pretrained_cfg": {"mean": 3, "std": 4}}, r"model\.arguments: timm cannot build tiny_net: TypeError"),
        ({"model_args": {"depth": 3}}, r"model\.arguments: timm cannot build tiny_net: TypeError: .*depth"),
        ({"model_args": {}}, r"0\.weight is 24x1x3x3 in the file and 24x3x3x3 in the model; check model\.architecture"),
    ],
)
def test_a_folder_that_fits_nothing_says_so(
    tmp_path: Path, trained: nn.Module, config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(JobError, match=sentence):
        load(folder(tmp_path, trained, **config))


def test_a_folder_has_the_library_read_no_further_file(tmp_path: Path, trained: nn.Module) -> None:
    load(
        folder(
            tmp_path, trained, model_args={"in_chans": 1, "pretrained": True, "checkpoint_path": "w", "cache_dir": "/"}
        )
    )


def test_a_folder_without_one_of_its_files_says_what_to_do(tmp_path: Path, trained: nn.Module) -> None:
    folder(tmp_path, trained)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(JobError, match=r"has no model\.safetensors; pickles are not read: .*safe_serialization=True"):
        load(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(JobError, match=r"has no config\.json; wants what timm\.models\.save_for_hf wrote"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["timm", "torchvision"])
def test_a_library_that_is_missing_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, architectures.LIBRARIES[name].module, None)  # type: ignore[arg-type]
    safetensors.torch.save_file(small_cnn().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(JobError, match=rf"model\.format: {name} needs a package .*: pip install 'hardset\[{name}\]'"):
        load(tmp_path / "w.safetensors", format=name, architecture="tiny_net")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"architecture": "a", "factory": "a:b"}, "architecture: is for format timm and torchvision; remove it"),
        ({"architecture": "a", "format": "keras"}, "architecture: is for format timm and torchvision; remove it"),
        ({"format": "torchvision"}, r"architecture: missing; wants the network's name in torchvision\.models"),
        ({"format": "timm", "factory": "a:b"}, "got timm, which builds the network by its name; remove factory"),
    ],
)
def test_what_goes_with_a_name_is_said_by_the_job(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Model.model_validate({"weights": "w", "classes": 5, **settings})


def test_a_factory_that_needs_torchvision_is_imported_again_once_that_is_possible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[str] = []

    def imported(path: str) -> Any:
        if not found:
            raise ImportError(
                "acme.nets cannot be imported: RuntimeError: operator torchvision::nms does not exist; ..."
            )
        return small_cnn

    monkeypatch.setattr(vision, "make_importable", lambda: found.append("torchvision"))
    monkeypatch.setattr(factory, "by_path", imported)
    assert isinstance(factory.build(Model(factory="acme.nets:net", classes=10)), nn.Module)
    assert found == ["torchvision"]


def test_other_faults_of_an_import_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "make_importable", lambda: importlib.import_module("none"))
    with pytest.raises(JobError, match="no_such_package cannot be imported: ModuleNotFoundError"):
        factory.build(Model(factory="no_such_package:net", classes=10))
