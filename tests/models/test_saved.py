"""Networks that come in files: what they return is what the library that wrote them returns on the same pixels."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fsspec.implementations.local import LocalFileSystem
from torch import Tensor, nn

from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.models.formats import FORMATS, check_names
from hardset.pipeline.models.loading import LoadedModel, load_model, network_sha256
from hardset.pipeline.models.preflight import check_model
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Model
from hardset.schemas.job.recipes import Attack

CPU = torch.device("cpu")
NAMES = ("cat", "dog", "bird", "frog", "ship")
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
IMAGES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255


def load(path: Path, *, classes: int = 5, names: tuple[str, ...] | None = None, **settings: Any) -> LoadedModel:
    spec = Model.model_validate({"weights": str(path), "classes": classes, **settings})
    return load_model(spec, channels=3, device=CPU, class_names=names)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plain() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 5))
    return net.eval().requires_grad_(False)


# Programs of torch


def scripted(path: Path) -> None:
    torch.jit.script(plain()).save(str(path))


def exported(path: Path) -> None:
    program = torch.export.export(plain(), (IMAGES,), dynamic_shapes=({0: torch.export.Dim("rows")},))
    torch.export.save(program, path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("kind", "write"), [("torchscript", scripted), ("export", exported)])
def test_a_program_runs_where_it_is_trusted_and_pinned(
    tmp_path: Path, kind: str, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "net.pt2"
    write(path)
    found = load(path, format=kind, trust=True, sha256=sha256(path))
    torch.testing.assert_close(found.module(IMAGES), plain()(IMAGES), atol=1e-4, rtol=0)
    assert (found.model_id, found.sha256) == (f"{kind}@{sha256(path)[:12]}", sha256(path))
    images = IMAGES.clone().requires_grad_()
    found.module(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    with pytest.raises(JobError, match=r"model\.sha256: the weights have [0-9a-f]{64}, the job names 0{64}"):
        load(path, format=kind, trust=True, sha256="0" * 64)
    path.write_bytes(b"nothing")
    with pytest.raises(JobError, match=r"torch cannot load it: .*; wrong format, or written by another version"):
        load(path, format=kind, trust=True, sha256=sha256(path))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_that_is_replaced_after_its_digest_was_taken_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, trusted = tmp_path / "net.ts", tmp_path / "trusted.ts"
    scripted(trusted)
    pinned = sha256(trusted)
    asked = []

    def read(url: str, at: str) -> bytes:
        asked.append(url)
        return trusted.read_bytes() if len(asked) == 1 else b"another program"

    monkeypatch.setitem(FORMATS, "torchscript", replace(FORMATS["torchscript"], read=read))
    assert load(path, format="torchscript", trust=True, sha256=pinned).sha256 == pinned
    assert asked == [str(path)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_wrong_with_a_file_is_told_of_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.ts"
    scripted(path)
    found = load(path, format="torchscript", trust=True, sha256=sha256(path))
    with pytest.raises(JobError, match=r"^model\.weights: the model fails on .*; check source\.size and source\.c"):
        check_model(found, PIXELS[..., :1], CPU)


def test_a_folder_is_read_with_retries_and_within_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"many")
    whole, failures = LocalFileSystem.cat_file, [OSError(errno.ECONNRESET, "reset")]

    def once(self: LocalFileSystem, path: str, **options: Any) -> bytes:
        if failures:
            raise failures.pop()
        return bytes(whole(self, path, **options))

    monkeypatch.setattr(LocalFileSystem, "cat_file", once)
    spec = Model(format="huggingface", weights=str(tmp_path), classes=5)
    files = {name: sha256(tmp_path / name) for name in ("config.json", "model.safetensors")}
    assert network_sha256(spec) == digest(files)
    assert not failures
    monkeypatch.setenv("HARDSET_WEIGHTS_GIB", "1e-9")
    with pytest.raises(JobError, match=r"model\.weights: .*: config\.json: has .* HARDSET_WEIGHTS_GIB allows"):
        network_sha256(spec)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"format": "torchscript"}, "trust: torchscript files are programs"),
        ({"format": "export", "trust": True}, "trust: export files are programs"),
        ({"format": "keras", "factory": "a:b"}, "format: got keras, whose files hold the network; remove factory"),
        ({}, "factory\n  Field required"),
    ],
)
def test_what_a_format_needs_is_said_by_the_job(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Model.model_validate({"weights": "w", "classes": 5, **settings})


def test_names_decide_where_they_are_the_same_in_another_order() -> None:
    check_names(("Cat", "dog"), ("cat", "dog "), None, "model")
    check_names(("n01", "n02"), ("cat", "dog"), None, "model")
    check_names(("dog", "cat"), ("cat", "dog"), (1, 0), "model")
    with pytest.raises(JobError, match=r"model\.output_order: .* another order; set it to \[1, 0\]"):
        check_names(("dog", "cat"), ("cat", "dog"), None, "model")
    with pytest.raises(JobError, match=r"model\.output_order: is not the order of the names; set it to \[0, 1\]"):
        check_names(("cat", "dog"), ("cat", "dog"), (1, 0), "model")


# Hugging Face: models as the library builds them, without training


def vit() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **sizes, **_labels()))


def resnet() -> Any:
    from transformers import ResNetConfig, ResNetForImageClassification

    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    return ResNetForImageClassification(ResNetConfig(**sizes, **_labels()))


def convnext() -> Any:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    return ConvNextForImageClassification(
        ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], num_labels=5)
    )


def mobilenet() -> Any:
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    return MobileNetV2ForImageClassification(MobileNetV2Config(depth_multiplier=0.35, image_size=32, **_labels()))


def _labels() -> dict[str, Any]:
    return {"id2label": dict(enumerate(NAMES)), "label2id": {name: i for i, name in enumerate(NAMES)}}


PROCESSORS: dict[str, dict[str, Any]] = {
    "normalised": {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]},
    "not normalised": {"do_normalize": False},
    "not rescaled": {"do_rescale": False, "image_mean": [100.0, 110.0, 120.0], "image_std": [50.0, 60.0, 70.0]},
}


@pytest.mark.slow
@pytest.mark.parametrize("processing", PROCESSORS)
@pytest.mark.parametrize("build", [vit, resnet, convnext, mobilenet])
def test_a_hugging_face_folder_gives_the_librarys_logits(
    tmp_path: Path, build: Callable[[], Any], processing: str
) -> None:
    from transformers import ViTImageProcessor

    torch.manual_seed(1)
    model = build().eval()
    processor = ViTImageProcessor(size={"height": 32, "width": 32}, **PROCESSORS[processing])
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with torch.no_grad():
        wanted = model(**processor(images=list(PIXELS), return_tensors="pt")).logits
    found = load(tmp_path, format="huggingface")
    torch.testing.assert_close(found.module(IMAGES), wanted, atol=1e-4, rtol=0)
    assert found.module(F.interpolate(IMAGES, (40, 48))).shape == (3, 5)
    assert not any(parameter.requires_grad for parameter in found.module.parameters())


@pytest.mark.slow
def test_a_hugging_face_model_is_held_against_the_sources_names_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    torch.manual_seed(2)
    vit().save_pretrained(tmp_path)
    assert load(tmp_path, format="huggingface", names=NAMES).classes == 5
    monkeypatch.setattr(transformers.AutoModelForImageClassification, "from_pretrained", None)
    with pytest.raises(JobError, match=r"model\.output_order: .* in another order; set it to \[1, 0, 2, 3, 4\]"):
        load(tmp_path, format="huggingface", names=("dog", "cat", *NAMES[2:]))
    turned = load(
        tmp_path, format="huggingface", names=("dog", "cat", *NAMES[2:]), output_order=[1, 0, 2, 3, 4]
    ).module(IMAGES)
    torch.testing.assert_close(turned[:, [1, 0, 2, 3, 4]], load(tmp_path, format="huggingface").module(IMAGES))


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{", '{"image_mean": [0.5], "image_std": [0]}', '{"rescale_factor": null}'])
def test_a_preprocessor_that_cannot_be_understood_is_named(tmp_path: Path, text: str) -> None:
    vit().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(JobError, match=r"^model\.weights: .*: preprocessor_config\.json is not what save_pretrained"):
        load(tmp_path, format="huggingface")


def test_a_folder_without_safetensors_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(JobError, match=r"has no \.safetensors file; pickles are not read: .*safe_serialization"):
        load(tmp_path, format="huggingface")
    with pytest.raises(JobError, match=r"has no config\.json"):
        load(tmp_path.parent, format="huggingface")


# Keras


def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    keras.utils.set_random_seed(0)
    return keras


def sequential(classes: int, head: str) -> Any:
    layers = keras().layers
    return keras().Sequential(
        [
            layers.Input((32, 32, 3)), layers.Rescaling(2.0, -1.0), layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(), layers.GlobalAveragePooling2D(), layers.Dropout(0.5),
            layers.Dense(classes, activation=head),
        ]
    )  # fmt: skip


def functional(last: str) -> Any:
    layers = keras().layers
    images = layers.Input((32, 32, 3))
    scores = layers.Dense(5)(layers.Flatten()(layers.AveragePooling2D(4)(images)))
    return keras().Model(images, layers.Softmax()(scores) if last == "layer" else layers.Activation("softmax")(scores))


KERAS: dict[str, tuple[Callable[[], Any], int]] = {
    "logits": (lambda: sequential(5, "linear"), 5),
    "softmax": (lambda: sequential(5, "softmax"), 5),
    "one sigmoid": (lambda: sequential(1, "sigmoid"), 2),
    "softmax layer": (lambda: functional("layer"), 5),
    "softmax activation": (lambda: functional("activation"), 5),
}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", KERAS)
def test_a_keras_model_gives_keras_answer_without_its_head(tmp_path: Path, name: str, suffix: str) -> None:
    build, classes = KERAS[name]
    model = build()
    model.save(tmp_path / f"m{suffix}")
    found = load(tmp_path / f"m{suffix}", format="keras", classes=classes).module(IMAGES)
    wanted = torch.from_numpy(np.asarray(model(PIXELS.astype(np.float32) / 255, training=False).detach()))
    if name == "logits":
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    elif classes == 2:
        torch.testing.assert_close(found.softmax(1)[:, 1:], wanted, atol=1e-4, rtol=0)
    else:
        torch.testing.assert_close(found.softmax(1), wanted, atol=1e-4, rtol=0)
        assert found.abs().amax() > 1 or bool((found < 0).any())


@pytest.mark.slow
def test_fgsm_on_a_keras_model_is_the_formula(tmp_path: Path) -> None:
    """Goodfellow et al. 2015: the image moved by eps times the sign of the loss' gradient, as stored."""
    sequential(5, "softmax").save(tmp_path / "m.keras")
    found = load(tmp_path / "m.keras", format="keras")
    labels = found.module(IMAGES).argmax(1)
    rows = CleanRows(PIXELS, labels.numpy(), tuple("abc"), np.arange(3))
    spec = Attack.model_validate({"kind": "attack", "name": "fgsm", "norm": "linf", "eps": "4/255"})
    made = AttackRecipe(spec, module=found.module, classes=5, batch=3, device=CPU).make(rows, np.arange(3)[:, None])
    images = IMAGES.clone().requires_grad_()
    F.cross_entropy(found.module(images), labels, reduction="sum").backward()
    assert images.grad is not None
    wanted = (torch.from_numpy(PIXELS).permute(0, 3, 1, 2).int() + 4 * images.grad.sign().int()).clamp(0, 255)
    same = torch.from_numpy(made.pixels).permute(0, 3, 1, 2).int() == wanted
    assert same.float().mean() > 0.999  # gradients of 0, as behind a dead unit, have the sign that rounding gives them


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_keras_file_is_refused_before_keras_sees_it(tmp_path: Path, suffix: str) -> None:
    layers = keras().layers

    @keras().saving.register_keras_serializable("own")
    class Own(layers.Layer):  # type: ignore[name-defined,misc]
        def call(self, images: Tensor) -> Tensor:
            return images

    ends = [layers.Flatten(), layers.Dense(5)]
    for name, layer, sentence in (
        ("lambda", layers.Lambda(lambda images: images * 2), "has a Lambda layer, which holds code"),
        ("own", Own(), "names .*Own, which is not a part of Keras"),
    ):
        path = tmp_path / f"{name}{suffix}"
        keras().Sequential([layers.Input((32, 32, 3)), layer, *ends]).save(path)
        with pytest.raises(JobError, match=sentence):
            load(path, format="keras")


@pytest.mark.slow
def test_weights_alone_are_no_keras_model(tmp_path: Path) -> None:
    sequential(5, "softmax").save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(JobError, match=r"holds weights alone; save the whole model with model\.save"):
        load(tmp_path / "m.weights.h5", format="keras")
    (tmp_path / "m.keras").write_bytes(b"nothing")
    with pytest.raises(JobError, match=r"is no Keras model"):
        load(tmp_path / "m.keras", format="keras")
