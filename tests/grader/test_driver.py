"""The driver calls what the interface promises and writes down what it was told, whatever that is."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from grader import driver

if TYPE_CHECKING:
    from collections.abc import Callable


class Odd:
    def __eq__(self, other: object) -> bool:
        return True

    def __float__(self) -> float:
        return 1.0

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1.5, 1.5),
        (True, True),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (Path("a/b"), "a/b"),
        (MappingProxyType({"a": (1, None)}), {"a": [1, None]}),
        (Odd(), {"type": "Odd"}),
        (Fraction(1, 2), {"type": "Fraction"}),
        ({1: [[[[[[[1]]]]]]]}, {"1": [[[[[{"type": "list"}]]]]]}),
    ],
    ids=["number", "bool", "nan", "inf", "path", "mapping", "odd", "fraction", "deep"],
)
def test_only_plain_values_are_told(value: Any, told: Any) -> None:
    assert driver.plain(value) == told
    json.dumps(driver.plain(value), allow_nan=False)


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the driver sets in a process of its own, undone here."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    monkeypatch.setattr(driver, "LIVE_WAIT_S", 0.2)
    monkeypatch.setitem(sys.modules, "anthropic", None)


class Factory:
    def __init__(self, complete: Callable[[Any], Any]) -> None:
        self.complete = complete

    def build_live_or_simulated(self, **settings: Any) -> Factory:
        return self


JOB = {"model": "m", "max_tokens": 1, "temperature": 0.0, "sample": {"dialogue_id": "x"}}


@pytest.mark.usefixtures("no_key")
def test_who_answers_though_there_is_no_network_simulates() -> None:
    reply = SimpleNamespace(completion="prepared", metadata={"type": "answer"})

    told = driver.with_key(Factory(lambda sample: reply), JOB)

    assert told == {"completion": "prepared", "type": "answer"}


def raising(sample: Any) -> Any:
    raise OSError("no network")


def waiting(sample: Any) -> Any:
    threading.Event().wait(5)


@pytest.mark.usefixtures("no_key")
@pytest.mark.parametrize("complete", [raising, waiting])
def test_who_fails_or_waits_is_live(complete: Callable[[Any], Any]) -> None:
    assert driver.with_key(Factory(complete), JOB) == "no answer"


@pytest.mark.parametrize("name", ["Anthropic", "AsyncAnthropic"])
def test_the_stand_in_for_the_sdk_can_be_made_and_does_nothing(name: str) -> None:
    made = driver.Offline(api_key=name, max_retries=0)

    with pytest.raises(ConnectionError):
        made.messages.create(model="x")


def test_it_imports_nothing_but_the_standard_library() -> None:
    """A copy of it stands alone inside a box."""
    path = Path(driver.__file__)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import runpy; runpy.run_path({str(path)!r})"],
        capture_output=True,
        check=True,
    )

    assert done.stderr == b""


def test_an_error_is_told_with_the_step_at_which_it_happened(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{}", encoding="utf-8")

    driver.main(str(tmp_path / "job.json"), str(tmp_path / "claims.json"))

    claims = json.loads((tmp_path / "claims.json").read_bytes())
    assert claims["step"] == "import"
    assert claims["error"].startswith("ModuleNotFoundError")
