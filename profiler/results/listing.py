"""The runs of a folder, a row each: what state they are in, what they measured, and what they cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import ProfilerError
from profiler.provider.source import OWN_CLIENT
from profiler.storage.reading.saved_run import moved_aside, runs_below
from profiler.storage.reading.unfinished_fleet import begun as begun_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from profiler.storage.reading.saved_run import SavedRun


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `state` is complete, unfinished, running, aside or unreadable; then `fault` says why."""

    folder: str
    state: str
    kept: int | None = None
    dialogues: int | None = None
    items: int | msgspec.UnsetType = (
        msgspec.UNSET
    )  # where each dialogue is asked several times: how many answers that makes
    mode: str | None = None
    client: str | None = None
    model: str | None = None
    metrics: dict[str, Any] = {}
    errors: int | None = None
    cost_usd: float | None = None
    maybe_billed_usd: float | None = None
    started: str | None = None
    finished: str | None = None
    fault: str | None = None

    @property
    def when(self) -> str | None:
        """The time of the run, as text; runs in mock mode have none in their files."""
        return self.finished or self.started


def rows(folder: Path) -> Iterator[Row]:
    """Every run at or below a folder. One that cannot be read is a row that says so."""
    for run in runs_below(folder):
        name = str(run.folder.relative_to(folder)) if run.folder != folder else run.folder.name
        try:
            row = _finished(name, run) if run.complete else _begun(name, run)
            yield msgspec.convert(msgspec.to_builtins(row), Row)  # checks the types: somebody may have edited a file
        except ProfilerError as error:
            yield Row(folder=name, state="unreadable", fault=str(error))
        except (msgspec.ValidationError, LookupError, TypeError, AttributeError) as error:
            fault = f"{run.folder}: its files do not hold what a run writes there: {error}"
            yield Row(folder=name, state="unreadable", fault=fault)


def _finished(name: str, run: SavedRun) -> Row:
    summary = run.summary
    facts, counts = summary["run"], summary["counts"]
    return Row(
        folder=name,
        state="aside" if moved_aside(run.folder) else "complete",
        kept=counts.get("total"),
        dialogues=facts["dialogues"] if "items" in facts else counts.get("total"),
        items=facts.get("items", msgspec.UNSET),
        mode=facts.get("mode"),
        client=facts.get("client"),
        model=_model(facts),
        metrics=summary["metrics"],
        errors=counts.get("error"),
        cost_usd=summary.get("cost_usd"),
        maybe_billed_usd=facts.get("maybe_billed_usd"),
        started=facts.get("started"),
        finished=facts.get("finished") or _written(run),
    )


def _begun(name: str, run: SavedRun) -> Row:
    """By its journal alone: to count its metrics would take as long as the run is large."""
    begun = begun_in(run.folder)
    if begun is None:
        return Row(folder=name, state="unfinished")
    facts = begun.facts()
    return Row(
        folder=name,
        state="aside" if moved_aside(run.folder) else facts["state"],
        kept=begun.kept,
        dialogues=facts["dialogues"],
        items=facts.get("items", msgspec.UNSET),
        mode=facts["mode"],
        client=_own_client(facts["identity"]),
        model=_model(facts),
        cost_usd=facts["spent_usd"],
        maybe_billed_usd=facts["maybe_billed_usd"],
        started=facts["started"],
    )


def _own_client(identity: dict[str, Any]) -> str | None:
    found = identity.get("client")
    return None if found is None else f"{OWN_CLIENT}{found}"


def _model(facts: dict[str, Any]) -> str | None:
    found: str | None = (facts.get("identity") or {}).get("model")
    return found


def _written(run: SavedRun) -> str | None:
    """Runs in mock mode tell no time, so that equal ones are equal to the byte; the folder does."""
    changed = run.changed()
    return None if changed is None else datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")
