from __future__ import annotations

import msgspec
import pytest

from profiler.core.errors import UsageError
from profiler.engine.options import Options
from profiler.manifest.value_types import LARGEST_CONCURRENCY


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (0, "0 (a whole number)"),
        (-1, "-1 (a whole number)"),
        (LARGEST_CONCURRENCY + 1, "100001 (a whole number)"),
        (2.5, "2.5 (a number)"),
        ("8", "'8' (a string)"),
    ],
)
def test_the_concurrency_of_the_python_api_is_that_of_a_manifest(value: object, found: str) -> None:
    with pytest.raises(UsageError) as caught:
        Options(concurrency=value)  # type: ignore[arg-type]
    assert str(caught.value) == f"concurrency: found {found}, expected a whole number from 1 to 100000"


@pytest.mark.parametrize("value", [None, 1, LARGEST_CONCURRENCY])
def test_what_a_manifest_may_say_the_python_api_may_say_too(value: int | None) -> None:
    assert Options(concurrency=value).concurrency == value


def test_changed_options_are_looked_at_too() -> None:
    with pytest.raises(UsageError):
        msgspec.structs.replace(Options(), concurrency=0)
