# SPDX-License-Identifier: Apache-2.0
"""Bytes of a policy document -> plain values, each with its line and column.

YAML 1.2 (of which JSON is a part) as ruamel.yaml scans it, and of that only what a policy needs: one document, mappings
with text keys, lists, text, plain decimal integers, true/false and null. Duplicate keys, anchors, aliases, tags,
directives, other numbers and other encodings than UTF-8 are faults. The limits below hold while reading, so an
oversized or deep text costs no more than they say.

Faults of structure are collected, not raised one by one; only text that is no YAML at all ends the reading at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode

from policies.errors import PolicyError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 16
MAX_NODES = 20_000
MAX_DIGITS = 20  # of a 64-bit number

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | bool | None"
Path: TypeAlias = tuple[str | int, ...]
Mark: TypeAlias = tuple[int, int]  # line, column, from 1

_Node: TypeAlias = AliasEvent | MappingStartEvent | ScalarEvent | SequenceStartEvent

_TAG = "tag:yaml.org,2002:"


def show(path: Path) -> str:
    """The path as people write it: "reference_sets.release[0].id"."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True)
class Tree:
    """One document: its value, where each path stands, and the faults of its structure.

    `unread` holds the paths of values that could not be read; None stands in their place.
    """

    value: Value
    marks: Mapping[Path, Mark]
    problems: tuple[Problem, ...]
    unread: frozenset[Path]


def locate(marks: Mapping[Path, Mark], path: Path) -> Mark:
    """Place of `path`, or of its nearest ancestor that stands in the text."""
    while path and path not in marks:
        path = path[:-1]
    return marks.get(path, (0, 0))


def parse(data: bytes) -> Tree:
    """Read one document. Raises PolicyError for text that has no readable structure."""
    if len(data) > MAX_BYTES:
        raise _fatal(f"{len(data)} bytes; a policy has at most {MAX_BYTES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fatal(f"byte {error.start} is not UTF-8") from error
    try:
        return _Reader(text).read()
    except MarkedYAMLError as error:
        detail = " ".join(filter(None, (error.context, error.problem)))
        raise _fatal(f"not YAML: {detail}", _mark(error.problem_mark)) from error
    except (YAMLError, ValueError, OverflowError) as error:
        # the scanner's own message of a character it cannot read; chr() of an escape beyond Unicode
        raise _fatal(f"not YAML: {str(error).splitlines()[0]}") from error


def _fatal(message: str, mark: Mark = (0, 0)) -> PolicyError:
    return PolicyError((Problem("", *mark, message),))


def _mark(mark: StringMark | None) -> Mark:
    return (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)


class _Yaml(YAML):
    """The scanner without its search for plug-ins, which would list a folder at every construction."""

    def official_plug_ins(self) -> list[str]:
        return []


@dataclass(slots=True)
class _Reader:
    """Composes one value out of the scanner's events."""

    text: str
    yaml: YAML = field(default_factory=lambda: _Yaml(typ="safe", pure=True))
    marks: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)
    nodes: int = 0

    def read(self) -> Tree:
        events: Iterator[Any] = iter(self.yaml.parse(self.text))
        next(events)  # the start of the stream
        start = next(events)
        if not isinstance(start, DocumentStartEvent):
            raise _fatal("the document is empty")
        if start.version or start.tags:
            self.fault((), start, "directives (%YAML, %TAG) have no place in a policy")
        value = self.node(next(events), events, ())
        next(events)  # the end of the document
        more = next(events)
        if isinstance(more, DocumentStartEvent):
            self.fault((), more, "a second document; a policy is one document")
        return Tree(value, self.marks, tuple(self.problems), frozenset(self.unread))

    def fault(self, path: Path, event: Event, message: str) -> None:
        self.problems.append(Problem(show(path), *_mark(event.start_mark), message))

    def unreadable(self, path: Path, event: Event, message: str) -> None:
        self.fault(path, event, message)
        self.unread.add(path)

    def node(self, event: _Node, events: Iterator[Any], path: Path) -> Value:
        mark = _mark(event.start_mark)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _fatal(f"more than {MAX_NODES} keys and values", mark)
        if len(path) > MAX_DEPTH:
            raise _fatal(f"nested deeper than {MAX_DEPTH}", mark)
        self.marks.setdefault(path, mark)
        if isinstance(event, AliasEvent):
            self.unreadable(path, event, "an alias (*name); write the value out")
            return None
        if event.anchor is not None:
            self.fault(path, event, "an anchor (&name) has no place in a policy")
        if event.tag is not None:
            self.fault(path, event, "a tag (!name) has no place in a policy")
        if isinstance(event, MappingStartEvent):
            return self.mapping(events, path)
        if isinstance(event, SequenceStartEvent):
            return self.sequence(events, path)
        return self.scalar(event, path)

    def mapping(self, events: Iterator[Any], path: Path) -> dict[str, Value]:
        values: dict[str, Value] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            key = self.key(event, events, path)
            if key in values:
                self.fault((*path, key), event, "duplicate key")
            self.marks.setdefault((*path, key), _mark(event.start_mark))
            value = self.node(next(events), events, (*path, key))
            values.setdefault(key, value)
        return values

    def key(self, event: _Node, events: Iterator[Any], path: Path) -> str:
        """Every scalar is taken as text; a list or mapping is a fault and stands for an unknown key."""
        if isinstance(event, ScalarEvent) and event.anchor is None and event.tag is None:
            self.nodes += 1
            return self.text_of(event, path)
        self.node(event, events, (*path, "?"))
        self.fault(path, event, "a key is plain text")
        return "?"

    def sequence(self, events: Iterator[Any], path: Path) -> list[Value]:
        values: list[Value] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            values.append(self.node(event, events, (*path, len(values))))
        return values

    def scalar(self, event: ScalarEvent, path: Path) -> Value:
        plain = bool(event.implicit[0])
        tag = self.yaml.resolver.resolve(ScalarNode, event.value, (plain, not plain))
        match str(tag).removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return str(event.value).lower() == "true"
            case "int" | "float":
                return self.number(event, path)
            case _:
                return self.text_of(event, path)

    def number(self, event: ScalarEvent, path: Path) -> Value:
        """Plain decimal digits only: 0x10, 010, 1_000, 1e3 and 50806e000000 are nearly always meant as text."""
        text = str(event.value)
        if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS and str(int(text)) == text:
            return int(text)
        self.unreadable(path, event, "a number that is no plain decimal integer; text needs quotes")
        return None

    def text_of(self, event: ScalarEvent, path: Path) -> str:
        """JSON writes characters beyond U+FFFF as two escapes; the scanner leaves them two, so they are joined here."""
        try:
            return str(event.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.fault(path, event, "half of a surrogate pair")
            return ""
