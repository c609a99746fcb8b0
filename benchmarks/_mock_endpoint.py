"""A chat-completions endpoint that costs next to nothing: `python _mock_endpoint.py PORT DELAY_MS LABEL`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

try:
    from uvloop import run
except ModuleNotFoundError:
    from asyncio import run  # type: ignore[assignment]


def answer(label: str) -> bytes:
    """One canned response, head and body."""
    message = {"role": "assistant", "content": json.dumps({"label": label}), "refusal": None}
    body = json.dumps(
        {
            "id": "chatcmpl-mock",
            "object": "chat.completion",
            "created": 1,
            "model": "mock",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 200, "completion_tokens": 5, "total_tokens": 205},
        }
    )
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


class Connection(asyncio.Protocol):
    """Reads requests by their content-length, answers each after a delay; one request at a time."""

    def __init__(self, delay_s: float, response: bytes) -> None:
        self._delay_s, self._response, self._seen = delay_s, response, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer once a request is whole."""
        self._seen += data
        end = self._seen.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._seen[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._seen) < end + 4 + length:
            return
        self._seen = self._seen[end + 4 + length :]
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._response)


async def main(port: int, delay_s: float, label: str) -> None:
    """Serve until killed."""
    response = answer(label)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(delay_s, response), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000, sys.argv[3]))
