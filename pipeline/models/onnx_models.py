"""ONNX models: converted to torch and held against onnxruntime, or run by onnxruntime alone, without gradients."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hardset.pipeline.models.saved import SavedNetwork, extra
from hardset.pipeline.models.vision import make_importable
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.errors import JobError, one_line
from hardset.schemas.job.network import Input

HELD_ROWS = 8
"""Rows on which a converted network is held against onnxruntime."""
TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit where that is above 1."""
_TRIED_SIDES = (32, 64, 128, 224)
"""Heights and widths that are tried where the file leaves them open."""
_HEADS = ("Softmax", "Sigmoid")
_COLOURS = (1, 3)


class RunByOnnxruntime(nn.Module):
    """An ONNX graph as onnxruntime runs it, on the CPU: logits without gradients."""

    def __init__(self, session: Any, rows: int | None, cause: str) -> None:
        """`rows`: size of batch that the graph is fixed to; None: any. `cause`: why it was not converted."""
        super().__init__()
        self.session, self.rows, self.cause = session, rows, cause

    def __deepcopy__(self, memo: object) -> RunByOnnxruntime:
        return RunByOnnxruntime(self.session, self.rows, self.cause)  # sessions may be shared, and not copied

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images, in the layout of the graph. Raises RuntimeError where a gradient is asked of them."""
        logits: Tensor = _WithoutGradient.apply(images, self)  # type: ignore[no-untyped-call]
        return logits

    def run(self, images: Tensor) -> Tensor:
        """The first output, in parts of the fixed size of batch, the last of which is filled up."""
        values = np.ascontiguousarray(images.detach().cpu().numpy(), dtype=np.float32)
        size = self.rows or len(values)
        name = self.session.get_inputs()[0].name
        made = []
        for start in range(0, len(values), size):
            part = values[start : start + size]
            whole = np.resize(part, (size, *part.shape[1:])) if len(part) < size else part
            made.append(self.session.run(None, {name: whole})[0][: len(part)])
        return torch.from_numpy(np.concatenate(made)).to(images.device)


class _WithoutGradient(torch.autograd.Function):
    """Values of onnxruntime, whose gradient is asked for in vain, with the reason."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, network: RunByOnnxruntime) -> Tensor:
        ctx.cause = network.cause
        return network.run(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError(f"onnxruntime runs the ONNX model, without gradients, because {ctx.cause}")


def load(data: bytes, url: str, at: str) -> SavedNetwork:
    """The classifier in an ONNX file, without the softmax or sigmoid at its end.

    Raises JobError for files that onnxruntime cannot load, graphs that take anything but one batch of float32 images,
    and conversions whose logits are not onnxruntime's.
    """
    onnx: Any = extra("onnx", "onnx", at)
    runtime: Any = extra("onnxruntime", "onnx", at)
    name = f"{at}.weights: {public_name(url)}"
    graph = _graph(onnx, data, name)
    try:
        session = runtime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own exceptions have no common class
        raise JobError(f"{name}: onnxruntime cannot load it: {type(error).__name__}: {one_line(error)}") from error
    shape = _shape(session, name)
    nhwc = _is_nhwc(shape)
    rows, sides = shape[0], (shape[1:3] if nhwc else shape[2:])
    black_box = RunByOnnxruntime(session, rows, "")
    network: nn.Module = black_box
    try:
        network = _converted(graph)
    except ImportError as error:
        black_box.cause = f"{error.name} is not installed, which converts it to torch: pip install 'hardset[onnx]'"
    except Exception as error:  # a converter raises whatever it does not know
        black_box.cause = f"it cannot be converted to torch: {type(error).__name__}: {one_line(error)}"
    else:
        network = _held(network, black_box, shape, name)
    height, width = sides
    return SavedNetwork(
        network=network,
        input=Input(layout="nhwc") if nhwc else None,
        size=None if nhwc or height is None or width is None else (height, width),
    )


def _graph(onnx: Any, data: bytes, name: str) -> Any:
    """The file's model with one output, which is no softmax or sigmoid, and weights where the converter seeks them."""
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own classes of exceptions
        raise JobError(f"{name}: is no ONNX model: {one_line(error)}") from None
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise JobError(
            f"{name}: keeps its weights in files beside it; save it as one file: "
            "onnx.save(onnx.load(FILE), NEW, save_as_external_data=False)"
        )
    if not model.graph.output:
        raise JobError(f"{name}: is no ONNX model: its graph has no output")
    del model.graph.output[1:]
    _take_off_head(onnx, model.graph)
    _name_initializers(model.graph)
    return model


def _take_off_head(onnx: Any, graph: Any) -> None:
    """Makes what goes into a softmax or sigmoid at the end the output."""
    last = graph.output[0].name
    for node in graph.node:
        if last in node.output and node.op_type in _HEADS:
            shape = graph.output[0].type
            del graph.output[:]
            graph.output.append(onnx.ValueInfoProto(name=node.input[0], type=shape))
            graph.node.remove(node)
            return


def _name_initializers(graph: Any) -> None:
    """Replaces copies of weights, by which exporters share equal ones, by the weights: converters want them by name."""
    known = {tensor.name for tensor in graph.initializer}
    copies = {
        node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity" and node.input[0] in known
    }
    outputs = {output.name for output in graph.output}
    for node in list(graph.node):
        if node.op_type == "Identity" and node.output[0] in copies and node.output[0] not in outputs:
            graph.node.remove(node)
        for position, used in enumerate(node.input):
            node.input[position] = copies.get(used, used)


def _shape(session: Any, name: str) -> tuple[int | None, ...]:
    """Shape of the graph's one input; None where it is open."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{one.type} of {one.shape}" for one in inputs)
        raise JobError(
            f"{name}: takes {found}; wants one batch of float32 images with four axes: export the model anew, in "
            "float32 and with the images alone as its input"
        )
    return tuple(side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape)


def _is_nhwc(shape: tuple[int | None, ...]) -> bool:
    """Whether the channels of a graph's input come last."""
    return shape[3] in _COLOURS and shape[1] not in _COLOURS


def _converted(model: Any) -> nn.Module:
    """The graph as a module of torch. Raises whatever the library does."""
    make_importable()
    library: Any = import_module("onnx2pytorch")
    network: nn.Module = library.ConvertModel(model, experimental=True).eval()
    return network


def _held(network: nn.Module, black_box: RunByOnnxruntime, shape: tuple[int | None, ...], name: str) -> nn.Module:
    """The converted network where it gives onnxruntime's logits; what runs in onnxruntime where it does not run.

    Raises JobError where its logits are others, or onnxruntime runs on images of no size.
    """
    images, wanted = _answered(black_box, shape, name)
    try:
        with torch.no_grad():
            found = network(images)
    except Exception as error:  # operations that the converter understood otherwise
        black_box.cause = f"what it is converted to does not run: {type(error).__name__}: {one_line(error)}"
        return black_box
    apart = float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf")
    if not apart <= TOLERANCE * max(1.0, float(wanted.abs().max())):
        raise JobError(
            f"{name}: converted to torch, its logits are {apart:.1e} from those of onnxruntime on {HELD_ROWS} rows; "
            f"{TOLERANCE:.0e} is allowed: export it anew with another opset, or build the network in a factory"
        )
    return network


def _answered(black_box: RunByOnnxruntime, shape: tuple[int | None, ...], name: str) -> tuple[Tensor, Tensor]:
    """Rows of noise that onnxruntime takes, and its logits."""
    numbers = torch.Generator().manual_seed(0)
    fault: Exception | None = None
    nhwc = _is_nhwc(shape)
    for side in _TRIED_SIDES:
        for colours in reversed(_COLOURS):
            assumed = (HELD_ROWS, side, side, colours) if nhwc else (HELD_ROWS, colours, side, side)
            sides = [HELD_ROWS, *(known or other for known, other in zip(shape[1:], assumed[1:], strict=True))]
            images = torch.rand(sides, generator=numbers)
            try:
                return images, black_box.run(images)
            except Exception as error:  # a size that does not fit; the runtime's exceptions have no common class
                fault = error
    raise JobError(f"{name}: onnxruntime runs it on images of no size: {one_line(fault or ValueError())}") from fault
