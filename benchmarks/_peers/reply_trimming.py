"""Texts of mails as JSON on standard input; what libraries trim of them as JSON on standard output.

Runs in an environment of its own: pip install quotequail email-reply-parser email-reply-extractor
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable


def libraries() -> dict[str, Callable[[str], str]]:
    """Those that are installed."""
    found: dict[str, Callable[[str], str]] = {}
    for name, make in (
        ("quotequail", quotequail),
        ("email_reply_parser", reply_parser),
        ("email_reply_extractor", extractor),
    ):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        found[name.replace("_", "-")] = make()
    return found


def quotequail() -> Callable[[str], str]:
    """The parts that it expands."""
    module = importlib.import_module("quotequail")
    return lambda text: "\n".join(part for expanded, part in module.quote(text) if expanded)


def reply_parser() -> Callable[[str], str]:
    """parse_reply."""
    module = importlib.import_module("email_reply_parser")
    return lambda text: str(module.EmailReplyParser.parse_reply(text))


def extractor() -> Callable[[str], str]:
    """Its first stage; the second one drops greetings as well."""
    module = importlib.import_module("email_reply_extractor")
    return lambda text: _text(module.extract_new_text(text))


def _text(found: object) -> str:
    return str(getattr(found, "text", found))


def guarded(call: Callable[[str], str], text: str) -> str:
    """A failure is a wrong answer."""
    try:
        return call(text)
    except Exception as error:
        print(error, file=sys.stderr)
        return ""


if __name__ == "__main__":
    texts = json.load(sys.stdin)
    json.dump({name: [guarded(call, text) for text in texts] for name, call in libraries().items()}, sys.stdout)
