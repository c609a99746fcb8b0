"""The labelling page: served on this machine only, at an address with a secret, under a strict content policy.

The standard library's server is enough for one person, and keeps labelling in the base install.
"""

from __future__ import annotations

import json
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from statistics import median
from typing import Any

from tasklift.data.labelling.session import Session
from tasklift.errors import ConfigError, TaskliftError
from tasklift.task import Task

HOST = "127.0.0.1"
#: An answer is a few hundred bytes.
LARGEST_BODY = 65_536
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}


class LabelServer(ThreadingHTTPServer):
    """The page of one session.

    Args:
        suggested_by: what the page calls the source of suggestions.
        port: 0 takes a free one.

    Raises:
        ConfigError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, session: Session, task: Task, suggested_by: str = "", port: int = 0) -> None:
        self.session, self.task, self.suggested_by = session, task, suggested_by
        self.secret = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"port {port} cannot be used ({error.strerror or error}); choose another --port"
            ) from error

    @property
    def url(self) -> str:
        """Where the page is: who knows it may label."""
        return f"http://{HOST}:{self.server_port}/{self.secret}/"


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    server_version = "tasklift"
    sys_version = ""

    def do_GET(self) -> None:
        path = self._path()
        if path is None:
            return
        if path in ("", "page.css", "page.js"):
            name = path or "page.html"
            blob = (files("tasklift.data.labelling") / "page" / name).read_bytes()
            self._send(200, blob, f"{_TYPES[name]}; charset=utf-8")
        elif path == "api/task":
            self._json(200, self._task())
        elif path == "api/next":
            self._json(200, self._state())
        else:
            self._json(404, {"error": "no such page"})

    def do_POST(self) -> None:
        path = self._path()
        if path is None:
            return
        if self.headers.get("content-type") != "application/json":
            self._json(415, {"error": "send JSON"})
            return
        try:
            size = int(self.headers.get("content-length", "0"))
            body = json.loads(self.rfile.read(size)) if 0 < size <= LARGEST_BODY else None
            if not isinstance(body, dict):
                raise ValueError("send one JSON object")
            if path == "api/answer":
                label, suggested = body.get("label"), body.get("suggested")
                self.server.session.answer(
                    str(body.get("row")),
                    None if label is None else str(label),
                    float(body.get("seconds", 0)),
                    None if suggested is None else str(suggested),
                )
            elif path == "api/undo":
                self.server.session.undo()
            else:
                self._json(404, {"error": "no such page"})
                return
            self._json(200, self._state())
        except (ValueError, TypeError, TaskliftError) as error:
            self._json(400, {"error": str(error)})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address holds the secret."""

    def _path(self) -> str | None:
        """The path behind the secret; None where the request was refused.

        The host is checked, so that no other site's name can be pointed here (DNS rebinding).
        """
        port = self.server.server_port
        if self.headers.get("host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self._json(421, {"error": "not for this host"})
            return None
        given, _, rest = self.path.removeprefix("/").partition("?")[0].partition("/")
        if not secrets.compare_digest(given.encode(), self.server.secret.encode()):
            self._json(404, {"error": "no such page"})
            return None
        return rest

    def _task(self) -> dict[str, Any]:
        task = self.server.task
        return {
            "name": task.name,
            "instruction": task.instruction,
            "labels": list(task.labels.items()),
            "suggested_by": self.server.suggested_by,
        }

    def _state(self) -> dict[str, Any]:
        session = self.server.session
        asked = session.next()
        taken = session.answers.seconds().get(session.annotator, [])
        shown = {"row": asked.row, "input": dict(asked.input), "suggested": asked.suggested} if asked else None
        return {
            "annotator": session.annotator,
            "asked": shown,
            "done": asked.done if asked else len(taken),
            "left": asked.left if asked else 0,
            "seconds": median(taken) if taken else None,
        }

    def _json(self, status: int, found: dict[str, Any]) -> None:
        self._send(status, json.dumps(found, ensure_ascii=False).encode(), "application/json")

    def _send(self, status: int, blob: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in (
            ("content-type", kind),
            ("content-length", str(len(blob))),
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(blob)
