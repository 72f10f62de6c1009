"""Prints a result, fresh or stored: a line for each check, with the reason where it failed.

In colour where the file can show it, in ASCII where it can show nothing else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TextIO

from grader.experiment_profiler.judging.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MARKS: Final = {True: ("✔", "ok"), False: ("✘", "FAILED")}
GREEN, RED, DIM, OFF = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def render(result: Mapping[str, Any], *, file: TextIO, verbose: bool = False) -> None:
    unicode = (getattr(file, "encoding", None) or "").lower().replace("-", "") == "utf8"
    coloured = file.isatty() and not os.environ.get("NO_COLOR")
    for colour, line in _lines(result, unicode=unicode, verbose=verbose):
        text = line if unicode else line.encode("ascii", "backslashreplace").decode()
        file.write(f"{colour}{text}{OFF}\n" if coloured and colour else f"{text}\n")


def _lines(result: Mapping[str, Any], *, unicode: bool, verbose: bool) -> Iterator[tuple[str, str]]:
    for check in result["checks"]:
        passed = check["passed"]
        yield (GREEN if passed else RED), _check(check, mark=MARKS[passed][not unicode])
        if not passed and (verbose or check["reason"] != "not_reached"):
            yield DIM, f"  {check['detail']}"
    yield "", ""
    yield _colour(result), _verdict(result)
    yield DIM, _circumstances(result)
    if lowered := result["isolation"].get("lowered_from"):
        level = result["isolation"]["level"]
        yield RED, f"WITH LESS ISOLATION ({level}) than this machine gives ({lowered}): only for code that you trust"
    if verbose:
        yield from ((DIM, line) for line in _timings(result))


def _check(check: Mapping[str, Any], *, mark: str) -> str:
    held = check["made"] - check["failed"]
    counted = f"{held} of {check['made'] + check['not_reached']}"
    reason = "" if check["passed"] else f"  {check['reason']}: {REASONS[check['reason']].sentence}"
    return f"{mark} {check['name']:<12} {counted:>8}{reason}"


def _colour(result: Mapping[str, Any]) -> str:
    return GREEN if result["status"] == "pass" else RED


def _verdict(result: Mapping[str, Any]) -> str:
    if result["status"] == "error":
        return f"ERROR, which says nothing of the submission: {result['error']}"
    reasons = f" ({', '.join(result['reasons'])})" if result["reasons"] else ""
    return f"{result['status'].upper()}{reasons}, reward {result['reward']:g}"


def _circumstances(result: Mapping[str, Any]) -> str:
    level = result["isolation"].get("level", "unknown")
    seconds = result.get("timings", {}).get("seconds", {}).get("total")
    took = f", {seconds:.2f} s" if seconds is not None else ""
    return f"{result['asked']['worlds'] + 1} worlds of seed {result['asked']['seed']}, isolation {level}{took}"


def _timings(result: Mapping[str, Any]) -> Iterator[str]:
    for name, box in result.get("timings", {}).get("boxes", {}).items():
        yield f"{name:<20} {box['wall_s']:>8.3f} s  cpu {box['cpu_s']:>7.3f} s  {box['peak_bytes'] / 2**20:>7.1f} MiB"
