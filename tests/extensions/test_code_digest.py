"""What names a user's code: its distribution where it is installed, else its source files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardset.pipeline.extensions.code_digest import code_digest

SOURCE = "VALUE = 1\n"


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    code_digest.cache_clear()
    yield
    code_digest.cache_clear()
    sys.modules.pop("acme_digest", None)


def digest_of(module: str) -> dict[str, str]:
    """As the next process has it."""
    code_digest.cache_clear()
    sys.path_importer_cache.clear()
    return code_digest(module)


def installed(folder: Path, *, version: str = "1.2", recorded: str = "acme_digest/__init__.py,sha256=aa,10\n") -> None:
    home = folder / f"acme_digest-{version}.dist-info"
    home.mkdir(exist_ok=True)
    (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-digest\nVersion: {version}\n", encoding="utf-8")
    scripts = f"../../bin/acme,sha256={folder.name},9\nacme_digest-{version}.dist-info/INSTALLER,sha256=cc,4\n"
    (home / "RECORD").write_text(recorded + scripts, encoding="utf-8")
    (home / "top_level.txt").write_text("acme_digest\n", encoding="utf-8")


def package(folder: Path, name: str = "acme_digest") -> Path:
    home = folder / name
    (home / "deep").mkdir(parents=True)
    (home / "__init__.py").write_text(SOURCE, encoding="utf-8")
    (home / "deep" / "more.py").write_text(SOURCE, encoding="utf-8")
    return home


def test_a_module_is_its_file(tmp_path: Path) -> None:
    (tmp_path / "acme_digest.py").write_text(SOURCE, encoding="utf-8")
    before = digest_of("acme_digest")
    assert before["module"] == "acme_digest" and len(before["sha256"]) == 64
    assert digest_of("acme_digest") == before
    (tmp_path / "acme_digest.py").write_text(SOURCE + "\n", encoding="utf-8")
    assert digest_of("acme_digest") != before


def test_a_package_is_all_its_files_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = package(tmp_path)
    before = digest_of("acme_digest.deep.more")
    (home / "deep" / "more.py").write_text(SOURCE + "# edited\n", encoding="utf-8")
    assert digest_of("acme_digest") != before
    package(tmp_path / "elsewhere")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    assert digest_of("acme_digest") == before


def test_a_distribution_is_its_name_version_and_recorded_hashes(tmp_path: Path) -> None:
    package(tmp_path)
    installed(tmp_path)
    before = digest_of("acme_digest.deep.more")
    assert before["distribution"] == "acme-digest 1.2"
    installed(tmp_path, recorded="acme_digest/__init__.py,sha256=bb,10\n")
    assert digest_of("acme_digest") != before


def test_scripts_and_metadata_that_differ_by_machine_do_not_count(tmp_path: Path, monkeypatch) -> None:
    found = []
    for name in ("one", "other"):
        package(tmp_path / name)
        installed(tmp_path / name)
        monkeypatch.syspath_prepend(str(tmp_path / name))
        found.append(digest_of("acme_digest"))
    assert found[0] == found[1]


def test_an_editable_installation_is_its_source(tmp_path: Path) -> None:
    """Its record lists a link, so that edits would go unnoticed."""
    home = package(tmp_path)
    installed(tmp_path, recorded="__editable__.acme_digest-1.2.pth,sha256=aa,10\n")
    before = digest_of("acme_digest")
    assert before["module"] == "acme_digest"
    (home / "__init__.py").write_text(SOURCE + "# edited\n", encoding="utf-8")
    assert digest_of("acme_digest") != before


@pytest.mark.parametrize("module", ["no_such_module_anywhere.part", "__main__", "builtins"])
def test_what_has_no_source_file_is_refused(module: str) -> None:
    with pytest.raises(ImportError, match=rf"{module.partition('.')[0]} has no source file, so that its code has no"):
        digest_of(module)
