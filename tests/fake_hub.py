"""A hub of one's own on 127.0.0.1: as much of the Hugging Face hub's protocol as files need.

Repositories are made, files come in with a commit and go out by name; nothing else is known.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "0" * 39 + "1"


class FakeHub:
    """What was sent: repository -> file name -> bytes; and whether it was to be private."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.is_private: dict[str, bool] = {}
        self.address = ""


@contextmanager
def serve_hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self._body()
            if self.path == "/api/repos/create":
                wanted = json.loads(body)
                name = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
                hub.files.setdefault(name, {})
                # Before version 1 of the client "private" was true or false.
                is_private = wanted.get("private") or wanted.get("visibility") == "private"
                hub.is_private[name] = bool(is_private)
                self._json({"url": f"{hub.address}/{name}", "id": name, "name": name})
            elif self.path == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
            elif match := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
                files = [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for one in json.loads(body)["files"]
                ]
                self._json({"files": files})
            elif match := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
                for line in body.decode().splitlines():
                    entry = json.loads(line)
                    if entry["key"] == "file":
                        content = base64.b64decode(entry["value"]["content"])
                        hub.files[match[1]][entry["value"]["path"]] = content
                self._json(
                    {
                        "commitUrl": f"{hub.address}/{match[1]}/commit/{COMMIT}",
                        "commitOid": COMMIT,
                        "success": True,
                    }
                )
            else:
                self._json({"error": f"no POST {self.path}"}, 404)

        def do_GET(self) -> None:
            self._file(with_body=True)

        def do_HEAD(self) -> None:
            self._file(with_body=False)

        def _file(self, *, with_body: bool) -> None:
            match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path)
            info = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/.+)?", self.path)
            if info and info[1] in hub.files:
                self._json({"id": info[1], "sha": COMMIT, "siblings": []})
                return
            content = hub.files.get(match[1], {}).get(match[2]) if match else None
            if content is None:
                self.send_response(404)
                known = match is not None and match[1] in hub.files
                self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                self.send_header("X-Error-Message", "not here")
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _json(self, value: Any, status: int = 200) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
