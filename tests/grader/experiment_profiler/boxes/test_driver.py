"""The driver calls what the interface promises and writes down what it was told, whatever that is."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from grader.experiment_profiler.boxes import driver, layout
from grader.experiment_profiler.worlds import marks


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
    def __init__(self, *, config, factory):
        self.factory = factory
    def run(self, output_dir):
        names = ("output_dir", "requests_path", "responses_path", "summary_path")
        client = self.factory.build_live_or_simulated(model="m", max_tokens=1, temperature=0)
        sample = SimpleNamespace(dialogue_id="x", system="s", user="u", required_facts=["f"])
        reply = client.complete(sample)
        return SimpleNamespace(
            artifacts=SimpleNamespace(**dict.fromkeys(names, output_dir)), metrics={"said": reply.completion, **reply.metadata}
        )
    def summarize(self, log_dir): return {"of": str(log_dir)}
"""
SIMULATION = """
import os
from tools.anthropic_client import ClientError, Completion
METADATA = {"type": "answer", "stop_reason": None, "usage": {}, "latency_s": 0.5, "model": "m"}
class Simulated:
    def complete(self, sample):
        if sample.dialogue_id == "nobody":
            raise ClientError("none")
        return Completion(completion=f"{os.environ.get('WHERE')} {sample.dialogue_id}", metadata=METADATA)
class ClientFactory:
    def __init__(self, path): pass
    def build_simulator(self): return Simulated()
    def build_live_or_simulated(self, *, model, max_tokens, temperature): return Simulated()
"""
ANSWER: dict[str, Any] = {
    "completion": "said",
    "type": "refusal",
    "stop_reason": None,
    "usage": {},
    "latency_s": 2.5,
    "model": "theirs",
}
SAMPLES: list[dict[str, Any]] = [
    {"dialogue_id": name, "system": "", "user": "", "required_facts": []} for name in ("x", "nobody")
]
PATHS = dict.fromkeys(("manifest", "responses", "output_dir", "run_dir", "log_dir"), "p")
STEPS: list[dict[str, Any]] = [
    {"name": "config", "does": "config"},
    {
        "name": "simulator",
        "does": "client",
        "client": "simulator",
        "samples": SAMPLES,
        "environment": {"WHERE": "here"},
    },
    {"name": "chosen", "does": "client", "client": "chosen", "samples": SAMPLES[:1]},
    {"name": "run", "does": "run", "answers": {"x": ANSWER}, "secret": "s"},
    {"name": "logs", "does": "summarize"},
]


def claims_of(folder: Path, *, runner: str = RUNNER, steps: list[dict[str, Any]] = STEPS) -> dict[str, Any]:
    for name, text in (("config", CONFIG.format(names=driver.CONFIG)), ("runner", runner), ("simulation", SIMULATION)):
        path = folder / "experiment_profiler" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    shutil.copytree(Path(str(layout.TOOLS)), folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tools" / "mark.py").write_bytes(layout.MARKS.read_bytes() + b"\n\nmark = None\n")
    settings = {"model": "m", "max_tokens": 1, "temperature": 0.0}
    (folder / "job.json").write_text(json.dumps({"steps": [{**PATHS, "settings": settings, **step} for step in steps]}))
    command: list[str | Path] = [sys.executable, driver.__file__, folder / "job.json", folder / "claims.json"]
    subprocess.run(command, env={"PYTHONPATH": str(folder)}, check=True)
    claims: dict[str, Any] = json.loads((folder / "claims.json").read_bytes())
    return claims


def test_everything_the_interface_promises_is_called_and_told(tmp_path: Path) -> None:
    claims = claims_of(tmp_path)

    assert set(claims["config"]["told"]) == set(driver.CONFIG)
    answer: dict[str, Any] = {
        "completion": "here x",
        "type": "answer",
        "stop_reason": None,
        "usage": {},
        "latency_s": 0.5,
        "model": "m",
    }
    assert claims["simulator"]["told"] == [answer, "no answer"]
    assert claims["chosen"]["told"] == [{**answer, "completion": "None x"}]
    assert set(claims["run"]["told"]["artifacts"]) == set(driver.ARTIFACTS)
    assert claims["run"]["told"]["own"] == claims["logs"]["told"] == {"of": "p"}


def test_the_factory_that_is_handed_over_signs_its_answers_with_all_that_was_asked_and_said(tmp_path: Path) -> None:
    told = claims_of(tmp_path)["run"]["told"]["metrics"]

    assert told["said"] == "said" + marks.stamp("s", "x", "s", "u", "f", "m", 1, 0.0)
    assert {name: told[name] for name in driver.METADATA} == {name: ANSWER[name] for name in driver.METADATA}


@pytest.mark.parametrize("error", ["ValueError('why')", "SystemExit(0)", "KeyboardInterrupt"])
def test_whatever_is_raised_is_told_with_its_step_and_the_others_are_taken(tmp_path: Path, error: str) -> None:
    claims = claims_of(tmp_path, runner=RUNNER.replace("return {", f"raise {error}; return {{"))

    assert claims["logs"]["error"].startswith(error.partition("(")[0])
    assert "told" in claims["chosen"]


def test_it_imports_nothing_but_the_standard_library_until_it_has_a_job() -> None:
    """A copy of it stands alone inside a box."""
    path = Path(driver.__file__)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import runpy; runpy.run_path({str(path)!r})"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


REMEMBERS = """
from types import SimpleNamespace
class ExperimentRunner:
    def __init__(self, *, config, factory):
        self.factory, self.calls = factory, []
    def run(self, output_dir):
        self.calls.append("run")
        client = self.factory.build_live_or_simulated(model="m", max_tokens=1, temperature=0)
        try:
            client.complete(SimpleNamespace(dialogue_id="nobody", system="", user="", required_facts=[]))
        except Exception as error:
            self.calls.append([each.__name__ for each in type(error).__mro__[:2]])
        names = ("output_dir", "requests_path", "responses_path", "summary_path")
        return SimpleNamespace(artifacts=SimpleNamespace(**dict.fromkeys(names, output_dir)), metrics={"calls": self.calls})
    def summarize(self, log_dir):
        self.calls.append("summarize")
"""


def test_a_runner_is_used_again_where_an_earlier_run_lies(tmp_path: Path) -> None:
    steps = [{"name": "run", "does": "run", "answers": {"nobody": None}, "secret": "s", "before": True}]
    claims = claims_of(tmp_path, runner=REMEMBERS, steps=steps)

    failed = ["NobodyAnswers", "ClientError"]
    assert claims["run"]["told"]["metrics"]["calls"] == ["summarize", "run", failed, "run", failed]
