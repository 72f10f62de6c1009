"""What a comparison needs of the lines of a run, in batches: what was asked, what came back, what it scored."""

from __future__ import annotations

from itertools import chain, islice, tee
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from profiler.core.nouns import RecordType
from profiler.storage.names import REQUESTS, RESPONSES, SCORES
from profiler.storage.reading.read_logs import damaged, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.metrics.metric import Score
    from profiler.storage.reading.saved_run import SavedRun

BATCH: Final = 512  # as many lines as stay in the cache
NOTHING: Final = msgspec.Raw(b"null")
NO_TAGS: Final = msgspec.Raw(b"[]")
DIALOGUE_ID: Final = attrgetter("dialogue_id")
SCORES_OF: Final = attrgetter("scores")
KNOWN_OTHERWISE: Final = ("completion_rate", "refusal_rate")  # by the type of the answer

Line = TypeVar("Line")
_plain = msgspec.json.Decoder(dict[str, Any]).decode


class Asked(msgspec.Struct, gc=False):
    """Of requests.jsonl. What is only compared stays as it is written."""

    dialogue_id: str
    prompt: msgspec.Raw = NOTHING
    required_facts: msgspec.Raw = NOTHING
    expected: msgspec.Raw = NOTHING
    expect_refusal: bool | None = None


class AskedWithTags(Asked, gc=False):
    """Of the run that others are compared with: its tags count."""

    tags: msgspec.Raw = NO_TAGS


class AskedInCluster(AskedWithTags, gc=False):
    metadata: dict[str, Any] = {}


class Usage(msgspec.Struct, gc=False):
    input_tokens: float | None = None
    output_tokens: float | None = None


class Answered(msgspec.Struct, gc=False):
    """Of responses.jsonl."""

    dialogue_id: str
    type: RecordType
    usage: Usage | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    gap_p95_s: float | None = None
    tokens_per_s: float | None = None
    cost_usd: float | None = None
    reused_from: str | None = None
    reused_cost_usd: float | None = None


class Scored(msgspec.Struct, gc=False):
    """Of scores.jsonl; `scores` is a struct with a field for each metric, which is made for each run."""

    dialogue_id: str
    scores: Any


class Batch(msgspec.Struct, frozen=True):
    """Some items in dataset order: the lines of each kind, and a column for each metric that has scores."""

    ids: list[str]
    asked: list[Asked]
    answered: list[Answered]
    scores: dict[str, list[Score]]


def batches(run: SavedRun, kind: type[Asked], *, search_path: Path | None) -> Iterator[Batch]:
    """`kind`: what is wanted of the questions."""
    names, scored = _scores(run, search_path)
    asked, answered = _asked_and_answered(run, kind)
    scores_of = {name: attrgetter(field) for field, name in names.items()}
    number = 0
    while any(lines := (list(islice(asked, BATCH)), list(islice(answered, BATCH)), list(islice(scored, BATCH)))):
        ids = list(map(DIALOGUE_ID, lines[1]))
        for found, name in ((lines[0], REQUESTS), (lines[2], SCORES)):
            if (others := list(map(DIALOGUE_ID, found))) != ids:
                at = number + _first_difference(others, ids) + 1
                raise damaged(run.folder / name, f"is of another dialogue than {RESPONSES}", line=at)
        scores = list(map(SCORES_OF, lines[2]))
        columns = {name: list(map(get, scores)) for name, get in scores_of.items()}
        yield Batch(ids, lines[0], lines[1], columns)
        number += len(ids)


def _first_difference(left: list[str], right: list[str]) -> int:
    return next(
        (at for at, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), min(len(left), len(right))
    )


def _scores(run: SavedRun, search_path: Path | None) -> tuple[dict[str, str], Iterator[Any]]:
    """The metrics by field, and the lines of scores.jsonl, read or worked out. Names of metrics need not be names of
    Python's, so the fields are numbered."""
    path = run.folder / SCORES
    in_file = run.complete and path.exists()
    lines = lines_of(path, _plain, complete=True) if in_file else run.scores(search_path=search_path)
    first = next(lines, None)
    scored = [name for name in (first["scores"] if first else ()) if name not in KNOWN_OTHERWISE]
    names = {f"score_{number}": name for number, name in enumerate(scored)}
    fields = [(field, bool | float | None, None) for field in names]
    scores = msgspec.defstruct("Scores", fields, rename=names, gc=False)
    kind = msgspec.defstruct("ScoredBy", [("scores", scores)], bases=(Scored,), gc=False)
    if in_file:
        return names, _decoded(path, kind)
    return names, (_as(kind, line) for line in chain([first] if first else [], lines))


def _asked_and_answered(run: SavedRun, kind: type[Asked]) -> tuple[Iterator[Asked], Iterator[Answered]]:
    """From the files of a complete run, else from what is kept of it."""
    if run.complete:
        return _decoded(run.folder / REQUESTS, kind), _decoded(run.folder / RESPONSES, Answered)
    left, right = tee(run.items())
    asked = (_as(kind, {**item.request, "dialogue_id": item.dialogue_id}) for item in left)
    return asked, (_as(Answered, item.record) for item in right)


def _decoded(path: Path, kind: type[Line]) -> Iterator[Line]:
    return lines_of(path, msgspec.json.Decoder(kind).decode, complete=True)


def _as(kind: type[Line], line: dict[str, Any]) -> Line:
    return msgspec.json.decode(msgspec.json.encode(line), type=kind)
