"""Writes the report of one or several runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from profiler import __version__
from profiler.core.wording import kept_in_words
from profiler.results.comparing.compare import names_of
from profiler.results.comparing.findings import Question
from profiler.results.report.columns import ABSENT, Columns
from profiler.results.report.compared import compared
from profiler.results.report.packing import columns_of
from profiler.results.report.page import Page, json_of
from profiler.results.report.selection import MOST_SHOWN, kinds_of
from profiler.results.report.side_by_side import rows_of
from profiler.results.report.survey import Survey
from profiler.storage.reading.frozen_run import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from profiler.results.report.privacy import Privacy
    from profiler.results.report.side_by_side import Row
    from profiler.storage.reading.saved_run import SavedRun

ROWS_A_BLOCK: Final = 500
MOST_IN_UTF_8: Final = 20_000


class Written(msgspec.Struct, frozen=True):
    """What was written: how many dialogues there are, how many are in the file, and whether their texts are."""

    rows: int
    shown: int
    texts: bool


def write_report(
    runs: Sequence[SavedRun],
    path: Path,
    *,
    privacy: Privacy,
    question: Question | None = None,
    room: int = MOST_SHOWN,
) -> Written:
    """The runs are read twice: once to count everything and to choose what is shown, once to write that."""
    runs = [frozen(run) for run in runs]
    question = question or Question()
    search_path = question.search_path
    survey = Survey(runs, privacy, search_path=search_path, room=room)
    columns = Columns([list(counted.scores) for counted in survey.counted], survey.better)
    names = names_of(runs)
    kept = dict.fromkeys(("errors", "refusals", "flips"), 0)
    chosen = survey.selection.chosen()
    shown = survey.selection.rows if chosen is None else len(chosen)
    with Page(path, title=" and ".join(names), dense=shown > MOST_IN_UTF_8) as page:
        block: list[Row] = []
        for row in _shown(survey, chosen, search_path):
            for kind in kinds_of(row, survey.better):
                kept[kind] += 1
            errors = _errors(row, survey)
            cut = [None if item is None else privacy.cut(item) for item in row]
            columns.add(cut, errors)
            block.append(cut)
            if len(block) == ROWS_A_BLOCK:
                page.packed("texts", _packed(columns_of(block), privacy))
                block.clear()
        if block:
            page.packed("texts", _packed(columns_of(block), privacy))
        page.packed("columns", _packed(columns.as_json(), privacy))
        facts = _facts(survey, names, privacy, kept, shown=len(columns.ids))
        page.packed("facts", _packed({**facts, **compared(runs, question, privacy)}, privacy))
    return Written(survey.selection.rows, len(columns.ids), privacy.texts)


def _shown(survey: Survey, chosen: Sequence[int] | None, search_path: Path | None) -> Iterator[Row]:
    rows = rows_of(survey.runs, search_path=search_path)
    if chosen is None:
        return rows
    wanted = set(chosen)
    return (row for number, row in enumerate(rows) if number in wanted)


def _errors(row: Row, survey: Survey) -> list[int]:
    return [
        counted.groups.number_of(item) if item is not None and item.type == "error" else ABSENT
        for item, counted in zip(row, survey.counted, strict=True)
    ]


def _packed(value: Any, privacy: Privacy) -> bytes:
    return privacy.redact(json_of(value).decode()).encode()


def _facts(
    survey: Survey, names: Sequence[str], privacy: Privacy, kept: dict[str, int], *, shown: int
) -> dict[str, Any]:
    """Everything but the dialogues."""
    errors = "error" not in privacy.drop
    return {
        "profiler": __version__,
        "texts": privacy.texts,
        "dropped": privacy.drop,
        "better": survey.better,
        "rows_a_block": ROWS_A_BLOCK,
        "rows": survey.selection.rows,
        "shown": shown,
        "kinds": [{**each, "shown": kept.get(each["kind"], each["total"])} for each in survey.selection.as_json()],
        "runs": [
            {
                "name": name,
                "complete": run.complete,
                "kept": None if run.complete else kept_in_words(summary["run"]),
                "summary": privacy.cut_summary(summary),
                **counted.as_json(errors=errors),
            }
            for name, run, summary, counted in zip(names, survey.runs, survey.summaries, survey.counted, strict=True)
        ],
    }
