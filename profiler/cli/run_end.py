"""What `profiler run` says when every experiment has ended: its results, what went wrong in which, and how to go on."""

from __future__ import annotations

import shlex
import sys
import textwrap
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from profiler.cli import summary_table
from profiler.cli.output import remark
from profiler.cli.progress import duration
from profiler.cli.run_warnings import warnings
from profiler.core.errors import BudgetReached, Interrupted, ProfilerError
from profiler.core.json import dump_pretty
from profiler.core.wording import few
from profiler.storage.reading.saved_run import run_before

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Hashable, Iterator

    from profiler.engine.result import Ended, Result

OK, THRESHOLD_MISSED, BUG = 0, 1, 70
WORST_FIRST = (70, 130, 143, 2, 3, 4, 1, 0)
RETRY_FAILED = "--retry-failed"
COMPARED = 4  # the most experiments that are shown side by side


def conclude(args: Namespace, ended: Sequence[Ended], *, elapsed_s: float | None, tell: Callable[[str], None]) -> int:
    """Show what is complete, tell the rest, and return the exit code of the worst. Raises what stopped a single one. Without
    `elapsed_s` nothing was asked, and no pace is told."""
    results = [each.result for each in ended if each.result is not None]
    if elapsed_s is not None:
        _tell_how_fast(results, elapsed_s=elapsed_s, tell=tell)
    if args.json and (results or len(ended) > 1):
        _print_json(results, [each for each in ended if each.result is None])
    elif results:
        _print_table(results)
    code = _judge(args, results)
    failed = [each for each in ended if each.error is not None]
    if not failed:
        return code
    if len(ended) == 1 and failed[0].error is not None:
        raise with_the_way_on(failed[0].error, args)
    _tell_failures(args, ended, failed)
    codes = {code, *(_exit_code(each.error) for each in failed)}
    return next(worst for worst in WORST_FIRST if worst in codes)


def with_the_way_on(error: Exception, args: Namespace) -> Exception:
    """The error with a hint: the command that resumes the run, or that starts over without paying for anything twice."""
    if not isinstance(error, ProfilerError):
        return error
    again = None
    if isinstance(error, Interrupted) or error.exit_code in (3, 4):
        again = f"resume with: {_resume_command(args, [error])}"
    elif error.way_on:
        words = [word for word in args.given if word != "--resume"]
        again = f"{'or ' if error.hint else ''}begin anew and pay only for what is new: {shlex.join(['profiler', *words, *error.way_on])}"
    error.hint = "; ".join(filter(None, [error.hint, again])) or None
    return error


def _tell_how_fast(results: Sequence[Result], *, elapsed_s: float, tell: Callable[[str], None]) -> None:
    answered = sum(result.answered_now for result in results)
    if not results:
        return
    if len(results) > 1:
        was = sum(not result.answered_now for result in results)
        before = f"; of {was:,} nothing had to be asked" if was else ""
        tell(f"{len(results):,} experiments: {_pace(results, elapsed_s)}{before}")
    elif not answered:
        tell(f"{results[0].folder.name}: already complete, nothing was asked")
    else:
        bound = results[0].summary["run"].get("bound_by")
        told = f", bound by {bound['most']}" if bound else ""
        tell(f"{results[0].folder.name}: {_pace(results, results[0].elapsed_s)}{told}")


def _pace(results: Sequence[Result], elapsed_s: float) -> str:
    answered = sum(result.answered_now for result in results)
    noun = "answers" if any(result.repeats > 1 for result in results) else "dialogues"
    return f"{answered:,} {noun} in {duration(elapsed_s)} ({answered / elapsed_s:,.0f}/s)"


def _print_table(results: Sequence[Result]) -> None:
    """Print the table, and for each run the two lines that scripts look for."""
    summary_table.render(_Summaries(results), file=sys.stdout)
    for result in results:
        print(f"Completed experiment {result.folder.name}")
        print(f"Metrics written to {result.summary_path}")
    sys.stdout.flush()


def _print_json(results: Sequence[Result], unfinished: Sequence[Ended]) -> None:
    """One document, written as it goes: all summaries of a large manifest at once would fill the memory."""
    parts: list[tuple[str, Iterator[Any]]] = [("experiments", map(_as_json, results))]
    if unfinished:
        parts.append(("unfinished", map(_unfinished, unfinished)))
    opening = "{\n"
    for name, values in parts:
        sys.stdout.write(f'{opening}  "{name}": [')
        for place, value in enumerate(values):
            sys.stdout.write(",\n" if place else "\n")
            sys.stdout.write(textwrap.indent(dump_pretty(value).decode().rstrip("\n"), "    "))
        sys.stdout.write("\n  ]")
        opening = ",\n"
    sys.stdout.write("\n}\n")


