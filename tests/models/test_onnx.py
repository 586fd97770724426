"""ONNX files: what they return is what onnxruntime returns, with gradients where they can be converted to torch."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hardset.pipeline.attacks.recipe import AttackRecipe
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.models import formats, onnx_models
from hardset.pipeline.models.feeding import Through
from hardset.pipeline.models.loading import LoadedModel, load_model, undressed
from hardset.pipeline.models.preflight import check_gradient, check_model
from hardset.pipeline.models.zoo import cifar_resnet20, mobilenet_v1, small_cnn
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Model
from hardset.schemas.job.recipes import Attack

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
IMAGES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255
WEIGHTS = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
DENSE = np.random.default_rng(2).standard_normal((4, 5)).astype(np.float32)


def written(
    path: Path, *, rows: int | str = "n", last: str | None = None, nhwc: bool = False, operation: str = "Relu"
) -> Path:
    """A convolution, its mean and a linear layer, whose weights go by a copy, as exporters share equal ones."""
    node = onnx.helper.make_node
    nodes = [node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2])] if nhwc else []
    nodes += [
        node("Identity", ["weights"], ["copied"]),
        node("Conv", ["turned" if nhwc else "images", "copied"], ["found"]),
        node(operation, ["found"], ["active"]),
        node("GlobalAveragePool", ["active"], ["mean"]),
        node("Flatten", ["mean"], ["flat"]),
        node("MatMul", ["flat", "dense"], ["logits"]),
    ]
    nodes += [node(last, ["logits"], ["made"])] if last else []
    tensor, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    shape = [rows, 16, 16, 3] if nhwc else [rows, 3, "height", "width"]
    graph = onnx.helper.make_graph(
        nodes, "classifier", [tensor("images", floats, shape)],
        [tensor("made" if last else "logits", floats, [rows, 5])],
        [onnx.numpy_helper.from_array(WEIGHTS, "weights"), onnx.numpy_helper.from_array(DENSE, "dense")],
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def wanted(images: Tensor) -> Tensor:
    active = torch.relu(torch.nn.functional.conv2d(images, torch.from_numpy(WEIGHTS)))
    return active.mean((2, 3)) @ torch.from_numpy(DENSE)


def load(path: Path, *, classes: int = 5, channels: int = 3, **settings: Any) -> LoadedModel:
    spec = Model.model_validate({"format": "onnx", "weights": str(path), "classes": classes, **settings})
    return load_model(spec, channels=channels, device=CPU)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test loads its file, though an equal one was loaded before."""
    monkeypatch.setattr(formats, "_HELD", {})


