"""A stand-in of the Hugging Face Hub's API on the loopback: the requests that reading a dataset takes, and no other."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest

REPOSITORY = "org/name"


class Hub:
    """Datasets at commits; `branches` names the commit of each branch."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.asked: list[str] = []

    def push(self, files: dict[str, bytes], branch: str = "main") -> str:
        """A commit of these files, which the branch stands for from now on."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        self.asked.append(path)
        path = unquote(path.partition("?")[0])
        if path.startswith(f"/api/datasets/{REPOSITORY}"):
            act, _, rest = path.removeprefix(f"/api/datasets/{REPOSITORY}").strip("/").partition("/")
            revision, _, inner = rest.partition("/")
            commit = self.branches.get(revision or "main", revision)
            if commit not in self.commits:
                return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
            if act == "tree":
                return 200, {}, json.dumps(list(self._tree(self.commits[commit], inner))).encode()
            return 200, {}, json.dumps({"id": REPOSITORY, "sha": commit, "siblings": [], "tags": []}).encode()
        if path.startswith(f"/datasets/{REPOSITORY}/resolve/"):
            revision, _, name = path.removeprefix(f"/datasets/{REPOSITORY}/resolve/").partition("/")
            data = self.commits[self.branches.get(revision, revision)].get(name)
            if data is not None:
                return 200, {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": revision}, data
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"

    @staticmethod
    def _tree(files: dict[str, bytes], inner: str) -> Iterator[dict[str, Any]]:
        above = f"{inner}/" if inner else ""
        folders = {name.rpartition("/")[0] for name in files if "/" in name}
        for folder in sorted(folders):
            if folder.startswith(above) and folder != inner:
                yield {"type": "directory", "oid": _oid(folder.encode()), "size": 0, "path": folder}
        for name, data in sorted(files.items()):
            if name.startswith(above):
                yield {"type": "file", "oid": _oid(data), "size": len(data), "path": name}


def _oid(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Address of the hub."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = hub.answer(self.path)
            if status == 200 and (asked := self.headers.get("Range")):
                first, _, last = asked.removeprefix("bytes=").partition("-")
                total = len(body)
                body, status = body[int(first) : int(last) + 1 if last else None], 206
                headers["Content-Range"] = f"bytes {first}-{int(first) + len(body) - 1}/{total}"
            self._give(status, headers, body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._give(404, {}, b"{}")

        def _give(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keeps the test's output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def reached(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that huggingface_hub reaches in this process."""
    from huggingface_hub import HfFileSystem, constants

    hub = Hub()
    with serving(hub) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        HfFileSystem.clear_instance_cache()
        yield hub
        HfFileSystem.clear_instance_cache()
