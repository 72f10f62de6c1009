"""How to run an experiment (folder, mode, concurrency …); every option has a default."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from profiler.core.errors import UsageError
from profiler.core.nouns import Mode
from profiler.core.wording import expected, found
from profiler.dataset.selection import Selection
from profiler.engine.progress import Overview
from profiler.manifest.value_types import Concurrency
from profiler.provider.open import Lane
from profiler.provider.source import choose_mode
from profiler.storage.writing.journal_file import Fsync

if TYPE_CHECKING:
    from profiler.manifest.load import Manifest
    from profiler.manifest.settings import Experiment

Watch = Callable[[Overview], Coroutine[Any, Any, None]]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to run, as opposed to what to run: of what is asked it only says which dialogues."""

    output_dir: str | PathLike[str] = "runs"
    mode: Mode | Literal["auto"] = "auto"
    lane: Lane | None = None
    manifest_sha256: str | None = None
    search_path: str | PathLike[str] | None = None
    limit: int | None = None
    ids: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0
    by_tag: bool = False
    concurrency: int | None = None
    max_cost_usd: float | None = None
    fresh: bool = False
    retry_failed: bool = False
    reuse: tuple[str | PathLike[str], ...] = ()
    fsync: Fsync = "interval"
    signals: bool = False
    in_turn: bool = False

    def __post_init__(self) -> None:
        try:
            msgspec.convert(self.concurrency, Concurrency | None)
        except msgspec.ValidationError:
            raise UsageError(
                f"concurrency: found {found(self.concurrency)}, expected {expected(Concurrency)}"
            ) from None

    @property
    def selection(self) -> Selection:
        """Which dialogues of each dataset are asked."""
        return Selection(
            ids=tuple(self.ids),
            tags=tuple(self.tags),
            sample=self.sample,
            seed=self.seed,
            by_tag=self.by_tag,
            limit=self.limit,
        )

    @property
    def folder(self) -> Path:
        return Path(self.output_dir)

    def folder_of(self, experiment: Experiment) -> Path:
        """Where its run directory stands."""
        return self.folder / experiment.experiment_id

    @property
    def plugins_folder(self) -> Path | None:
        return None if self.search_path is None else Path(self.search_path)

    @property
    def resolved_mode(self) -> Mode:
        """`auto` is live if and only if a key is set, as on the command line."""
        return choose_mode(self.mode, os.environ)


def options_of(manifest: Manifest, options: Options) -> Options:
    """The options for a manifest: what it says of the whole holds unless they say otherwise."""
    cap_usd = manifest.max_cost_usd
    if len(manifest.ids) == 1:  # the whole is one experiment, and the smaller of its two caps decides
        caps = (cap_usd, manifest.experiments[0].max_cost_usd)
        cap_usd = min((cap for cap in caps if cap is not None), default=None)
    return msgspec.structs.replace(
        options,
        manifest_sha256=options.manifest_sha256 or manifest.sha256,
        search_path=options.search_path or manifest.path.parent,
        max_cost_usd=cap_usd if options.max_cost_usd is None else options.max_cost_usd,
    )
