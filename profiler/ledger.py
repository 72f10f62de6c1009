"""What a run has spent beyond what its journal shows, kept beside it while the run is not complete.

The journal knows what answers cost. Calls that failed and may have been billed, and the paid turns of dialogues that
never ended, stand in no record: ledger.json holds their sum, so that a cap means the whole run and not one session of
it. Written when a session begins (open) and when it ends (closed); one that was killed leaves it open, and what was in
flight then counts with the most it can have cost. Knows nothing of clients.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.budget import Budget, dialogue_most
from profiler.codec import DecodeError, dump_pretty
from profiler.errors import LogError, Problem, StorageError
from profiler.linefile import sync_folder
from profiler.prices import Ceiling, dollars, pico

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from profiler.model import Request
    from profiler.prices import RateCard
    from profiler.resume import Standing

NAME = "ledger.json"


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """`outside`: pico-dollars that were or may have been billed and that no record of the journal shows."""

    outside: int = 0
    open: bool = False


def read(folder: Path) -> Ledger | None:
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except (OSError, DecodeError, UnicodeDecodeError) as error:
        problem = Problem(
            path=str(path),
            message=f"found no ledger: {error}",
            hint="remove it if what failed calls may have cost does not matter, or start over with --fresh",
        )
        raise LogError([problem]) from error


def write(folder: Path, ledger: Ledger) -> None:
    """Whole or not at all."""
    path = folder / NAME
    beside = path.with_suffix(".tmp")
    try:
        with beside.open("wb") as file:
            file.write(dump_pretty(msgspec.to_builtins(ledger)))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(folder)
    except OSError as error:
        raise StorageError(path, error) from error


def remove(folder: Path) -> None:
    (folder / NAME).unlink(missing_ok=True)


def carry_over(folder: Path, summary: Mapping[str, Any]) -> None:
    """A complete run is about to be reopened: all that it cost, until `begin` sees what its journal shows of it."""
    facts = summary["run"]
    total = sum(facts.get(name) or 0.0 for name in ("spent_usd", "maybe_billed_usd")) or summary.get("cost_usd") or 0.0
    write(folder, Ledger(outside=pico(total)))


def begin(
    folder: Path,
    card: RateCard,
    standing: Standing,
    *,
    unfinished: Iterable[Request],
    attempts: int,
    cap_usd: float | None,
    reopened: bool = False,
) -> Budget:
    """The budget of a session, what earlier ones spent included.

    `unfinished` are the dialogues asked without an answer kept; they are looked at only if the session that asked
    them did not live to say what they cost.
    """
    book = read(folder)
    outside = book.outside if book else 0
    if reopened:
        outside = max(0, outside - standing.cost)
    if standing.asked and (book is None or book.open):
        ceiling, window = Ceiling(card), card.context_window
        outside += sum(dialogue_most(ceiling, each, window=window, attempts=attempts) for each in unfinished)
    write(folder, Ledger(outside=outside, open=True))
    return Budget(card, cap_usd=cap_usd, spent=standing.cost, maybe=outside)


def end(folder: Path, budget: Budget, *, recorded: int) -> None:
    """`recorded` is what the journal shows by now."""
    budget.close()
    write(folder, Ledger(outside=max(0, budget.spent + budget.maybe - recorded)))


def facts(budget: Budget | None) -> dict[str, Any]:
    """The money in the `run` part of the summary; nothing is known without a price."""
    if budget is None:
        return {"rate_card": None, "max_cost_usd": None, "spent_usd": None, "maybe_billed_usd": None}
    return {
        "rate_card": budget.card.as_json(),
        "max_cost_usd": None if budget.cap is None else dollars(budget.cap),
        "spent_usd": dollars(budget.spent),
        "maybe_billed_usd": dollars(budget.maybe),
    }
