"""Text that is meant for a model and not for a reader: what nobody sees, and what gives orders to a machine."""

from __future__ import annotations

import re
import unicodedata

#: Characters that are drawn as nothing or turn the direction of writing: tags, zero-width, bidi overrides.
INVISIBLE = re.compile("[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
#: Orders to a model, each pattern for one family of attacks. None is meant to fit what customers write.
_ORDERS = (
    # drop what you were told
    r"\b(?:ignore|disregard|forget|override|bypass|do\s+not\s+follow)\b[^.!?\n]{0,40}"
    r"\b(?:previous|prior|above|earlier|preceding|foregoing|all|your|these|those|the)\b[^.!?\n]{0,30}"
    r"\b(?:instruction|prompt|rule|direction|guideline|command|context|training|polic)\w*",
    # a new task
    r"\b(?:new|updated|real|actual|revised|additional)\s+(?:system\s+)?"
    r"(?:instruction|prompt|task|directive|order)s?\b\s*[:.]",
    # a voice of authority
    r"\b(?:system|developer|admin(?:istrator)?|root)\s*"
    r"(?:prompt|message|override|note|notice|mode|instruction)s?\s*[:\]>-]",
    r"^[ \t]{0,8}[\[<(#*]{0,4}[ \t]{0,3}(?:system|assistant|developer)[ \t]{0,3}[\])>*]{0,4}[ \t]{0,3}:",
    # another role
    r"\byou\s+are\s+(?:now|no\s+longer)\b",
    r"\bfrom\s+now\s+on\b[^.!?\n]{0,20}\byou\b",
    r"\b(?:pretend|act|behave|respond|answer|role-?play)\b[^.!?\n]{0,30}\bas\s+(?:if|an?\s+(?:ai|dan|unrestricted))",
    r"\bas\s+an?\s+(?:ai|language\s+model|assistant)\b",
    r"\b(?:jailbreak|developer\s+mode|dan\s+mode|do\s+anything\s+now)\b",
    # give away what is hidden
    r"\b(?:reveal|print|repeat|show|output|leak|disclose|translate|summari[sz]e|encode)\b[^.!?\n]{0,40}"
    r"\b(?:system|initial|hidden|original|secret|your)\s+(?:prompt|instruction|message|rule|configuration)s?",
    # dictate the answer
    r"\b(?:answer|respond|reply|say|output|print|write)\b[^.!?\n]{0,30}"
    r"\b(?:only|exactly|nothing\s+but|instead|always)\b[^.!?\n]{0,20}"
    r"(?:[\"'“‘`:]|\b(?:word|label|with|following|json)\b)",
    r"\b(?:classify|label|categori[sz]e|route|tag|mark)\s+"
    r"(?:this|it|everything|the\s+(?:message|text|mail|request|ticket))[^.!?\n]{0,20}\b(?:as|to|into|with)\b",
    r"\b(?:correct|right|only|final|true)\s+(?:answer|label|category|class|queue)\s+(?:is|must|should|:)",
    # the same in other languages
    r"\bignorier\w*\b[^.!?\n]{0,40}\b(?:anweisung|vorgabe|regel|befehl|obige|vorherige)\w*",
    r"\bantworte\w*\b[^.!?\n]{0,30}\b(?:nur|immer|ausschließlich)\b",
    r"\bignore[sz]?\b[^.!?\n]{0,30}\b(?:les\s+instructions|las\s+instrucciones|as\s+instruções)",
    # control tokens of chats
    r"<\|\w+\|>|\[/?INST\]|<</?SYS>>",
)
ORDERS = re.compile("|".join(f"(?:{pattern})" for pattern in _ORDERS), re.IGNORECASE | re.MULTILINE)


def without_invisible(text: str) -> tuple[str, int]:
    """The text with a space for every character that nobody sees, so that places stay; and how many there were."""
    return INVISIBLE.subn(" ", text)


def orders_in(text: str) -> list[str]:
    """The parts of a text that give orders to a model, as they stand there; full-width letters count as plain ones."""
    return [found[0] for found in ORDERS.finditer(unicodedata.normalize("NFKC", text))]
