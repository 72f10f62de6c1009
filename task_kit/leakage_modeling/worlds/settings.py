"""Every setting of an episode of this task, with its default and bounds, written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from profiler.core.errors import ManifestError
from profiler.core.wording import did_you_mean
from profiler.manifest.yaml_reader import read

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.manifest.source import Document

Grading = Literal["regret", "legacy-threshold"]
Family = Literal["seen", "held-out", "loans", "subscribers", "parcels", "patients", "fields", "courses", "repairs"]
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0, le=1)]

REGRET_LIMITS = (0.16, 0.115, 0.135, 0.135)  # by difficulty; docs/leakage_modeling.md gives the reasons
MISCALIBRATION_LIMIT = 0.04


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    num_runs: Count = 10
    model: Annotated[str, Meta(min_length=1)] = "claude-haiku-4-5"
    max_steps: Count = 20
    max_tokens: Count = 1000
    max_stdout_chars: Annotated[int, Meta(ge=1, le=300_000)] = (
        8000  # as many as a message of a worker always has room for
    )
    concurrency: Count = 8
    context_tokens: Annotated[int, Meta(ge=10_000)] = 200_000  # size of the model's context window

    difficulty: Annotated[int, Meta(ge=0, le=3)] = 1
    family: Family = "seen"
    train_rows: Annotated[int, Meta(ge=100, le=100_000)] = 800
    test_rows: Annotated[int, Meta(ge=20, le=100_000)] = 200
    hidden_rows: Annotated[int, Meta(ge=1000, le=100_000)] = 4000
    leak_future_signal: bool = True
    leak_global_target_mean: bool = True
    leak_cat0_rate_full: bool = True

    grading: Grading = "regret"
    threshold: Share = 0.9471  # of the AUROC, where grading is legacy-threshold
    max_regret: Share | None = None  # None: the limit of the difficulty
    max_miscalibration: Share = MISCALIBRATION_LIMIT

    @property
    def regret_limit(self) -> float:
        return REGRET_LIMITS[self.difficulty] if self.max_regret is None else self.max_regret


def load_settings(path: Path, **overrides: Any) -> Settings:
    """The settings of a file; those given by name come first."""
    document = read(path.read_bytes(), name=str(path))
    written = {} if document.value is None else document.value
    _check_keys(document, written)
    try:
        settings = msgspec.convert(written, Settings)
    except msgspec.ValidationError as error:
        raise ManifestError([_told(document, error)]) from error
    return override(settings, **overrides)


def override(settings: Settings, **overrides: Any) -> Settings:
    """The same settings, with those changed that are not None. A wrong value raises `msgspec.ValidationError`."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return msgspec.convert(msgspec.to_builtins(settings) | given, Settings)


def _check_keys(document: Document, written: Any) -> None:
    if not isinstance(written, dict):
        raise ManifestError([document.problem((), "found something else, expected settings as `name: value`")])
    known = Settings.__struct_fields__
    unknown = [
        document.problem((key,), f"found the unknown setting {key!r}", hint=_hint(key, known), at_key=True)
        for key in written
        if key not in known
    ]
    if problems := [*document.problems, *unknown]:
        raise ManifestError(problems)


def _hint(key: object, known: tuple[str, ...]) -> str:
    return did_you_mean(str(key), known) or f"there are {', '.join(known)}"


def _told(document: Document, error: msgspec.ValidationError) -> Any:
    """msgspec puts the path of the value at the end of its message: `… - at `$.difficulty``."""
    message, _, where = str(error).partition(" - at `$.")
    path = (where.rstrip("`"),) if where else ()
    return document.problem(path, f"{path[0]}: {message}" if path else message)
