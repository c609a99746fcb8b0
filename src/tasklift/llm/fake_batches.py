"""The batch part of the fake endpoint: files and batches as OpenAI documents them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

#: Answers one chat body: (status, response body).
AnswerBody = Callable[[Mapping[str, Any]], tuple[int, dict[str, Any]]]


@dataclass
class FakeBatches:
    """Files and batches in memory.

    Attributes:
        answer: answers each request of a batch.
        polls: how often a batch is still in progress when it is asked for.
        ends: its last status: `completed`, `failed`, `expired` or `cancelled`.
        answered_share: share of the requests that are answered; the others are in no file.
        created: how many batches were made.
        files: id -> content.
    """

    answer: AnswerBody
    polls: int = 1
    ends: str = "completed"
    answered_share: float = 1.0
    created: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    _batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    _polled: dict[str, int] = field(default_factory=dict)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve it below /v1."""
        router.add_post("/v1/files", self._upload)
        router.add_get("/v1/files/{id}/content", self._content)
        router.add_post("/v1/batches", self._create)
        router.add_get("/v1/batches/{id}", self._get)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        part = form.get("file")
        if form.get("purpose") != "batch" or not isinstance(part, web.FileField):
            return _refused(400, "'purpose' must be 'batch', and 'file' a file")
        return web.json_response({"id": self._add(part.file.read()), "object": "file", "purpose": "batch"})

    async def _content(self, request: web.Request) -> web.Response:
        found = self.files.get(request.match_info["id"])
        return _refused(404, "No such File object") if found is None else web.Response(body=found)

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("input_file_id") not in self.files or body.get("endpoint") != "/v1/chat/completions":
            return _refused(400, "Invalid batch: no such input file, or another endpoint")
        self.created += 1
        identity = f"batch_{self.created}"
        self._batches[identity] = body
        self._polled[identity] = 0
        return web.json_response({"id": identity, "object": "batch", "status": "validating"})

    async def _get(self, request: web.Request) -> web.Response:
        identity = request.match_info["id"]
        if identity not in self._batches:
            return _refused(404, "No such batch")
        self._polled[identity] += 1
        lines = self.files[self._batches[identity]["input_file_id"]].decode().splitlines()
        counts = {"total": len(lines), "completed": 0, "failed": 0}
        if self._polled[identity] <= self.polls:
            row: dict[str, Any] = {"id": identity, "status": "in_progress", "request_counts": counts}
            return web.json_response(row)
        row = {"id": identity, "status": self.ends, "request_counts": counts}
        if self.ends == "failed":
            row["errors"] = {"data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]}
        else:
            row["output_file_id"] = self._add(self._answers(lines))
        return web.json_response(row)

    def _answers(self, lines: list[str]) -> bytes:
        """The output file, in another order than the requests."""
        rows: list[dict[str, Any]] = []
        for line in reversed(lines[: round(len(lines) * self.answered_share)]):
            asked = json.loads(line)
            status, body = self.answer(asked["body"])
            response = {"status_code": status, "body": body}
            rows.append({"id": f"r-{len(rows)}", "custom_id": asked["custom_id"], "response": response, "error": None})
        return "\n".join(json.dumps(row) for row in rows).encode()

    def _add(self, content: bytes) -> str:
        identity = f"file-{len(self.files) + 1}"
        self.files[identity] = content
        return identity


def _refused(status: int, message: str) -> web.Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    return web.json_response(body, status=status)
