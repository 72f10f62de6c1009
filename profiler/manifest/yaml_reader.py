"""Reads YAML into plain values, and keeps the place of every key and value for messages.

Scalars follow the core rules of YAML 1.2 (`no` is text, `012` is 12, `1e3` is a number). What is not YAML raises
`ManifestError`; what is wrong but not fatal, such as a key given twice, is collected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import yaml

from profiler.core.errors import ManifestError
from profiler.manifest.scalars import is_endless_number, scalar_of
from profiler.manifest.source import Document, Path, Place, open_document

if TYPE_CHECKING:
    from collections.abc import Iterator

# Aliases let a small file stand for billions of values, or for a value inside of itself.
MAX_NODES = 100_000
MAX_DEPTH = 32

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(data: bytes, *, name: str) -> Document:
    document = open_document(data, name=name)
    root = _Composer(document).document()
    if root is not None:
        document.value = _Builder(document).value(root, ())
    return document


class _Scalar(NamedTuple):
    value: Any
    plain: bool
    place: Place


class _Sequence(NamedTuple):
    items: list[_Node]
    place: Place


class _Mapping(NamedTuple):
    pairs: list[tuple[_Node, _Node]]
    place: Place


_Node = _Scalar | _Sequence | _Mapping


class _Composer:
    """Makes nodes from the parser's events. An alias becomes the node of its anchor, so no node can contain itself."""

    def __init__(self, document: Document) -> None:
        self.source = document
        self.events: Iterator[Any] = yaml.parse(document.text, Loader=_PARSER)
        self.anchors: dict[str, _Node | None] = {}
        self.nodes = 0

    def document(self) -> _Node | None:
        try:
            return self._document()
        except yaml.MarkedYAMLError as error:
            self._stop_at(error)
        except (yaml.YAMLError, ValueError) as error:
            self._stop(None, f"found text that is not YAML: {error}", cause=error)

    def _document(self) -> _Node | None:
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self.events), 0)
        next(self.events)
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._stop(after.start_mark, "found a second YAML document, expected one in a file")
        return root

    def _node(self, event: Any, depth: int) -> _Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._stop(event.start_mark, f"found more than {MAX_NODES:,} values, expected a manifest")
        if depth > MAX_DEPTH:
            self._stop(event.start_mark, f"found values nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None  # being read: an alias to it from inside would contain itself
        node = self._fresh(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _fresh(self, event: Any, depth: int) -> _Node:
        place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        self._refuse_tag(event)
        children = self._children(depth + 1)
        if isinstance(event, yaml.SequenceStartEvent):
            return _Sequence(list(children), place)
        return _Mapping([(key, next(children)) for key in children], place)

    def _children(self, depth: int) -> Iterator[_Node]:
        for event in self.events:
            if isinstance(event, yaml.CollectionEndEvent):
                return
            yield self._node(event, depth)

    def _alias(self, event: Any) -> _Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            inside = event.anchor in self.anchors
            reason = "which it stands in itself" if inside else f"expected an anchor &{event.anchor} before it"
            self._stop(event.start_mark, f"found the alias *{event.anchor}, {reason}")
        return node

    def _scalar(self, event: Any, place: Place) -> _Scalar:
        if event.tag in {"!", "tag:yaml.org,2002:str"}:
            return _Scalar(event.value, False, place)
        self._refuse_tag(event)
        plain = event.implicit[0]
        if plain and is_endless_number(event.value):
            self._stop(event.start_mark, f"found a number of {len(event.value)} characters, expected fewer")
        return _Scalar(scalar_of(event.value) if plain else event.value, plain, place)

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            self._stop(event.start_mark, f"found the tag {event.tag!r}, expected a plain value without a tag")

    def _stop_at(self, error: yaml.MarkedYAMLError) -> NoReturn:
        slip, mark = _slip(error), error.problem_mark or error.context_mark
        if slip.at_its_begin and error.context_mark is not None:
            mark = error.context_mark
        self._stop(mark, f"found text that is not YAML: {slip.words}", hint=slip.hint, cause=error)

    def _stop(self, mark: Any, message: str, *, hint: str | None = None, cause: Exception | None = None) -> NoReturn:
        place = Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)
        rest = "".join(self.source.lines[place.line - 1 : place.line])[place.column - 1 :]
        if rest.startswith("\t"):
            message, hint = "found a tab where YAML allows none", "indent with spaces, not tabs"
        raise ManifestError([self.source.problem_at(place, message, hint=hint)]) from cause


class _Slip(NamedTuple):
    """A slip in plain words. `at_its_begin`: the place is where the text begins that is wrong, not where that showed."""

    words: str
    hint: str | None = None
    at_its_begin: bool = False


# By a part of what the parser says, of which there are two: libyaml's and the one in Python.
_SLIPS = {
    "could not find expected ':'": _Slip("a key without ':' behind it", "write KEY: VALUE", at_its_begin=True),
    "mapping values are not allowed": _Slip(
        "a ':' where no value can follow",
        "put a text that holds ': ' in quotes, and begin keys that belong together in the same column",
    ),
    "found unexpected end of stream": _Slip("a text in quotes that does not end", at_its_begin=True),
    "cannot start any token": _Slip("a character with which no text may begin", "put the text in quotes"),
    "while parsing a flow sequence": _Slip("a list without ',' or ']' where one is needed", at_its_begin=True),
    "while parsing a flow mapping": _Slip("a mapping without ',' or '}' where one is needed", at_its_begin=True),
    "while parsing a block collection": _Slip(
        "something that is no further item of the list above", "begin every item with '- ' in the same column"
    ),
    "while parsing a block mapping": _Slip(
        "something that is neither a key nor a part of the value before it",
        "begin keys that belong together in the same column, and quote a text that holds quotes as a whole",
    ),
}


def _slip(error: yaml.MarkedYAMLError) -> _Slip:
    said = " ".join(part for part in (error.problem, error.context) if part)
    return next((slip for part, slip in _SLIPS.items() if part in said), _Slip(said))


class _Builder:
    """Makes values from nodes. Aliases are expanded here, so their number and depth are limited once more."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def value(self, node: _Node, path: Path) -> Any:
        self._count(node, path)
        self.document.values[path] = node.place
        if isinstance(node, _Scalar):
            self._check_unicode(node)
            return node.value
        if isinstance(node, _Sequence):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.items)]
        return self._mapping(node, path)

    def _mapping(self, node: _Mapping, path: Path) -> dict[str, Any]:
        # A mapping's own keys win over those that `<<` merges into it.
        chosen = self._own_pairs(node)
        for key, pair in self._merged_pairs(node).items():
            chosen.setdefault(key, pair)
        mapping = {}
        for name, (name_node, value) in chosen.items():
            self.document.keys[(*path, name)] = name_node.place
            mapping[name] = self.value(value, (*path, name))
        return mapping

    def _own_pairs(self, node: _Mapping) -> dict[str, tuple[_Node, _Node]]:
        own: dict[str, tuple[_Node, _Node]] = {}
        for key, value in node.pairs:
            if _is_merge(key):
                continue
            if not (isinstance(key, _Scalar) and isinstance(key.value, str)):
                self._complain(key, f"found {_key_words(key)} as a key, expected text", hint="put the key in quotes")
            elif key.value in own:
                first = own[key.value][0].place.line
                self._complain(key, f"found the key {key.value!r} a second time (first on line {first}), expected once")
            else:
                own[key.value] = (key, value)
        return own

    def _merged_pairs(self, node: _Mapping, depth: int = 0) -> dict[str, tuple[_Node, _Node]]:
        merged: dict[str, tuple[_Node, _Node]] = {}
        for key, value in node.pairs:
            if not _is_merge(key):
                continue
            for source in value.items if isinstance(value, _Sequence) else [value]:
                for name, pair in self._mergeable(source, depth).items():
                    merged.setdefault(name, pair)
        return merged

    def _mergeable(self, source: _Node, depth: int) -> dict[str, tuple[_Node, _Node]]:
        self._bound(source, depth)
        if not isinstance(source, _Mapping):
            self._complain(source, "found no mapping after the merge key <<, expected a mapping or a list of them")
            return {}
        self.nodes += len(source.pairs)
        return {**self._merged_pairs(source, depth + 1), **self._own_pairs(source)}

    def _count(self, node: _Node, path: Path) -> None:
        self.nodes += 1
        self._bound(node, len(path))

    def _bound(self, node: _Node, depth: int) -> None:
        if self.nodes > MAX_NODES:
            self._stop(node, f"found aliases that expand to more than {MAX_NODES:,} values")
        if depth > MAX_DEPTH:
            self._stop(node, f"found aliases that nest values more than {MAX_DEPTH} deep")

    def _check_unicode(self, node: _Scalar) -> None:
        if isinstance(node.value, str) and any("\ud800" <= c <= "\udfff" for c in node.value):
            self._stop(node, "found half of a surrogate pair, expected text that UTF-8 can hold")

    def _complain(self, node: _Node, message: str, *, hint: str | None = None) -> None:
        self.document.problems.append(self.document.problem_at(node.place, message, hint=hint))

    def _stop(self, node: _Node, message: str) -> NoReturn:
        raise ManifestError([*self.document.problems, self.document.problem_at(node.place, message)])


def _is_merge(key: _Node) -> bool:
    return isinstance(key, _Scalar) and key.plain and key.value == "<<"


def _key_words(key: _Node) -> str:
    if isinstance(key, _Scalar):
        return "nothing" if key.value is None else repr(key.value)
    return "a list" if isinstance(key, _Sequence) else "a mapping"
