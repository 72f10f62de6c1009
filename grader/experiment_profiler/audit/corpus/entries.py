"""Reads the entries of the corpora (cheats, honest submissions, mutants, stages) from their TOML files, and checks
them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

SHARED: Final = frozenset({"kind", "before", "write"})  # what a file says for all of its entries
KEYS: Final = frozenset(
    {
        "tries",
        "reason",
        "write",
        "append",
        "replace",
        "worlds",
        "timeout",
        "stopped_from",
        "barred_at",
        "survives",
        "breaks",
        "starter",
    }
)
DEFAULT_WORLDS: Final = 3


class CorpusError(Exception):
    """A corpus file cannot be used; the message says which entry and why."""


class Corpus(StrEnum):
    CHEATS = "cheats"
    HONEST = "honest"
    MUTANTS = "mutants"
    STAGES = "stages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One submission of a corpus, described by how it differs from the reference."""

    corpus: Corpus
    kind: str
    name: str  # file/entry
    tries: str
    reasons: tuple[str, ...] = ()  # it must fail with one of these codes
    write: Mapping[str, str]
    append: Mapping[str, str]
    replace: Mapping[str, tuple[tuple[str, str], ...]]
    worlds: int = DEFAULT_WORLDS
    timeout: float | None = None
    stopped_from: str = "process"  # the lowest level of isolation that claims to stop it
    barred_at: tuple[str, ...] = ()  # levels that lack what this entry needs in order to run, see docs/sandbox.md
    survives: str | None = None  # why it is right that this mutant passes
    starter: tuple[str, ...] = ()  # files taken from the starter instead of the reference
    breaks: tuple[int, ...] = ()  # the numbers of the sentences of the prompt that it breaks


def load(corpus: Corpus, *, root: Traversable | None = None) -> tuple[Entry, ...]:
    """Read all entries of a corpus, files in the order of their names. A `root` elsewhere need not have that corpus."""
    folder = (resources.files("grader.experiment_profiler.audit.corpus") if root is None else root) / corpus.value
    if not folder.is_dir():
        return ()
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return tuple(entry for file in files for entry in read(corpus, file))


def load_all(*, root: Traversable | None = None) -> tuple[Entry, ...]:
    return tuple(entry for corpus in Corpus for entry in load(corpus, root=root))


def read(corpus: Corpus, file: Traversable) -> Iterator[Entry]:
    """Yield the entries of one file."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CorpusError(f"{file.name}: {error}") from error
    shared = {key: tables.pop(key) for key in SHARED & tables.keys()}
    for name, table in tables.items():
        where = f"{file.name.removesuffix('.toml')}/{name}"
        yield _entry(where, _checked(where, table, corpus=corpus), corpus=corpus, shared=shared)


def _checked(where: str, table: object, *, corpus: Corpus) -> dict[str, Any]:
    if not isinstance(table, dict) or table.keys() - KEYS or "tries" not in table:
        found = sorted(table) if isinstance(table, dict) else table
        raise CorpusError(f"{where}: found {found!r}, expected a table with `tries` and any of {sorted(KEYS)}")
    if corpus is Corpus.CHEATS and not table.get("reason"):
        raise CorpusError(f"{where}: found no reason, expected the codes that a cheat may fail for: `reason = [...]`")
    return table


def _entry(where: str, table: dict[str, Any], *, corpus: Corpus, shared: dict[str, Any]) -> Entry:
    before = shared.get("before", {})
    append = table.get("append", {})
    return Entry(
        corpus=corpus,
        kind=shared.get("kind", where.partition("/")[0]),
        name=where,
        tries=table["tries"],
        reasons=tuple(table.get("reason", ())),
        barred_at=tuple(table.get("barred_at", ())),
        breaks=tuple(table.get("breaks", ())),
        starter=tuple(table.get("starter", ())),
        write={**shared.get("write", {}), **table.get("write", {})},
        append={name: before.get(name, "") + append.get(name, "") for name in {**before, **append}},
        replace={name: tuple((old, new) for old, new in pairs) for name, pairs in table.get("replace", {}).items()},
        **{key: table[key] for key in ("worlds", "timeout", "stopped_from", "survives") if key in table},
    )
