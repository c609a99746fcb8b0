"""HTML as the text that a reader sees: headings as `#` lines, blocks as paragraphs, nothing that is hidden."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_SKIPPED = frozenset({"script", "style", "head", "noscript", "template", "svg", "iframe", "object"})
_BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "dd", "details", "div", "dl", "dt", "fieldset", "figure",
        "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre",
        "section", "table", "td", "th", "title", "tr", "ul"
    }
)  # fmt: skip
#: Elements without an end tag.
_VOID = frozenset(
    {
        "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"
    }
)  # fmt: skip
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0(?:\.0*)?\s*(?:;|$)|"
    r"font-size\s*:\s*0(?:\.0+)?\s*(?:px|pt|em|rem|%)?\s*(?:;|!|$)|(?:left|top|text-indent)\s*:\s*-\d{3,}",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"(?:^|;)\s*color\s*:\s*([^;]+)", re.IGNORECASE)
_GROUND = re.compile(r"background(?:-color)?\s*:\s*([^;]+)", re.IGNORECASE)


def html_text(source: str) -> tuple[str, int]:
    """The text that a reader sees, and the number of characters that were hidden (style, attribute, comment)."""
    parser = _Visible()
    parser.feed(source)
    parser.close()
    return parser.text(), parser.hidden_chars


class _Visible(HTMLParser):
    """Collects visible text in blocks; `_stack` holds (tag, does it hide what is inside)."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.hidden_chars = 0
        self._stack: list[tuple[str, bool]] = []
        self._hiding = self._skipping = 0
        self._blocks: list[str] = []
        self._now: list[str] = []
        self._pre = 0

    def text(self) -> str:
        """Blocks, a blank line between two."""
        self._end_block()
        return "\n\n".join(self._blocks)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        if tag in _BLOCKS:
            self._end_block()
        if tag == "br":
            self._now.append("\n")
        if tag in _VOID:
            return
        hides = tag not in _SKIPPED and _is_hidden(dict(attrs))
        self._stack.append((tag, hides))
        self._hiding += hides
        self._skipping += tag in _SKIPPED
        self._pre += tag == "pre"
        if tag in {"h1", "h2", "h3", "h4", "h5", "h6"}:
            self._now.append("#" * int(tag[1]) + " ")
        elif tag == "li":
            self._now.append("- ")

    def handle_endtag(self, tag: str) -> None:
        """Close an element, and those inside that were left open."""
        if tag in _BLOCKS:
            self._end_block()
        if tag not in {name for name, _ in self._stack}:
            return
        while self._stack:
            name, hides = self._stack.pop()
            self._hiding -= hides
            self._skipping -= name in _SKIPPED
            self._pre -= name == "pre"
            if name == tag:
                break

    def handle_data(self, data: str) -> None:
        """Text: seen, hidden, or none of a reader's business."""
        if self._skipping:
            return
        if self._hiding:
            self.hidden_chars += len(data.strip())
        else:
            self._now.append(data if self._pre else re.sub(r"\s+", " ", data))

    def handle_comment(self, data: str) -> None:
        """Seen by nobody; those of servers and old browsers are short."""
        self.hidden_chars += len(data.strip())

    def _end_block(self) -> None:
        block = re.sub(r" *\n *", "\n", "".join(self._now)).strip()
        if block.strip("#- "):
            self._blocks.append(block)
        self._now = []


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    style = attributes.get("style") or ""
    colour, ground = _COLOUR.search(style), _GROUND.search(style)
    same = bool(colour and ground and colour[1].strip().casefold() == ground[1].strip().casefold())
    return "hidden" in attributes or bool(_HIDDEN_STYLE.search(style)) or same
