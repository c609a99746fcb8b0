"""GBNF grammars, under which llama.cpp lets a model write nothing else: labels, and JSON that obeys a schema.

llama.cpp converts schemas itself, but lets white space in everywhere, and a small model wanders off in it. Here JSON is
written as `json.dumps` writes it, which is how examples in a prompt look, with properties and distinct labels in the
order of the schema. What this does not know (references, patterns, conditions) is left to llama.cpp, and every answer
is validated afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

#: Characters of a text, and entries of a list, where the schema sets no bound: an answer has to end some time.
FREE_CHARS, FREE_ITEMS = 160, 12
#: Whole numbers in ranges up to so many values are spelled out; wider ones are bounded by their digits.
SPELLED_OUT = 256
_KNOWN = frozenset(
    {"type", "enum", "const", "properties", "required", "additionalProperties", "items", "minItems", "maxItems"}
    | {"uniqueItems", "minLength", "maxLength", "minimum", "maximum", "anyOf", "title", "description", "default"}
    | {"examples", "$schema", "$id", "$comment"}
)


class Unsupported(Exception):
    """The schema says something that no rule here covers."""


def label_grammar(labels: Sequence[str]) -> str:
    """A grammar of exactly `labels`, each one literal.

    The chat template ends in a line break, so a label is split into tokens as at the start of a line.
    """
    return "root ::= " + " | ".join(literal(label) for label in labels)


def schema_grammar(schema: Mapping[str, Any]) -> str | None:
    """A grammar of JSON that obeys `schema`; None where it says something that only llama.cpp can try."""
    rules = _Rules()
    try:
        root = rules.of(schema)
    except Unsupported:
        return None
    return "\n".join([f"root ::= {root}", *(f"{name} ::= {body}" for name, body in rules.bodies.items())])


def literal(text: str) -> str:
    """A text as a literal; control characters would end or break it."""
    return '"' + "".join(f"\\x{ord(c):02X}" if ord(c) < 0x20 or c in '"\\' else c for c in text) + '"'


class _Rules:
    """The rules of one grammar. Each method gives what stands for a schema, and adds the rules that it needs."""

    def __init__(self) -> None:
        self.bodies: dict[str, str] = {}

    def of(self, schema: Any) -> str:
        if not isinstance(schema, Mapping) or set(schema) - _KNOWN:
            raise Unsupported
        if "const" in schema:
            return literal(json.dumps(schema["const"], ensure_ascii=False))
        if "enum" in schema:
            return self._any(literal(json.dumps(value, ensure_ascii=False)) for value in schema["enum"])
        if "anyOf" in schema:
            if set(schema) & {"type", "properties", "items"}:
                raise Unsupported
            return self._any(self.of(part) for part in schema["anyOf"])
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._any(self.of({**schema, "type": one}) for one in kind)
        if kind in ("boolean", "null"):
            return '("true" | "false")' if kind == "boolean" else '"null"'
        make = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
        }.get(str(kind))
        if make is None:
            raise Unsupported
        return make(schema)

    def _any(self, parts: Any) -> str:
        return "(" + " | ".join(dict.fromkeys(parts)) + ")"

    def _add(self, body: str) -> str:
        name = f"r{len(self.bodies)}"
        self.bodies[name] = body
        return name

    def _object(self, schema: Mapping[str, Any]) -> str:
        properties, required = schema.get("properties", {}), set(schema.get("required", ()))
        if required - set(properties):
            raise Unsupported
        parts = [
            (f"{literal(json.dumps(name, ensure_ascii=False) + ': ')} {self.of(part)}", name in required)
            for name, part in properties.items()
        ]
        return f'"{{" {self._in_order(parts)} "}}"'

    def _array(self, schema: Mapping[str, Any]) -> str:
        items, least, most = schema.get("items", {}), schema.get("minItems", 0), schema.get("maxItems", FREE_ITEMS)
        if schema.get("uniqueItems"):
            choices = items.get("enum")
            if not choices or least:
                raise Unsupported
            parts = [(literal(json.dumps(value, ensure_ascii=False)), False) for value in choices]
            return f'"[" {self._in_order(parts)} "]"'
        if most < 1:
            return '"[]"'
        item = self._add(self.of(items))
        more = f'{item} ( ", " {item} ){{{max(least - 1, 0)},{most - 1}}}'
        return f'"[" {more} "]"' if least else f'"[" ( {more} )? "]"'

    def _in_order(self, parts: Sequence[tuple[str, bool]]) -> str:
        """The parts with commas between them, in order; those that are not required may be missing.

        Two rules a part: nothing has been written yet, and something has.
        """
        first = rest = self._add('""')
        for part, is_required in reversed(parts):
            one = self._add(part)
            body_first, body_rest = f"{one} {rest}", f'", " {one} {rest}'
            if not is_required:
                body_first, body_rest = f"{body_first} | {first}", f"{body_rest} | {rest}"
            first, rest = self._add(body_first), self._add(body_rest)
        return first

    def _string(self, schema: Mapping[str, Any]) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", FREE_CHARS)
        self.bodies.setdefault("char", r'[^"\\\x00-\x1F\x7F] | "\\" ["\\/nt]')
        return f'"\\"" char{{{least},{max(most, least)}}} "\\""'

    def _integer(self, schema: Mapping[str, Any]) -> str:
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and high is not None and high - low < SPELLED_OUT:
            return self._any(f'"{value}"' for value in range(int(low), int(high) + 1))
        return self._digits(low, high)

    def _number(self, schema: Mapping[str, Any]) -> str:
        return f'{self._digits(schema.get("minimum"), schema.get("maximum"))} ("." [0-9]{{1,4}})?'

    def _digits(self, low: float | None, high: float | None) -> str:
        """As many digits as the larger bound has; whether the value lies inside is checked afterwards."""
        widest = max((len(str(abs(int(end)))) for end in (low, high) if end is not None), default=9)
        digits = widest if low is not None and high is not None else max(widest, 9)
        sign = "" if low is not None and low >= 0 else '"-"? '
        return f'{sign}("0" | [1-9] [0-9]{{0,{digits - 1}}})'
