"""Personal data with a structure: found where it can be real, left where it cannot."""

from __future__ import annotations

import pytest

from tasklift.data.audit.pii_kinds import find, iban_fits, luhn, ssn_fits


def kinds(text: str) -> list[str]:
    return [span.kind for span in find(text)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to anna.lindt+shop@mail.example.org please", "email"),
        ("my card 4539 1488 0343 6467 was charged", "card"),
        ("pay into GB82 WEST 1234 5698 7654 32 today", "iban"),
        ("DE89370400440532013000", "iban"),
        ("ssn 536-22-1867", "us_ssn"),
        ("it came from 192.168.14.7 and", "ip"),
        ("from 2001:db8:85a3::8a2e:370:7334", "ip"),
        ("see https://my.pages.example/u/4711?x=1 for it", "url"),
        ("call me on 020 7946 0958 after six", "phone"),
        ("+49 30 901820", "phone"),
        ("my driver's license F162823540116", "driving_licence"),
    ],
)
def test_what_can_be_real_is_found(text: str, kind: str) -> None:
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "order 4539 1488 0343 6468",  # Luhn does not fit
        "DE89370400440532013001",  # mod 97 does not fit
        "666-12-3456 and 900-12-3456",  # ranges that are not given out
        "version 1.2.3.4.5 and 999.1.1.1",
        "on 2026-11-24 at 12:30:45",
        "order number 555 0199 and invoice 20 7946 0958",
        "1,250.00 EUR for 12 pieces",
        "0000 0000 0000 0000",
    ],
)
def test_what_cannot_be_real_is_left(text: str) -> None:
    assert kinds(text) == []


def test_spans_do_not_overlap_and_point_at_the_text() -> None:
    text = "card 4539148803436467, iban GB82WEST12345698765432, mail a@b.example"
    assert [text[span.start : span.end] for span in find(text)] == [
        "4539148803436467",
        "GB82WEST12345698765432",
        "a@b.example",
    ]


def test_checksums_match_published_numbers() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert iban_fits("NO93 8601 1117 947")
    assert not iban_fits("NO93 8601 1117 948")
    assert ssn_fits("078", "05", "1120")
    assert not ssn_fits("000", "05", "1120")
