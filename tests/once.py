"""What is costly to make is made once for all workers of a test run, not once for each of them."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None], *, worker: str | None) -> Path:
    """A folder that `make` has filled, here or in another worker. Whoever changes it works on a copy."""
    base = factory.getbasetemp()
    shared = base if worker is None else base.parent  # the workers' folders lie side by side
    folder, whole = shared / name, shared / f"{name}.whole"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder
