"""An OpenAI-compatible endpoint that costs next to nothing: it answers each chat completion after a fixed time.

    python3 benchmarks/_peers/mock.py DELAY_S ANSWER

prints its port, then serves until its standard input is closed. Raw asyncio, because a web framework would take
more of the processor than the programs that are measured against it.
"""

from __future__ import annotations

import asyncio
import json
import sys


class Chat(asyncio.Protocol):
    """One connection; requests on it come one after the other, as HTTP/1.1 clients send them."""

    def __init__(self, delay_s: float, response: bytes) -> None:
        self._delay_s, self._response = delay_s, response
        self._seen = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._seen += data
        while (size := _size_of(self._seen)) and len(self._seen) >= size:
            del self._seen[:size]
            asyncio.get_running_loop().call_later(self._delay_s, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._response)


def _size_of(seen: bytearray) -> int:
    """Bytes of the first request with its body; 0 while its head is not whole."""
    end = seen.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = bytes(seen[:end]).lower()
    at = head.find(b"content-length:")
    return end + 4 + (int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)


def completion(answer: str) -> bytes:
    """The whole HTTP response."""
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "mock", "choices": [choice]}
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
    raw = json.dumps(body | {"usage": usage}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw


async def serve(delay_s: float, answer: str) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Chat(delay_s, completion(answer)), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), sys.argv[2]))
