"""Weight files that lie, are damaged or could run code; and storage that says no."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from hardset.pipeline.models.weights import read_weights, weights_sha256
from hardset.pipeline.models.zoo import small_cnn
from hardset.schemas.errors import JobError, RunError


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.pkl", "w.pickle", "w.bin", "w.ckpt", "w.safetensors", "w"])
@pytest.mark.parametrize("writer", ["pickle", "torch", "legacy torch"])
def test_no_file_runs_code(tmp_path: Path, name: str, writer: str) -> None:
    crater, path = tmp_path / "crater", tmp_path / name
    content = {"0.weight": Bomb(crater)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(JobError, match=r"model\.weights: .*safetensors\.torch\.save_file"):
        read_weights(str(path))
    assert not crater.exists()
    pickle.loads(pickle.dumps(Bomb(crater)))
    assert crater.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused_under_any_name(tmp_path: Path) -> None:
    traced = torch.jit.trace(small_cnn().eval(), torch.rand(1, 1, 8, 8))
    traced.save(str(tmp_path / "w.pt"))
    with pytest.raises(JobError, match=r"is TorchScript, which can run code; .* set format: torchscript in"):
        read_weights(str(tmp_path / "w.pt"))


@pytest.mark.parametrize("member", ["w/archive_format", "archive_format", "serialized_exported_program.json"])
def test_exported_programs_are_refused_under_any_name(tmp_path: Path, member: str) -> None:
    for name in ("w.pt2", "w.pt"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, "pt2")
        with pytest.raises(JobError, match=r"is an exported program.* set format: export in place of"):
            read_weights(str(tmp_path / name))


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"PK\x03\x04 cut off", b"\x80\x02"])
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_damaged_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(JobError, match=r"is damaged|is no safetensors file|is empty or cut off|is cut off"):
        read_weights(str(tmp_path / name))


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {"a": 1}}, torch.zeros(3)])
def test_files_without_a_state_dict_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(JobError, match=r"holds no state dict"):
        read_weights(str(tmp_path / "w.pt"))


@pytest.mark.parametrize("read", [read_weights, weights_sha256])
def test_missing_files_and_folders(tmp_path: Path, read: Any) -> None:
    with pytest.raises(JobError, match=r"w\.pt: no such file"):
        read(str(tmp_path / "w.pt"))
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(JobError, match=r"folder\.pt: is a folder"):
        read(str(tmp_path / "folder.pt"))
    with pytest.raises(JobError, match=r"nowhere://w\.pt: cannot be opened: .*nowhere"):
        read("nowhere://w.pt")
    with pytest.raises(JobError, match=r"is a pickle"):
        read(str(tmp_path / "no_need_to_be_there.pkl"))


def test_credentials_stay_out_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://user:secret@host/w.pt?token=secret"

    def refuse(*_: Any) -> None:
        raise PermissionError(f"403 for {url}")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with pytest.raises(RunError, match=r"https://host/w\.pt: cannot be read: PermissionError: 403") as refused:
        read_weights(url)
    with pytest.raises(JobError, match=r"https://host/w\.pkl: is a pickle") as kind:
        read_weights(url.replace(".pt", ".pkl"))
    assert "secret" not in str(refused.value) + str(kind.value)


def test_a_pipe_and_a_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe, device = tmp_path / "pipe.safetensors", tmp_path / "zero.pt"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for place in (pipe, device):
        for read in (read_weights, weights_sha256):
            with pytest.raises(
                JobError, match=r"model\.weights: .*is a pipe, a device or the like; wants a regular file"
            ):
                read(str(place))


def test_a_file_beyond_the_limit_is_refused_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "large.safetensors"
    with place.open("wb") as file:
        file.truncate(2 << 20)
    monkeypatch.setenv("HARDSET_WEIGHTS_GIB", "0.001")
    with pytest.raises(JobError, match=r"has 0\.0 GiB, more than HARDSET_WEIGHTS_GIB allows \(0\.001\)"):
        read_weights(str(place))
    monkeypatch.setenv("HARDSET_WEIGHTS_GIB", "none")
    with pytest.raises(JobError, match="HARDSET_WEIGHTS_GIB: got 'none'"):
        read_weights(str(place))


def test_a_checkpoint_with_deflated_records_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    plain, bomb = tmp_path / "plain.pt", tmp_path / "bomb.pt"
    torch.save({"weight": torch.zeros(1 << 20)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert bomb.stat().st_size < 10_000
    assert read_weights(str(plain))[0]["weight"].shape == (1 << 20,)
    with pytest.raises(JobError, match="holds compressed or overlapping records, which unfold to 4 MiB"):
        read_weights(str(bomb))
