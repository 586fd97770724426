"""What the site has beyond docs/: the README as its first page, and the files beside it that pages link to.

A hook of mkdocs (`make site`). Links are written as a code host follows them; here they are bent to where the files lie
on the site, so that no text is kept twice.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
OUTSIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff", "LICENSE", "examples/**/*")
_LINK = re.compile(r"\]\((?P<target>[^)#:]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Adds the files outside docs/; the README becomes index.md."""
    files.append(File.generated(config, "index.md", abs_src_path=str(ROOT / "README.md")))
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(ROOT).as_posix()
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The text of a page with its links to files of the checkout bent."""
    source = Path(page.file.abs_src_path).parent
    return _LINK.sub(lambda found: _bent(found, source, page.file.src_uri), markdown)


def _bent(found: re.Match[str], source: Path, page: str) -> str:
    target = (source / found["target"]).resolve()
    if not target.is_relative_to(ROOT):
        return found[0]
    name = target.relative_to(ROOT).as_posix().removeprefix("docs/")
    name = "index.md" if name == "README.md" else name
    if target.is_dir():  # a site lists no folders
        return "]"
    return f"]({'../' * page.count('/')}{name}{found['anchor'] or ''})"
