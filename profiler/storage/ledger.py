"""What a run has spent beyond what its journal shows, kept beside it while the run is not complete.

The journal knows what answers cost. Calls that failed and may have been billed, and the paid turns of dialogues that
never ended, stand in no record: ledger.json holds their sum, so that a cap means the whole run and not one session of
it. Written when a session begins (open) and when it ends (closed); one that was killed leaves it open, and what was in
flight then counts with the most it can have cost. Knows nothing of clients.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import BudgetReached, Interrupted, LogError, Problem, ProviderFailed, StorageError, UsageError
from profiler.core.json import DecodeError, dump_pretty
from profiler.dataset import file as dataset
from profiler.money.budget import Budget, usd
from profiler.money.price_list import card_of
from profiler.money.prices import Ceiling, dollars, pico
from profiler.money.worst_case import dialogue_most
from profiler.provider.requests import Planner, params_of
from profiler.storage.line_file import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from profiler.core.nouns import Mode, Request
    from profiler.manifest.settings import Experiment
    from profiler.money.prices import RateCard
    from profiler.storage.resume import Standing

NAME = "ledger.json"


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """`outside`: pico-dollars that were or may have been billed and that no record of the journal shows; of a complete
    run that is about to be reopened it is `whole`, what its records show included. `cut_off`: dialogues that were in
    flight when sessions were killed, and may have been billed."""

    outside: int = 0
    open: bool = False
    whole: bool = False
    cut_off: int = 0


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
    """Last of all: without it, a run that still has its journal would forget money."""
    path = folder / NAME
    if path.exists():  # a complete run may lie where nothing can be written
        path.unlink()


def carry_over(folder: Path, summary: Mapping[str, Any]) -> None:
    """A complete run is about to be reopened: all that it cost, until `begin` sees what its journal shows of it."""
    facts = summary["run"]
    total = sum(facts.get(name) or 0.0 for name in ("spent_usd", "maybe_billed_usd")) or summary.get("cost_usd") or 0.0
    cut_off = (facts.get("resumed") or {}).get("maybe_billed") or 0
    write(folder, Ledger(outside=pico(total), whole=True, cut_off=cut_off))


def card_of_run(experiment: Experiment, *, mode: Mode, cap_usd: float | None) -> RateCard | None:
    """What a live run reckons with. The mock costs nothing, and a made-up price would look like a real one."""
    if mode != "live":
        return None
    card = card_of(experiment, at=datetime.now(UTC))
    if card is None and cap_usd is not None:
        raise UsageError(
            f"{experiment.experiment_id}: found a cap of {usd(pico(cap_usd))}, but nobody knows what "
            f"{experiment.model!r} costs, so it could not be held",
            hint="say it in the manifest: prices: {input_per_million: …, output_per_million: …}",
        )
    return card


def cut_off(folder: Path, standing: Standing) -> tuple[int, int]:
    """How many dialogues were in flight when a session was killed: when the last one was, and in all."""
    book = read(folder)
    now = standing.in_flight if book is None or book.open else 0
    return now, now + (book.cut_off if book is not None else 0)


def begin(folder: Path, card: RateCard, standing: Standing, *, experiment: Experiment, cap_usd: float | None) -> Budget:
    """The budget of a session, what earlier ones spent included. Opens the ledger."""
    book = read(folder)
    _, cut = cut_off(folder, standing)
    outside = 0 if book is None else book.outside
    if book is not None and book.whole:
        outside = max(0, outside - standing.cost)
    if standing.asked and (book is None or book.open):
        ceiling, attempts = Ceiling(card), experiment.retry.max_attempts
        outside += sum(
            dialogue_most(ceiling, request, window=card.context_window, attempts=attempts)
            for request in _unfinished(experiment, standing)
        )
    write(folder, Ledger(outside=outside, open=True, cut_off=cut))
    return Budget(card, cap_usd=cap_usd, spent=standing.cost, maybe=outside)


@contextmanager
def keeping(
    folder: Path, budget: Budget | None, *, recorded: Callable[[], int], enough: Callable[[], float | None]
) -> Iterator[None]:
    """Close the ledger of a session that ends in order; a crash or a full disk leaves it open, count may be lost.

    `recorded` says what the journal shows by then, `enough` which cap would do if this one does not.
    """
    try:
        yield
    except (BudgetReached, Interrupted, ProviderFailed) as error:
        if isinstance(error, BudgetReached):
            error.enough_usd = enough()
        if budget is not None:
            end(folder, budget, recorded=recorded())
        raise
    if budget is not None:
        end(folder, budget, recorded=recorded())


def end(folder: Path, budget: Budget, *, recorded: int) -> None:
    budget.close()
    book = read(folder) or Ledger()
    outside = max(0, budget.spent + budget.maybe - recorded)
    write(folder, msgspec.structs.replace(book, outside=outside, open=False))


def _unfinished(experiment: Experiment, standing: Standing) -> Iterator[Request]:
    """The dialogues whose requests stand in the log without an answer in the journal."""
    planner = Planner(params_of(experiment), system=experiment.system)
    with dataset.reading(experiment.dataset_path, start=standing.first) as dialogues:
        for index, dialogue in zip(range(standing.first, standing.asked), dialogues, strict=False):
            if not standing.done[index]:
                yield planner.request(index, dialogue)


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
