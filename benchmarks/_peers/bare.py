"""The least that an evaluation can be: one aiohttp session, 64 requests at once, the answers in a file.

python3 bare.py URL ROWS.jsonl SYSTEM.txt OUT.jsonl
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

AT_ONCE = 64


async def ask(url: str, rows: list[dict[str, Any]], system: str) -> dict[str, str]:
    """Row id -> answer."""
    answers: dict[str, str] = {}
    left = iter(rows)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work(shared: Iterator[dict[str, Any]]) -> None:
            for row in shared:
                messages = [{"role": "system", "content": system}, {"role": "user", "content": row["input"]["text"]}]
                body = {"model": "mock", "messages": messages, "max_tokens": 64, "temperature": 0}
                async with session.post(f"{url}/chat/completions", json=body) as response:
                    reply = await response.json()
                answers[row["id"]] = reply["choices"][0]["message"]["content"]

        await asyncio.gather(*(work(left) for _ in range(AT_ONCE)))
    return answers


if __name__ == "__main__":
    lines = Path(sys.argv[2]).read_text(encoding="utf-8").splitlines()
    found = asyncio.run(ask(sys.argv[1], [json.loads(line) for line in lines], Path(sys.argv[3]).read_text()))
    text = "".join(json.dumps({"id": key, "output": value}) + "\n" for key, value in found.items())
    Path(sys.argv[4]).write_text(text, encoding="utf-8")
