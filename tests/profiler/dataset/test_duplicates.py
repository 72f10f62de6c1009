"""profiler.dataset.duplicates: no repeated key is missed, on whichever side of a spill it lies."""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.core.errors import UsageError
from profiler.dataset.duplicates import Duplicates


@given(keys=st.lists(st.integers(0, 60).map(str), max_size=80), held=st.integers(1, 30))
def test_every_repeated_key_is_suspected_and_no_other(keys: list[str], held: int) -> None:
    with Duplicates(held=held) as duplicates:
        for key in keys:
            duplicates.add(key)
        suspects = duplicates.suspects()
    times = Counter(keys)
    assert suspects.hashes == {hash(key) for key, count in times.items() if count > 1}
    assert suspects.repeats == len(keys) - len(times)


def test_below_the_budget_no_file_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", _no_room)
    with Duplicates(held=1000) as duplicates:
        for number in range(999):
            duplicates.add(str(number))
        assert duplicates.suspects().repeats == 0


def test_no_room_for_the_temporary_file_is_said_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", _no_room)
    with Duplicates(held=1) as duplicates, pytest.raises(UsageError, match="No space left") as caught:
        duplicates.add("a")
    assert "TMPDIR" in (caught.value.hint or "")


def _no_room() -> NoReturn:
    raise OSError(28, "No space left on device")
