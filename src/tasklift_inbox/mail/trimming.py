"""The part of a mail that its sender wrote now: without what is quoted below, and without signatures.

Every line gets a letter for what it looks like, and the rules work on the word that the letters make, an idea of
Discourse's email_reply_trimmer (MIT). What is cut is never lost: the full text is kept beside it, and where nothing
would be left, or suspiciously little, the full text is the answer.
"""

from __future__ import annotations

import re

from tasklift_inbox.mail.quoting import (
    CODE,
    DELIMITERS,
    EMBEDDED,
    HEADER,
    QUOTE,
    SIGNATURES,
    SPLIT_GERMAN,
    SPLIT_HEADER,
)


def trim_reply(text: str) -> str:
    """What was written now, without quotes and signatures; the full text where that would be nothing."""
    full = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    kept = _trimmed(full)
    return kept or full


def _trimmed(text: str) -> str:
    blocks: list[str] = []

    def keep(match: re.Match[str]) -> str:
        blocks.append(match[0])
        return f"\uf8ff{len(blocks) - 1}\uf8ff"

    text = CODE.sub(keep, text)
    text = SPLIT_HEADER.sub(lambda match: match[0].replace("\n", " "), text)
    text = SPLIT_GERMAN.sub(r"\1 \2", text)
    lines = [line.rstrip() for line in text.split("\n")]
    word = "".join(_letter(line) for line in lines)
    lines = _cut(lines, word)
    found = "\n".join(lines).strip()
    for number, block in enumerate(blocks):
        found = found.replace(f"\uf8ff{number}\uf8ff", block)
    return found


def _letter(line: str) -> str:
    """e empty, d delimiter, s signature, b beginning of an older mail, h header of one, q quote, t text."""
    if not line.strip():
        return "e"
    if QUOTE.match(line):
        return "q"
    if any(pattern.match(line) for pattern in DELIMITERS):
        return "d"
    if any(pattern.match(line) for pattern in SIGNATURES):
        return "s"
    if len(line) < 400 and any(pattern.match(line) for pattern in EMBEDDED):
        return "b"
    if HEADER.match(line):
        return "h"
    return "t"


def _cut(lines: list[str], word: str) -> list[str]:
    leading = re.match(r"e*(b[es]*q[qes]*|[db]e*h{2,}t?[eh]*)(?=.*t)", word)
    if leading:  # a quote, or a forwarded mail's header, and below it what was written now
        word, lines = word[leading.end() :], lines[leading.end() :]
    end = len(word)
    delimiter = re.search(r"(?<=[tqhb])[es]*d", word)
    if delimiter:
        end = delimiter.start()
    word, lines = word[:end], lines[:end]
    lines, word = _without(lines, word, "s")
    # An older mail that follows to the end: everything before it was written now.
    for pattern in (r"te*(b[eqbh]*([te]*[eqbh]*)*)$" if _is_all_quote_after(word) else r"te*(b[^q]*)$",):
        match = re.search(pattern, word)
        if match:
            word, lines = word[: match.start(1)], lines[: match.start(1)]
    lines, word = _without(lines, word, "b")
    headers = re.search(r"t[eq]*(h{3,})", word)
    if headers:
        word, lines = word[: headers.start(1)], lines[: headers.start(1)]
    if "t" in word:
        end = len(word) - len(re.search(r"[eq]*$", word)[0])  # type: ignore[index]
        word, lines = word[:end], lines[:end]
    return lines


def _is_all_quote_after(word: str) -> bool:
    """After the first beginning of an older mail, nothing but that mail."""
    at = word.find("b")
    return at >= 0 and "t" in word[:at] and re.fullmatch(r"b[eqbh]*", word[at:]) is not None


def _without(lines: list[str], word: str, letter: str) -> tuple[list[str], str]:
    kept = [(line, one) for line, one in zip(lines, word, strict=True) if one != letter]
    return [line for line, _ in kept], "".join(one for _, one in kept)
