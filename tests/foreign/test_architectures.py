"""Networks of timm and torchvision, with the real libraries: what they return is what the library returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from hardset.pipeline.models.architectures import LIBRARIES
from hardset.pipeline.models.loading import LoadedModel, load_model, network_sha256
from hardset.pipeline.models.preflight import check_gradient, check_model
from hardset.pipeline.models.vision import make_importable
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Model

pytestmark = [pytest.mark.foreign, pytest.mark.filterwarnings("ignore")]
CPU = torch.device("cpu")
NAMES = ("cat", "dog", "bird", "frog", "ship")
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
IMAGES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255


def timm() -> Any:
    make_importable()
    return pytest.importorskip("timm", exc_type=ImportError)


def torchvision() -> Any:
    make_importable()
    return pytest.importorskip("torchvision", exc_type=ImportError)


def load(weights: Path | str, names: tuple[str, ...] | None = None, **settings: Any) -> LoadedModel:
    spec = Model.model_validate({"weights": str(weights), "classes": 5, **settings})
    return load_model(spec, channels=3, device=CPU, class_names=names)


def made(name: str, **arguments: Any) -> Any:
    torch.manual_seed(1)
    network = timm().create_model(name, num_classes=5, **arguments).eval()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):  # heads that start with zeros hide their input
            if tensor.is_floating_point():
                tensor.add_(0.02 * torch.rand_like(tensor))
    return network


def folder(path: Path, network: Any, **config: Any) -> Path:
    timm().models.save_for_hf(network, path, model_config=config, safe_serialization=True)
    return path


def shown(network: Any, images: torch.Tensor) -> torch.Tensor:
    """Logits as timm's own configuration has the images fed."""
    config = timm().data.resolve_model_data_config(network)
    mean, std = (torch.tensor(config[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        found: torch.Tensor = network((images - mean) / std)
    return found


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto"])
@pytest.mark.parametrize("form", ["folder", "name"])
def test_a_network_of_timm_gives_its_logits(tmp_path: Path, name: str, form: str) -> None:
    network = made(name, pretrained_cfg_overlay={"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)})
    if form == "folder":
        found = load(folder(tmp_path, network), format="timm")
        assert found.told == ()
    else:
        safetensors.torch.save_file(network.state_dict(), tmp_path / "w.safetensors")
        normalize = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
        found = load(tmp_path / "w.safetensors", format="timm", architecture=name, normalize=normalize)
    side = network.pretrained_cfg["input_size"][1]
    images = F.interpolate(IMAGES, (side, side))
    torch.testing.assert_close(found.module(images), shown(network, images), atol=1e-4, rtol=0)
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert check_model(found, pixels, CPU, batch=4) == check_gradient(found, pixels, CPU) == ()
    assert found.module(IMAGES).shape == (3, 5)


def test_the_folder_fixes_the_size_and_how_it_is_reached(tmp_path: Path) -> None:
    network = made("resnet10t", pretrained_cfg_overlay={"input_size": (3, 96, 96), "interpolation": "bilinear"})
    found = load(folder(tmp_path, network), format="timm")
    resized = F.interpolate(IMAGES, (96, 96), mode="bilinear", antialias=True)
    torch.testing.assert_close(found.module(IMAGES), shown(network, resized), atol=1e-4, rtol=0)


def test_names_and_digest_are_those_of_the_folder(tmp_path: Path) -> None:
    network = made("resnet10t")
    place = folder(tmp_path / "one", network, label_names=list(NAMES))
    found = load(place, NAMES, format="timm")
    assert found.model_id == f"timm@{found.sha256[:12]}"
    assert found.sha256 == network_sha256(Model(format="timm", weights=str(place), classes=5))
    with pytest.raises(JobError, match=r"model\.output_order: .* in another order; set it to \[1, 0, 2, 3, 4\]"):
        load(place, ("dog", "cat", *NAMES[2:]), format="timm")
    with pytest.raises(JobError, match=r"model\.sha256: the weights have"):
        load(place, format="timm", sha256="0" * 64)


def test_a_folder_has_timm_read_nothing_else(tmp_path: Path) -> None:
    place = folder(tmp_path, made("resnet10t"))
    config = json.loads((place / "config.json").read_text())
    config["model_args"] |= {"pretrained": True, "checkpoint_path": "/dev/zero", "cache_dir": "/"}
    (place / "config.json").write_text(json.dumps(config))
    load(place, format="timm")
    (place / "config.json").write_text(json.dumps(config | {"architecture": "hf-hub:owner/name"}))
    with pytest.raises(JobError, match=r"model\.architecture: timm has no classifier hf-hub:owner/name"):
        load(place, format="timm")


def test_the_published_normalisation_is_told_where_the_job_has_none(tmp_path: Path) -> None:
    torch.save({"state_dict": made("resnet10t").state_dict(), "epoch": 3}, tmp_path / "w.pth.tar")
    (told,) = load(tmp_path / "w.pth.tar", format="timm", architecture="resnet10t").told
    assert (
        "model.normalize: unset, so images are brought to what timm's own weights of resnet10t take: {mean: [0.485"
        in told
    )
    grey = made("resnet10t", in_chans=1)
    safetensors.torch.save_file(grey.state_dict(), tmp_path / "grey.safetensors")
    spec = {"format": "timm", "architecture": "resnet10t", "arguments": {"in_chans": 1}, "classes": 5}
    model = Model.model_validate({**spec, "weights": str(tmp_path / "grey.safetensors")})
    found = load_model(model, channels=1, device=CPU)
    assert found.told == ()
    torch.testing.assert_close(found.module(IMAGES[:, :1]), grey(IMAGES[:, :1]), atol=1e-4, rtol=0)


def test_averaged_weights_of_its_trainer_are_a_choice(tmp_path: Path) -> None:
    raw, averaged = made("resnet10t"), made("resnet10t", drop_rate=0.0)
    with torch.no_grad():
        averaged.fc.bias += 1
    torch.save({"state_dict": raw.state_dict(), "state_dict_ema": averaged.state_dict()}, tmp_path / "w.pth")
    section = {"format": "timm", "architecture": "resnet10t"}
    with pytest.raises(
        JobError, match=r"several sets of weights .*: state_dict, state_dict_ema; set model\.weights_key"
    ):
        load(tmp_path / "w.pth", **section)
    found = load(tmp_path / "w.pth", weights_key="state_dict_ema", **section)
    torch.testing.assert_close(found.module(IMAGES), shown(averaged, IMAGES), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vit_b_32", "efficientnet_b0"])
def test_a_network_of_torchvision_gives_its_logits(tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    network = torchvision().models.get_model(name, weights=None, num_classes=5).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    found = load(tmp_path / "w.pth", format="torchvision", architecture=name)
    preset = torchvision().models.get_model_weights(name).DEFAULT.transforms()
    images = F.interpolate(IMAGES, (224, 224)) if name.startswith("vit") else IMAGES
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (preset.mean, preset.std))
    with torch.no_grad():
        torch.testing.assert_close(found.module(images), network((images - mean) / std), atol=1e-4, rtol=0)
    assert found.model_id == f"torchvision:{name}@{found.sha256[:12]}"
    assert found.module(IMAGES).shape == (3, 5)
    assert "what torchvision's own weights" in found.told[-1]


FACTORIES = {
    "timm:create_model": {"model_name": "resnet10t", "num_classes": 5},
    "torchvision.models:resnet18": {"num_classes": 5},
}


@pytest.mark.parametrize("factory", FACTORIES)
def test_the_libraries_factories_build_their_networks(factory: str) -> None:
    model = Model(factory=factory, arguments=FACTORIES[factory], classes=5)
    assert load_model(model, channels=3, device=CPU).module(IMAGES).shape == (3, 5)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"format": "timm", "architecture": "resnet10"}, r"model\.architecture: timm has no classifier resnet10; did"),
        (
            {"format": "torchvision", "architecture": "resnet19"},
            r"torchvision has no classifier resnet19; did you mean",
        ),
        (
            {"format": "timm", "architecture": "resnet10t", "arguments": {"depth": 3}},
            r"model\.arguments: timm cannot build resnet10t: TypeError: .*depth",
        ),
        ({"format": "timm", "architecture": "resnet18"}, r"does not fit model\.architecture: .* name the architecture"),
        (
            {"format": "timm"},
            r"has no config\.json; wants what timm\.models\.save_for_hf wrote, or model\.architecture",
        ),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    safetensors.torch.save_file(made("resnet10t").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(JobError, match=sentence):
        load(tmp_path / "w.safetensors", **settings)


def test_every_library_is_one_of_the_formats() -> None:
    for name, library in LIBRARIES.items():
        assert library.module.startswith(name)
