"""How to run, as opposed to what; every option has a default."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from profiler.core.nouns import Mode
from profiler.engine.progress import View
from profiler.provider.open import Lane
from profiler.storage.journal_file import Fsync

Watch = Callable[[View], Coroutine[Any, Any, None]]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to run, as opposed to what: nothing here changes what is asked or answered."""

    output_dir: Path = Path("runs")
    mode: Mode = "mock"
    lane: Lane | None = None
    manifest_sha256: str | None = None
    search_path: Path | None = None
    limit: int | None = None
    concurrency: int | None = None
    max_cost_usd: float | None = None
    fresh: bool = False
    retry_failed: bool = False
    fsync: Fsync = "interval"
    signals: bool = False
