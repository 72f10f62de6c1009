"""`profiler list` and `profiler show`: which runs there are, and what stands in one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from profiler.cli.output import print_json, remark, say_unfinished
from profiler.cli.table import NOTHING, Table, clean, draw
from profiler.core.errors import UsageError
from profiler.core.wording import printable
from profiler.provider.source import OWN_CLIENT
from profiler.results.comparing.metrics_compared import directions
from profiler.results.listing import Row, rows
from profiler.results.values import score_names
from profiler.results.which_items import Choice, chosen
from profiler.storage.reading.frozen_run import frozen
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping

    from profiler.metrics.metric import Better, Score
    from profiler.storage.reading.item import Item

HEADLINES = 4  # the most metrics that `list` shows
OK, NOT_READABLE = 0, 2


def list_runs(args: Namespace) -> int:
    folder = Path(args.folder)
    found = [row for row in rows(folder) if args.all or row.state != "aside"]
    if args.json:
        print_json({"runs": [msgspec.to_builtins(row) for row in found]})
    elif not found:
        raise UsageError(f"{folder}: found no run in it", hint="say where the runs are: profiler list DIR")
    else:
        draw([_table(folder, found)], file=sys.stdout)
    unreadable = [row for row in found if row.state == "unreadable"]
    for row in unreadable:
        remark(f"error: {row.fault}")
    return NOT_READABLE if unreadable else OK


def _table(folder: Path, found: list[Row]) -> Table:
    names = list(dict.fromkeys(name for row in found for name in row.metrics))
    shown = names[:HEADLINES]
    left_out = [f"not shown here: {', '.join(names[HEADLINES:])}; --json has them"] if names[HEADLINES:] else []
    return Table(
        title=f"Runs in {clean(str(folder))}",
        caption="",
        header=("run", "state", "mode", "model", *shown, "errors", "cost $", "when"),
        rows=tuple(
            (
                clean(row.folder),
                _state(row),
                _mode(row),
                clean(row.model or NOTHING),
                *[_metric(row.metrics.get(name)) for name in shown],
                NOTHING if row.errors is None else f"{row.errors:,}",
                _cost(row),
                row.when or NOTHING,
            )
            for row in found
        ),
        notes=tuple(left_out),
    )


def _state(row: Row) -> str:
    if row.state == "complete" or row.kept is None or row.dialogues is None:
        return row.state if row.kept is None else f"{row.state} {row.kept:,}"
    return f"{row.state} {row.kept:,}/{row.items or row.dialogues:,}"


def _mode(row: Row) -> str:
    own = row.client is not None and row.client.startswith(OWN_CLIENT)
    return clean(f"{row.mode}, {row.client}" if own else row.mode or NOTHING)


def _metric(found: Any) -> str:
    if not isinstance(found, dict) or not isinstance(found.get("value"), int | float):
        return NOTHING
    value = f"{found['value']:.4g}"
    match found.get("ci95"):
        case [int() | float() as low, int() | float() as high]:
            return f"{value} [{low:.3g}, {high:.3g}]"
        case _:
            return value


def _cost(row: Row) -> str:
    if row.cost_usd is None:
        return NOTHING
    maybe = row.maybe_billed_usd or 0
    return f"{row.cost_usd:.4g}" + (f" (+{maybe:.4g}?)" if maybe else "")


def _better(run: SavedRun) -> Mapping[str, Better | None]:
    """Which way each metric is better. A finished run says it itself, so metrics of one's own need not be at hand."""
    if run.complete:
        return directions([run.summary["run"]], search_path=Path.cwd())[0]
    return {metric.name: metric.better for metric in run.metrics(search_path=Path.cwd())}


