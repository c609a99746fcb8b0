"""HTML of mails, made safe to show: nothing runs, nothing is fetched from elsewhere unless somebody asks for it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

import nh3

_TAGS = set(nh3.ALLOWED_TAGS) | {"font", "center"}
_TAGS -= {"map", "area"}
_STYLES = {
    "color", "background-color", "font-weight", "font-style", "font-size", "font-family", "text-align",
    "text-decoration", "margin", "padding", "border", "width", "height", "vertical-align", "white-space",
}  # fmt: skip
_ATTRIBUTES = {
    "*": {"style", "dir", "lang", "title", "align", "valign", "bgcolor", "width", "height"},
    "a": {"href"},
    "img": {"src", "alt"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "font": {"color", "size", "face"},
    "ol": {"start"},
}
_BREAK = re.compile(r"(?i)<(br|/p|/div|/tr|/li|/h[1-6]|/blockquote)\b[^>]*>")
_HIDDEN = re.compile(r"(?is)<(script|style|head|title|template|noscript)\b.*?(</\1\s*>|$)")
_TAG = re.compile(r"(?s)<[^>]{0,5000}>")
_QUOTED = re.compile(r"(?is)<blockquote\b[^>]*>(.*?)</blockquote>")
_GAPS = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_LONGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class SafeHtml:
    """A page's body that may be shown.

    Attributes:
        blocked_images: how many pictures elsewhere were not loaded; each would tell its owner that the mail is read.
    """

    html: str
    blocked_images: int


def safe_html(page: str, inline: Mapping[str, str], *, with_remote_images: bool = False) -> SafeHtml:
    """`page` without anything that runs or reaches out.

    Args:
        inline: Content-ID -> address of the picture that came with the mail.
    """
    blocked = 0

    def attribute(tag: str, name: str, value: str) -> str | None:
        nonlocal blocked
        if tag != "img" or name != "src":
            return None if name == "style" and "url" in value.lower() else value
        if value.lower().startswith("cid:"):
            return inline.get(value[4:].strip("<>"))
        if with_remote_images and value.lower().startswith("https://"):
            return value
        blocked += 1
        return None

    clean = nh3.clean(
        page[:_LONGEST],
        tags=_TAGS,
        clean_content_tags={"script", "style", "title", "template"},
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        link_rel="noopener noreferrer nofollow",
        filter_style_properties=_STYLES,
    )
    return SafeHtml(clean, blocked)


def text_of_html(page: str) -> str:
    """The words of a page, quotes marked with >, for a mail that has no plain text."""
    page = _HIDDEN.sub(" ", page[:_LONGEST])
    page = _QUOTED.sub(lambda match: "<br>" + _marked(match[1]) + "<br>", page)
    return _words(page)


def _marked(inner: str) -> str:
    return "<br>".join(f"&gt; {html.escape(line, quote=False)}" for line in _words(inner).split("\n"))


def _words(page: str) -> str:
    page = _BREAK.sub("\n", re.sub(r"[ \t\r\n]+", " ", page))
    text = html.unescape(_TAG.sub("", page)).replace("\u00a0", " ")
    lines = (line.strip() for line in text.split("\n"))
    return _GAPS.sub("\n\n", "\n".join(lines)).strip()
