"""From a job's model section to a frozen module: what loads, what it is called, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from hardset.pipeline.models.loading import load_model, network_sha256
from hardset.pipeline.models.state import fill
from hardset.pipeline.models.zoo import cnn_a
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Model
from tests.models.conftest import IMAGES

CPU = torch.device("cpu")
HALVES = {"mean": [0.5], "std": [0.25]}


def spec(**settings: Any) -> Model:
    return Model(**({"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10} | settings))


def load(channels: int = 1, **settings: Any) -> nn.Module:
    return load_model(spec(**settings), channels=channels, device=CPU).module


def save(tmp_path: Path, state: dict[str, Tensor], name: str = "w.safetensors") -> str:
    path = str(tmp_path / name)
    if name.endswith(".safetensors"):
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


def wrapped(state: dict[str, Tensor], prefix: str, **more: Tensor) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()} | more


def test_the_module_is_frozen_in_eval_mode_and_float32(trained: nn.Module, tmp_path: Path) -> None:
    path = save(tmp_path, {key: value.double() for key, value in trained.state_dict().items()})
    module = load(weights=path, normalize=HALVES)
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert {value.dtype for value in module.parameters()} == {torch.float32}
    torch.testing.assert_close(module(IMAGES), trained((IMAGES - 0.5) / 0.25))


def test_gradients_reach_the_images(trained: nn.Module, tmp_path: Path) -> None:
    module = load(weights=save(tmp_path, trained.state_dict()), normalize=HALVES)
    images = IMAGES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(images).logsumexp(1).sum(), images)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
@pytest.mark.parametrize("prefix", ["", "module.", "net.", "_orig_mod.", "module.net."])
def test_every_format_and_wrapper_gives_the_same_model(
    trained: nn.Module, tmp_path: Path, name: str, prefix: str
) -> None:
    path = save(tmp_path, wrapped(trained.state_dict(), prefix), name)
    torch.testing.assert_close(load(weights=path)(IMAGES), trained(IMAGES))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_the_state_dict_is_found_inside_a_checkpoint(trained: nn.Module, tmp_path: Path, key: str) -> None:
    torch.save({"epoch": 7, key: trained.state_dict(), "optimizer": {"lr": 0.1}}, tmp_path / "w.pth")
    torch.testing.assert_close(load(weights=str(tmp_path / "w.pth"))(IMAGES), trained(IMAGES))


def test_any_fsspec_url_will_do(trained: nn.Module) -> None:
    with fsspec.open("memory://models/w.safetensors", "wb") as file:
        file.write(safetensors.torch.save(trained.state_dict()))
    torch.testing.assert_close(load(weights="memory://models/w.safetensors")(IMAGES), trained(IMAGES))


def test_batch_counters_may_be_missing(trained: nn.Module, tmp_path: Path) -> None:
    state = {key: value for key, value in trained.state_dict().items() if "num_batches" not in key}
    torch.testing.assert_close(load(weights=save(tmp_path, state))(IMAGES), trained(IMAGES))


def normaliser(mean: float, std: float) -> dict[str, Tensor]:
    return {"mean": torch.full((1, 1, 1, 1), mean), "std": torch.full((1, 1, 1, 1), std)}


def test_a_normaliser_in_the_file_must_be_the_jobs(trained: nn.Module, tmp_path: Path) -> None:
    state = trained.state_dict()
    path = save(tmp_path, wrapped(state, "net.", **normaliser(0.5, 0.2504)))
    torch.testing.assert_close(load(weights=path, normalize=HALVES)(IMAGES), trained((IMAGES - 0.5) / 0.25))
    for other in (None, {"mean": [0.5], "std": [0.26]}, {"mean": [0.4], "std": [0.25]}):
        with pytest.raises(JobError, match=r"write normalize: \{mean: \[0.5\], std: \[0.2504\]\}"):
            load(weights=path, normalize=other)


def test_mean_and_std_of_the_factorys_own_are_loaded() -> None:
    module = nn.Module()
    module.register_buffer("mean", torch.zeros(1))
    module.register_buffer("std", torch.ones(1))
    fill(module, {"mean": torch.full((1,), 2.0), "std": torch.full((1,), 3.0)}, name="w", normalize=None)
    assert module.mean.item() == 2.0


def test_the_digest_is_of_the_file(trained: nn.Module, tmp_path: Path) -> None:
    path = save(tmp_path, trained.state_dict())
    renamed = save(tmp_path, trained.state_dict(), "renamed.safetensors")
    loaded = load_model(spec(weights=path), channels=1, device=CPU)
    assert loaded.sha256 == network_sha256(spec(weights=path)) == sha256_hex(Path(path).read_bytes())
    assert loaded.model_id == f"hardset.pipeline.models.zoo:small_cnn@{loaded.sha256[:12]}"
    assert loaded.model_id == load_model(spec(weights=renamed), channels=1, device=CPU).model_id
    assert loaded.classes == 10


def test_a_factory_alone_gives_the_same_model_whatever_ran_before() -> None:
    first = load_model(spec(), channels=1, device=CPU)
    torch.manual_seed(12345)
    state = torch.get_rng_state()
    second = load_model(spec(), channels=1, device=CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.sha256 == second.sha256 == network_sha256(spec())
    torch.testing.assert_close(first.module(IMAGES), second.module(IMAGES), rtol=0, atol=0)
    assert network_sha256(spec(arguments={"side": 12})) != first.sha256


def test_a_factory_that_never_gives_the_same_is_refused() -> None:
    with pytest.raises(JobError, match="gives other weights at each call"):
        network_sha256(spec(factory="tests.models.factories:never_the_same"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"factory": "no_such_package.models:net"}, "model.factory: no_such_package.models cannot be imported: .*inst"),
        (
            {"factory": "hardset.pipeline.models.zoo:smal_cnn"},
            "model.factory: .* has no smal_cnn; did you mean small_cnn",
        ),
        ({"factory": "tests.models.factories:not_callable"}, "model.factory: .* is a int; wants a function"),
        ({"factory": "tests.models.factories:no_module"}, "model.factory: .* returned a dict; wants"),
        ({"factory": "tests.models.factories:broken"}, "model.factory: .* failed: RuntimeError: no such dataset"),
        ({"arguments": {"depth": 3}}, r"model.factory: .* unexpected keyword argument 'depth'; it takes \(classes"),
        ({"arguments": {"side": "eight"}}, "model.factory: .* failed: TypeError: .*; check model.arguments"),
        ({"normalize": {"mean": [0.5] * 3, "std": [0.5] * 3}}, "model.normalize: .* 3 values, .* have 1 channel;"),
    ],
)
def test_what_cannot_be_built_is_named(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(JobError, match=sentence) as caught:
        load(**settings)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_list_a_few_names(trained: nn.Module, tmp_path: Path) -> None:
    path = save(tmp_path, cnn_a(channels=1, side=8).state_dict())
    names = r"missing 1\.weight, .* and 12 more; unexpected 0\.bias, .* and 3 more; name"
    with pytest.raises(JobError, match=names) as caught:
        load(weights=path)
    assert len(str(caught.value)) < 400
    with pytest.raises(JobError, match=r"13\.weight is 10x384 in the file and 12x384 in the model; 13\.bias is 10 in"):
        load(weights=save(tmp_path, trained.state_dict()), arguments={"classes": 12})


# -inf is allowed in buffers, for the sake of attention masks.
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("3.weight", "nan"),
        ("3.weight", "inf"),
        ("3.weight", "-inf"),
        ("1.running_mean", "nan"),
        ("1.running_var", "inf"),
    ],
)
def test_weights_that_are_no_numbers_name_their_tensor(
    trained: nn.Module, tmp_path: Path, name: str, value: str
) -> None:
    state = {key: tensor.clone() for key, tensor in trained.state_dict().items()}
    state[name].view(-1)[1] = float(value)
    with pytest.raises(JobError, match=f"tensor {name} holds NaN or infinity"):
        load(weights=save(tmp_path, state))


def test_numbers_that_float32_cannot_hold_are_found_too(trained: nn.Module, tmp_path: Path) -> None:
    state = {key: tensor.double() for key, tensor in trained.state_dict().items()}
    state["13.bias"][0] = 1e300
    with pytest.raises(JobError, match=r"tensor 13\.bias holds"):
        load(weights=save(tmp_path, state))