@pytest.fixture
def unconverted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The converter is not installed."""

    def missing(model: Any) -> nn.Module:
        raise ModuleNotFoundError("No module named 'onnx2pytorch'", name="onnx2pytorch")

    monkeypatch.setattr(onnx_models, "_converted", missing)


@pytest.mark.parametrize("rows", ["n", 1, 3])
@pytest.mark.parametrize(("last", "nhwc"), [(None, False), ("Softmax", False), (None, True), ("Sigmoid", True)])
def test_a_file_gives_the_logits_of_its_graph_without_its_head(
    tmp_path: Path, rows: int | str, last: str | None, nhwc: bool
) -> None:
    found = load(written(tmp_path / "m.onnx", rows=rows, last=last, nhwc=nhwc))
    torch.testing.assert_close(found.module(IMAGES), wanted(IMAGES), atol=1e-4, rtol=0)
    assert found.model_id == f"onnx@{found.sha256[:12]}"


@pytest.mark.usefixtures("unconverted")
def test_what_is_not_converted_is_a_black_box_for_attacks_without_gradients(tmp_path: Path) -> None:
    found = load(written(tmp_path / "m.onnx"))
    assert check_model(found, PIXELS, CPU, batch=4) == ()
    with pytest.raises(
        JobError, match=r"^model\.weights: no gradient .* because onnx2pytorch is not installed.*square"
    ):
        check_gradient(found, PIXELS, CPU)
    labels = found.module(IMAGES).argmax(1)
    rows = CleanRows(PIXELS, labels.numpy(), tuple("abcde"), np.arange(5))
    spec = Attack.model_validate({"kind": "attack", "name": "square", "norm": "linf", "eps": "64/255", "steps": 30})
    recipe = AttackRecipe(spec, module=found.module, classes=5, batch=5, device=CPU)
    own = AttackRecipe(spec, module=Through(nn.Identity(), wanted), classes=5, batch=5, device=CPU)
    np.testing.assert_array_equal(
        recipe.make(rows, np.arange(5)[:, None]).pixels, own.make(rows, np.arange(5)[:, None]).pixels
    )


def test_a_conversion_with_other_logits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_models, "_converted", lambda model: Through(nn.Identity(), lambda x: wanted(x) + 1e-3))
    with pytest.raises(JobError, match=r"converted to torch, its logits are 1\.0e-03 from those of onnxruntime"):
        load(written(tmp_path / "m.onnx"))


def test_a_conversion_that_does_not_run_is_a_black_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(images: Tensor) -> Tensor:
        raise TypeError("two arguments")

    monkeypatch.setattr(onnx_models, "_converted", lambda model: Through(nn.Identity(), broken))
    found = load(written(tmp_path / "m.onnx"))
    torch.testing.assert_close(found.module(IMAGES), wanted(IMAGES), atol=1e-4, rtol=0)
    with pytest.raises(JobError, match="what it is converted to does not run: TypeError: two arguments"):
        check_gradient(found, PIXELS, CPU)


def test_files_that_are_no_classifier_say_so(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(JobError, match=r"^model\.weights: .*m\.onnx: is no ONNX model"):
        load(path)
    with pytest.raises(JobError, match=r"onnxruntime cannot load it: .*Unheard"):
        load(written(path, operation="Unheard"))
    model = onnx.load(written(path))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    for tensor in model.graph.initializer:
        tensor.CopyFrom(
            onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    path.write_bytes(model.SerializeToString())
    with pytest.raises(JobError, match=r"takes tensor\(float16\) of .*; wants one batch of float32 images"):
        load(path)
    onnx.save(onnx.load(written(path)), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(JobError, match="keeps its weights in files beside it; save it as one file"):
        load(path)


@pytest.mark.slow
@pytest.mark.parametrize("build", [lambda: small_cnn(10, 3, 32), cifar_resnet20, lambda: mobilenet_v1(10)])
def test_a_converted_network_has_the_gradients_of_its_origin(tmp_path: Path, build: Any) -> None:
    """Where the converter imports: torch's own exporter, its graph, and the network that it was made from."""
    pytest.importorskip("onnx2pytorch", exc_type=ImportError)
    torch.manual_seed(0)
    net, file = build().eval(), io.BytesIO()
    images = torch.rand(4, 3, 32, 32, requires_grad=True)
    torch.onnx.export(net, (images,), file, dynamo=False, opset_version=17)
    (tmp_path / "m.onnx").write_bytes(file.getvalue())
    found = load(tmp_path / "m.onnx", classes=10).module
    assert not isinstance(undressed(found), onnx_models.RunByOnnxruntime)
    (gradient,) = torch.autograd.grad(found(images).logsumexp(1).sum(), images)
    (origin,) = torch.autograd.grad(net(images).logsumexp(1).sum(), images)
    torch.testing.assert_close(found(images), net(images), atol=1e-4, rtol=0)
    torch.testing.assert_close(gradient, origin, atol=1e-5, rtol=1e-3)


@pytest.mark.slow
def test_the_published_mobilenet_has_the_same_logits_as_onnx(shared_data: Path, tmp_path: Path) -> None:
    weights = str(shared_data / "weights" / "mobilenet_v1_0.25_128.safetensors")
    normalize = {"mean": [128 / 255] * 3, "std": [128 / 255] * 3}
    factory = "hardset.pipeline.models.zoo:mobilenet_v1"
    spec = Model.model_validate({"factory": factory, "weights": weights, "classes": 1000, "normalize": normalize})
    net, file = load_model(spec, channels=3, device=CPU).module, io.BytesIO()
    images = torch.rand(6, 3, 128, 128, generator=torch.Generator().manual_seed(3))
    torch.onnx.export(undressed(net), (images,), file, dynamo=False, opset_version=17)
    (tmp_path / "m.onnx").write_bytes(file.getvalue())
    found = load(tmp_path / "m.onnx", classes=1000, normalize=normalize).module(images)
    torch.testing.assert_close(found, net(images), atol=1e-4, rtol=0)
    assert torch.equal(found.argmax(1), net(images).argmax(1))
