"""Personal data with a structure: one detector a kind, each a pattern and, where the kind has one, a check.

A checksum (Luhn of cards, mod 97 of IBANs, the ranges of social security numbers) tells a number that can exist from
digits in a row. Numbers without one (phones without a country code, driving licences) need a word beside them that
says what they are, or the shape that people write them in.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import phonenumbers

#: Characters before a number in which a word may say what it is.
CONTEXT = 40
#: Countries whose way of writing numbers is tried where no country code is given.
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "AU", "ZA", "SE")
_DIGITS = re.compile(r"(?<![\w.,/+-])(?:\d[ -]?){11,18}\d(?![\w/-]|[.,]\d)")
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%'-]+@(?:[\w-]+\.)+[A-Za-z]{2,24}(?![\w-])")
_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"')\]]+[^\s<>\"')\].,;:!?]/?", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?!\w)")
_SSN = re.compile(r"(?<![\w-])(\d{3})[- ](\d{2})[- ](\d{4})(?![\w-])")
_LICENCE = re.compile(r"(?<![\w-])(?:[A-Z]\d{5,14}|\d{7,9}|\d{4}-\d{2}-\d{4})(?![\w-])")
_LICENCE_WORD = re.compile(r"driv\w+(?:'s)? licen[cs]e|\blicen[cs]e (?:no|number|#)", re.IGNORECASE)
#: What people write phone numbers like: an international or trunk prefix, or groups of digits.
_PHONE = re.compile(
    r"(?<![\w.,/#-])(?:\+|00)?(?:\(\d{1,5}\)|\(0\)|\d{1,5})(?:[ .-]{0,2}(?:\(\d{1,5}\)|\d{1,8})){1,7}"
    r"(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?![\w/]|-\d|[.,]\d)"
)
_PHONE_WORD = re.compile(
    r"\b(?:phone|tel|call|mobile|cell|fax|number|contact|reach|dial|text|sms|message|whatsapp|ring|answer|register)\w*\b",
    re.IGNORECASE,
)
_PHONE_WORD_AFTER = re.compile(r"^[\W_]{0,3}(?:office|fax|mobile|cell|home|work|tel)\b", re.IGNORECASE)
#: What the digits of an order, an amount or a date are called.
_OTHER_WORD = re.compile(
    r"\b(?:order|invoice|ticket|case|ref(?:erence)?|account|acct|iban|card|zip|po box|section|isbn|tracking)\W*"
    r"(?:no|number|id|code)?\W*$",
    re.IGNORECASE,
)
_DATE = re.compile(r"\d{1,4}([-./])\d{1,2}\1\d{1,4}(?: \d{1,2})?")


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data in a text.

    Attributes:
        kind: which.
        start, end: places in the text, end excluded.
    """

    kind: str
    start: int
    end: int


def luhn(digits: str) -> bool:
    """Does the check digit of a card number fit (ISO/IEC 7812-1)?"""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_fits(text: str) -> bool:
    """Is the remainder modulo 97 that of an IBAN (ISO 13616)?"""
    plain = re.sub(r"[ -]", "", text).upper()
    if not 15 <= len(plain) <= 34:
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def ssn_fits(area: str, group: str, serial: str) -> bool:
    """Is it a number that the US Social Security Administration could have given out?"""
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _emails(text: str) -> Iterator[Span]:
    for found in _EMAIL.finditer(text):
        yield Span("email", *found.span())


def _urls(text: str) -> Iterator[Span]:
    for found in _URL.finditer(text):
        yield Span("url", *found.span())


def _ips(text: str) -> Iterator[Span]:
    for pattern in (_IPV4, _IPV6):
        for found in pattern.finditer(text):
            try:
                ipaddress.ip_address(found.group())
            except ValueError:
                continue
            if len(found.group()) > 4:  # "::" and "1::" are punctuation
                yield Span("ip", *found.span())


def _cards(text: str) -> Iterator[Span]:
    for found in _DIGITS.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        if luhn(digits) and len(set(digits)) > 2:
            yield Span("card", *found.span())


def _ibans(text: str) -> Iterator[Span]:
    for found in _IBAN.finditer(text):
        # A word that follows may have been taken along: the longest beginning that fits counts.
        ends = [m.end() for m in re.finditer(r"[A-Za-z0-9](?![A-Za-z0-9])", found.group())]
        for end in sorted(ends, reverse=True):
            if iban_fits(found.group()[:end]):
                yield Span("iban", found.start(), found.start() + end)
                break


def _ssns(text: str) -> Iterator[Span]:
    for found in _SSN.finditer(text):
        if ssn_fits(*found.groups()):
            yield Span("us_ssn", *found.span())


def _licences(text: str) -> Iterator[Span]:
    for found in _LICENCE.finditer(text):
        if _LICENCE_WORD.search(text[max(0, found.start() - CONTEXT) : found.start()]):
            yield Span("driving_licence", *found.span())


def _phones(text: str) -> Iterator[Span]:
    for found in _PHONE.finditer(text):
        number = found.group()
        digits = re.sub(r"\D", "", number)
        before = text[max(0, found.start() - CONTEXT) : found.start()]
        if not 7 <= len(digits) <= 15 or _DATE.fullmatch(number) or _OTHER_WORD.search(before):
            continue
        is_named = bool(_PHONE_WORD.search(before) or _PHONE_WORD_AFTER.search(text[found.end() :][:12]))
        if _is_phone(number, is_named):
            yield Span("phone", *found.span())


def _is_phone(number: str, is_named: bool) -> bool:
    """Named as one, or a possible number of a country, written with a prefix or in groups."""
    groups = re.findall(r"\d+", number)
    if is_named and len(groups) > 1:
        return True
    for region in (None,) if number.startswith("+") else REGIONS:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return is_named or number.startswith(("+", "00", "(", "0")) or len(groups) > 2
    return False


#: Kind -> its detector, the surest first: where two overlap the earlier one counts.
DETECTORS: Mapping[str, Callable[[str], Iterator[Span]]] = MappingProxyType(
    {
        "email": _emails,
        "url": _urls,
        "iban": _ibans,
        "card": _cards,
        "us_ssn": _ssns,
        "ip": _ips,
        "driving_licence": _licences,
        "phone": _phones,
    }
)


def find(text: str) -> list[Span]:
    """Personal data in a text, in order, without overlaps."""
    taken: list[Span] = []
    for detect in DETECTORS.values():
        for span in detect(text):
            if all(span.end <= other.start or span.start >= other.end for other in taken):
                taken.append(span)
    return sorted(taken, key=lambda span: span.start)