class _Summaries(Sequence[dict[str, Any]]):
    """The summaries of results, each unpacked when it is looked at."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = results

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | Sequence[dict[str, Any]]:
        if isinstance(place, slice):
            return _Summaries(self._results[place])
        return self._results[place].summary


def _as_json(result: Result) -> dict[str, Any]:
    rate = result.answered_now / result.elapsed_s if result.elapsed_s else None
    repeats = result.summary["run"].get("repeats", 1)
    return {
        "log_dir": str(result.folder),
        "answered_now": result.answered_now,
        "kept": result.kept,
        "elapsed_s": round(result.elapsed_s, 3),
        "answers_per_s": rate and round(rate, 1),
        "dialogues_per_s": rate and round(rate / repeats, 1),
        "missed": result.missed,
        "summary": result.summary,
    }


def _unfinished(ended: Ended) -> dict[str, Any]:
    return {
        "experiment_id": ended.experiment_id,
        "state": "stopped" if ended.begun else "not begun",
        "error": str(ended.error),
        "exit_code": _exit_code(ended.error),
    }


def _exit_code(error: Exception | None) -> int:
    return error.exit_code if isinstance(error, ProfilerError) else BUG


def _judge(args: Namespace, results: Sequence[Result]) -> int:
    """Say on stderr what is wrong with the results and what to do about it. Returns the exit code."""
    code, failed_metrics, tagged = OK, False, False
    retry = shlex.join(["profiler", *_retry_words(args.given)])
    for result in results:
        found, name = result.summary, result.folder.name
        counts = found["counts"]
        if not args.quiet or counts["error"]:
            for line in warnings(found, result.folder, retry=retry):
                remark(f"{name}: {line}" if not line.startswith(" ") else line)
        for sentence in result.missed:
            remark(f"threshold missed in {name}: {sentence}")
        failed = counts["error"] / counts["total"] if counts["total"] else 0.0
        if failed > args.fail_on_errors:
            remark(f"{name}: {failed:.1%} of the dialogues failed, above --fail-on-errors {args.fail_on_errors:g}")
        if result.missed or failed > args.fail_on_errors:
            code = THRESHOLD_MISSED
        failed_metrics = failed_metrics or any("error" in metric for metric in found["metrics"].values())
        tagged = tagged or bool(found["by_tag"])
    if failed_metrics:
        return BUG
    if not args.quiet and results:
        for words in _useful(args, results, tagged=tagged):
            remark(f"next: {shlex.join(['profiler', *words])}")
    return code


def _useful(args: Namespace, results: Sequence[Result], *, tagged: bool) -> Iterator[list[str]]:
    """The commands that most people want next: numbers by tag, a comparison with the run before, a report."""
    folders = [str(result.folder) for result in results]
    folder = folders[0] if len(folders) == 1 else str(Path(args.output_dir))
    yield ["summarize", "--log-dir", folder, *(["--by-tag"] if tagged else [])]
    if len(folders) == 1 and (before := run_before(results[0].folder)) is not None:
        yield ["compare", str(before), folder]
    elif 1 < len(folders) <= COMPARED:
        yield ["compare", *folders]
    if len(folders) <= COMPARED:
        yield ["report", *folders, "-o", f"{results[0].folder.name if len(folders) == 1 else 'report'}.html"]


def _tell_failures(args: Namespace, ended: Sequence[Ended], failed: Sequence[Ended]) -> None:
    """Say what stopped each experiment that did not complete, the state of all, and how to go on."""
    stopped_by: dict[Hashable, list[Ended]] = {}
    for each in failed:
        stopped_by.setdefault(_told_alike(each.error), []).append(each)
    for alike in stopped_by.values():
        error = alike[0].error
        if error is None:
            continue
        whose = [each.experiment_id for each in alike if each.begun]
        remark(f"error: {few(whose)}: {error}" if whose else f"error: {error}")
        if not isinstance(error, ProfilerError):
            remark("".join(traceback.format_exception(error)))
        elif error.hint:
            remark(f"hint: {error.hint}")
    waiting = [each.experiment_id for each in failed if not each.begun]
    if waiting:
        remark(f"not begun: {few(waiting)}")
    stopped = len(failed) - len(waiting)
    remark(
        f"{len(ended):,} experiments: {len(ended) - len(failed):,} complete, {stopped:,} stopped, "
        f"{len(waiting):,} not begun"
    )
    remark(f"what is answered is kept; go on with: {_resume_command(args, [each.error for each in failed])}")


def _told_alike(error: Exception | None) -> Hashable:
    """Equal for errors that are told in the same words, such as a cap that stops all that are left; a bug has lines of its
    own."""
    return (str(error), error.hint) if isinstance(error, ProfilerError) else id(error)


def _resume_command(args: Namespace, errors: Sequence[Exception | None]) -> str:
    """The same command; where the cap was reached, with one that is probably enough."""
    words: list[str] = args.given
    enough = [each.enough_usd for each in errors if isinstance(each, BudgetReached) and each.of_all]
    if any(enough):
        words = [*_without("--max-cost", words), "--max-cost", f"{max(filter(None, enough)):g}"]
    return shlex.join(["profiler", *words])


def _retry_words(given: list[str]) -> list[str]:
    """The command that asks failed dialogues again. `merge` asks nothing: once a run is put together, that is for `run`."""
    words = ["run", *_without("--store", given[1:])] if given[0] == "merge" else given
    return words if RETRY_FAILED in words else [*words, RETRY_FAILED]


def _without(option: str, words: list[str]) -> Iterator[str]:
    """The words without an option and its value, in both spellings: `--max-cost 5` and `--max-cost=5`."""
    rest = iter(words)
    for word in rest:
        if word == option:
            next(rest, None)
        elif not word.startswith(f"{option}="):
            yield word