def show(args: Namespace) -> int:
    run = frozen(SavedRun(args.run))
    say_unfinished(run)
    choice = _choice(args)
    scores = score_names(run, search_path=Path.cwd())
    better = _better(run)
    # A number that no metric has (a time, a cost) is worse the higher it is.
    items = chosen(run.items(search_path=Path.cwd()), choice, scores=scores, better=better.get)
    shown = 0
    with _paged(wanted=not (args.no_pager or args.json)) as out:
        for item in items:
            shown += 1
            out.write(msgspec.json.encode(item).decode() if args.json else "\n".join(_in_lines(item)) + "\n")
            out.write("\n")
    if not args.json:
        remark(f"{shown:,} shown of {args.run}" if shown else f"none of the dialogues in {args.run} is so")
    return OK


def _choice(args: Namespace) -> Choice:
    kinds = {"error": args.errors, "refusal": args.refusals, "truncated": args.truncated}
    worst = None
    if args.worst is not None:
        name, number = args.worst
        if not number.isdecimal() or int(number) < 1:
            raise UsageError(f"--worst {name} {number}: expected how many, found {number!r}")
        worst = (name, int(number))
    return Choice(
        ids=tuple(args.ids),
        types=tuple(kind for kind, wanted in kinds.items() if wanted),
        tags=tuple(args.tag),
        where=args.where,
        grep=args.grep,
        worst=worst,
        limit=args.limit,
    )


def _in_lines(item: Item) -> Iterator[str]:
    record = item.record
    repeat = f", repeat {item.repeat}" if "repeat" in item.request or "repeat" in record else ""
    yield f"--- {printable(item.dialogue_id)} (number {record.get('index', '?')}{repeat}): {item.type}"
    for role, text in item.conversation:
        yield f"{role}: " + printable(text).replace("\n", "\n    ")
    if isinstance(details := record.get("stop_details"), dict):
        told = [str(details[name]) for name in ("category", "explanation") if details.get(name)]
        yield f"refusal: {printable(': '.join(told) or 'no category')}"
    if isinstance(error := record.get("error"), dict):
        status = f" {error['status']}" if error.get("status") else ""
        yield f"error: {printable(str(error.get('type')))}{status}: {printable(str(error.get('message')))}"
    judged = {
        name: item.request.get(name) for name in ("expected", "required_facts", "expect_refusal", "tags", "metadata")
    }
    for name, value in judged.items():
        if value not in (None, [], {}):
            yield f"{name}: {printable(msgspec.json.encode(value).decode())}"
    if item.scores:
        yield "scores: " + ", ".join(f"{name} {_plain(score)}" for name, score in item.scores.items())
    measured = (
        *("stop_reason", "latency_s", "ttft_s", "gap_p50_s", "gap_p95_s", "tokens_per_s", "queue_s", "held_s"),
        *("between_s", "at_s", "attempts", "cost_usd", "maybe_usd", "request_id"),
    )
    told = [f"{name} {printable(str(record[name]))}" for name in measured if record.get(name) is not None]
    tokens = [
        f"{name} {count}" for name, count in (record.get("usage") or {}).items() if isinstance(count, int) and count
    ]
    if told or tokens:
        yield ", ".join([*told, *tokens])


def _plain(score: Score) -> str:
    if score is None or isinstance(score, bool):
        return {True: "true", False: "false", None: "null"}[score]
    return f"{score:.6g}"


@contextmanager
def _paged(*, wanted: bool) -> Iterator[IO[str]]:
    """Where `show` prints: on a terminal the pager that $PAGER names (else less), otherwise stdout."""
    command = shlex.split(os.environ.get("PAGER", "less -FRX"))
    if not wanted or not sys.stdout.isatty() or not command or shutil.which(command[0]) is None:
        yield sys.stdout
        return
    # Whoever quits the pager has seen enough, so a pipe that is closed is no fault.
    with (
        suppress(BrokenPipeError),
        subprocess.Popen(command, stdin=subprocess.PIPE, encoding="utf-8", errors="replace") as pager,  # noqa: S603 (the user's own choice)
    ):
        assert pager.stdin is not None  # noqa: S101 (it was asked to be a pipe)
        yield pager.stdin


COMMANDS = {"list": list_runs, "show": show}
