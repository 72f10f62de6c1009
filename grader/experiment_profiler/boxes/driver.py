"""Runs inside the box: calls the interface of a submission and writes down what it was told.

A copy of this file is all of the grader that is ever inside, so it imports nothing but the standard library and knows
neither seeds nor expected values. What it writes is a claim and no more: the submission shares its process and may
make it say anything. Comes in: a job, as JSON. Goes out: the claims, as JSON.
"""

import json
import math
import os
import sys
import threading
import types
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

CONFIG = (
    "experiment_id",
    "model",
    "max_tokens",
    "temperature",
    "dataset_path",
    "log_schema_version",
    "output_fields",
    "metrics",
    "responses_path",
)
ARTIFACTS = ("output_dir", "requests_path", "responses_path", "summary_path")
DEPTH = 6


def main(job_path: str, claims_path: str) -> None:
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    claims: dict[str, Any] = {"step": "import"}
    try:
        drive(job, claims)
        claims["step"] = "done"
    except BaseException as error:  # noqa: BLE001 (whatever it raises is what it did)
        claims["error"] = f"{type(error).__name__}: {error}"[:500]
    Path(claims_path).write_text(json.dumps(claims), encoding="utf-8")


def drive(job: dict[str, Any], claims: dict[str, Any]) -> None:
    parts = [import_module(f"experiment_profiler.{name}") for name in ("config", "simulation", "runner")]
    claims["step"] = "ExperimentConfig.from_yaml"
    config = parts[0].ExperimentConfig.from_yaml(Path(job["manifest"]))
    claims["config"] = {name: plain(getattr(config, name)) for name in CONFIG}
    claims["step"] = "ClientFactory"
    factory = parts[1].ClientFactory(Path(job["responses"]))
    claims["simulated"] = told(factory.build_simulator(), job)
    claims["chosen"] = told(choose(factory, job), job)
    claims["step"] = "ExperimentRunner.run"
    runner = parts[2].ExperimentRunner(config=config, factory=factory)
    result = runner.run(Path(job["output_dir"]))
    claims["artifacts"] = {name: plain(getattr(result.artifacts, name)) for name in ARTIFACTS}
    claims["metrics"] = plain(result.metrics)
    claims["step"] = "ExperimentRunner.summarize"
    claims["own"] = plain(runner.summarize(Path(job["run_dir"])))
    claims["foreign"] = plain(runner.summarize(Path(job["logs_dir"])))
    claims["step"] = "ClientFactory.build_live_or_simulated with a key"
    claims["live"] = with_key(factory, job)


def choose(factory: Any, job: dict[str, Any]) -> Any:
    return factory.build_live_or_simulated(
        model=job["model"], max_tokens=job["max_tokens"], temperature=job["temperature"]
    )


def told(client: Any, job: dict[str, Any]) -> dict[str, Any]:
    reply = client.complete(types.SimpleNamespace(**job["sample"]))
    return {"completion": plain(reply.completion), "type": plain(reply.metadata["type"])}


def with_key(factory: Any, job: dict[str, Any]) -> dict[str, Any]:
    """What a client says when there is a key, which opens nothing, and no network. A live one tries and cannot answer:
    by the SDK or by a connection of its own."""
    tried: list[str] = []
    os.environ["ANTHROPIC_API_KEY"] = "a-key-that-opens-nothing"
    offline = types.ModuleType("anthropic")
    offline.__getattr__ = lambda name: tried.append(name) or Offline  # type: ignore[method-assign, func-returns-value]
    sys.modules.setdefault("anthropic", offline)
    sys.addaudithook(lambda event, _: tried.append(event) if event.startswith("socket.") else None)
    said: list[Any] = ["no answer"]
    asking = threading.Thread(target=ask, args=(factory, job, said), daemon=True)
    asking.start()
    asking.join(job["live_wait_s"])
    if asking.is_alive() and not genuine(tried):  # a busy machine may not have let it come to that yet
        asking.join(2 * job["live_wait_s"])
    return {"said": said[-1], "tried": genuine(tried)}


def genuine(tried: list[str]) -> bool:
    """What Python itself asks of a module when it is imported does not count."""
    return any(not name.startswith("__") for name in tried)


def ask(factory: Any, job: dict[str, Any], said: list[Any]) -> None:
    try:
        said.append(told(choose(factory, job), job))
    except BaseException:  # noqa: BLE001 (so it tried to be live)
        said.append("no answer")


class Offline(Exception):
    """Whatever is taken from the SDK: can be made, and does nothing."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__("there is no network here")

    def __getattr__(self, name: str) -> Any:
        raise ConnectionError("there is no network here")


def plain(value: Any, depth: int = 0) -> Any:
    """What JSON can hold; the rest by the name of its type, so that it is equal to nothing."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if depth < DEPTH and isinstance(value, Mapping):
        return {str(key): plain(inner, depth + 1) for key, inner in value.items()}
    if depth < DEPTH and isinstance(value, (list, tuple)):
        return [plain(inner, depth + 1) for inner in value]
    return {"type": type(value).__name__}


if __name__ == "__main__":
    main(*sys.argv[1:])
