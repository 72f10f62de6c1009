"""The driver calls what the interface promises and writes down what it was told, whatever that is."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from grader.experiment_profiler.boxes import driver


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


# --- with a submission, in a process of its own ---------------------------------------------------------------------

CONFIG = """
class ExperimentConfig:
    @classmethod
    def from_yaml(cls, path):
        config = cls()
        vars(config).update(dict.fromkeys({names!r}, 1), path=path)
        return config
"""
RUNNER = """
from types import SimpleNamespace
class ExperimentRunner:
    def __init__(self, *, config, factory): pass
    def run(self, output_dir):
        names = ("output_dir", "requests_path", "responses_path", "summary_path")
        return SimpleNamespace(artifacts=SimpleNamespace(**dict.fromkeys(names, output_dir)), metrics={"a": 1.0})
    def summarize(self, log_dir): return {"of": str(log_dir)}
"""
SIMULATION = """
import os, socket, threading
from types import SimpleNamespace
REPLY = SimpleNamespace(completion="prepared", metadata={"type": "answer"})
class Live:
    def complete(self, sample):
        LIVE
class Simulated:
    def complete(self, sample): return REPLY
class ClientFactory:
    def __init__(self, path): pass
    def build_simulator(self): return Simulated()
    def build_live_or_simulated(self, *, model, max_tokens, temperature):
        return Live() if os.environ.get("ANTHROPIC_API_KEY") else Simulated()
"""
JOB = {
    **dict.fromkeys(("manifest", "responses", "output_dir", "run_dir", "logs_dir"), "x"),
    "model": "m",
    "max_tokens": 1,
    "temperature": 0.0,
    "live_wait_s": 0.3,
    "sample": {"dialogue_id": "x"},
}


def claims_of(folder: Path, *, live: str = "raise OSError", runner: str = RUNNER) -> dict[str, Any]:
    package = folder / "experiment_profiler"
    package.mkdir()
    (package / "config.py").write_text(CONFIG.format(names=driver.CONFIG))
    (package / "runner.py").write_text(runner)
    (package / "simulation.py").write_text(SIMULATION.replace("LIVE", live))
    (folder / "job.json").write_text(json.dumps(JOB))
    command: list[str | Path] = [sys.executable, driver.__file__, folder / "job.json", folder / "claims.json"]
    subprocess.run(command, env={"PYTHONPATH": str(folder)}, check=True)
    claims: dict[str, Any] = json.loads((folder / "claims.json").read_bytes())
    return claims


def test_everything_the_interface_promises_is_called_and_told(tmp_path: Path) -> None:
    claims = claims_of(tmp_path)

    assert claims["step"] == "done"
    assert set(claims["config"]) == set(driver.CONFIG)
    assert claims["simulated"] == claims["chosen"] == {"completion": "prepared", "type": "answer"}
    assert set(claims["artifacts"]) == set(driver.ARTIFACTS)
    assert (claims["metrics"], claims["own"], claims["foreign"]) == ({"a": 1.0}, {"of": "x"}, {"of": "x"})


LIVE = {
    "with the SDK": ("import anthropic; anthropic.Anthropic(api_key='x').messages.create(model='m')", True),
    "and knows its errors": (
        "import anthropic\n        try: anthropic.Anthropic().messages.create()\n        except anthropic.APIError: raise",
        True,
    ),
    "with a socket": ("socket.create_connection(('127.0.0.1', 9), timeout=1)", True),
    "not at all": ("raise OSError", False),
    "not for seconds": ("threading.Event().wait(9)", False),
}


@pytest.mark.parametrize("how", LIVE)
def test_who_cannot_answer_with_a_key_is_asked_whether_it_tried(tmp_path: Path, how: str) -> None:
    live, tried = LIVE[how]

    assert claims_of(tmp_path, live=live)["live"] == {"said": "no answer", "tried": tried}


def test_who_tries_late_is_given_time_for_it(tmp_path: Path) -> None:
    late = "threading.Event().wait(0.6); socket.create_connection(('127.0.0.1', 9), timeout=1)"

    assert claims_of(tmp_path, live=late)["live"] == {"said": "no answer", "tried": True}


def test_who_answers_though_there_is_no_network_simulates(tmp_path: Path) -> None:
    assert claims_of(tmp_path, live="return REPLY")["live"]["said"] == {"completion": "prepared", "type": "answer"}


@pytest.mark.parametrize("error", ["ValueError('why')", "SystemExit(0)", "KeyboardInterrupt"])
def test_whatever_is_raised_is_told_with_its_step(tmp_path: Path, error: str) -> None:
    claims = claims_of(tmp_path, runner=RUNNER.replace("return {", f"raise {error}; return {{"))

    assert claims["step"] == "ExperimentRunner.summarize"
    assert claims["error"].startswith(error.partition("(")[0])


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
