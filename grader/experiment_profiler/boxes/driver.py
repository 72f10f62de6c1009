"""Runs inside the box: calls the interface of a submission and writes down what it was told.

A copy of this file and of a few others is all of the grader that is ever inside, so it imports only the standard
library and the tools that everybody has there. What it writes is a claim and no more: the submission shares its process
and can make it say anything.
"""

import json
import math
import os
import sys
import types
from collections.abc import Callable, Mapping
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
METADATA = ("type", "stop_reason", "usage", "latency_s", "model")
KEY = "ANTHROPIC_API_KEY"
DEPTH = 6

Job = dict[str, Any]


def main(job_path: str, claims_path: str) -> None:
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    claims: dict[str, Any] = {}
    for step in job["steps"]:
        claims[step["name"]] = attempted(step)
    Path(claims_path).write_text(json.dumps(claims), encoding="utf-8")


def attempted(step: Job) -> dict[str, Any]:
    """What a step reported, or the exception it raised; either way the next step follows."""
    before = dict(os.environ)
    os.environ.update(step.get("environment", {}))
    try:
        return {"told": STEPS[step["does"]](step)}
    except BaseException as error:  # noqa: BLE001 (whatever it raises is what it did)
        return {"error": f"{type(error).__name__}: {error}"[:500]}
    finally:
        for name in [name for name in os.environ if name not in before]:
            del os.environ[name]
        os.environ.update(before)


# --- the steps -------------------------------------------------------------------------------------------------------


def read_config(step: Job) -> Any:
    config = part("config", "ExperimentConfig").from_yaml(Path(step["manifest"]))
    return {name: plain(getattr(config, name)) for name in CONFIG}


def ask_client(step: Job) -> Any:
    """Ask some dialogues of one of the clients that the factory builds."""
    factory = part("simulation", "ClientFactory")(Path(step["responses"]))
    if step["client"] == "simulator":
        client = factory.build_simulator()
    else:
        client = factory.build_live_or_simulated(**step["settings"])
    return [told(client, sample) for sample in step["samples"]]


def told(client: Any, sample: Job) -> Any:
    from tools.anthropic_client import ClientError  # noqa: PLC0415 (there are tools inside only)

    try:
        reply = client.complete(types.SimpleNamespace(**sample))
    except ClientError:
        return "no answer"
    return {"completion": plain(reply.completion), **{name: plain(reply.metadata[name]) for name in METADATA}}


def run_experiment(step: Job) -> Any:
    config = part("config", "ExperimentConfig").from_yaml(Path(step["manifest"]))
    if "answers" in step:
        factory: Any = Factory(step["answers"], step["secret"])
    else:
        factory = part("simulation", "ClientFactory")(Path(step["responses"]))
    runner = part("runner", "ExperimentRunner")(config=config, factory=factory)
    if step.get("before"):  # logs of an earlier run lie there, of which nothing must be remembered
        runner.summarize(Path(step["run_dir"]))
        runner.run(Path(step["output_dir"]))
    result = runner.run(Path(step["output_dir"]))
    return {
        "artifacts": {name: plain(getattr(result.artifacts, name)) for name in ARTIFACTS},
        "metrics": plain(result.metrics),
        "own": plain(runner.summarize(Path(step["run_dir"]))),
    }


def summarize(step: Job) -> Any:
    """Summarize logs with a runner that has run nothing."""
    config = part("config", "ExperimentConfig").from_yaml(Path(step["manifest"]))
    factory = part("simulation", "ClientFactory")(Path(step["responses"]))
    return plain(part("runner", "ExperimentRunner")(config=config, factory=factory).summarize(Path(step["log_dir"])))


STEPS: dict[str, Callable[[Job], Any]] = {
    "config": read_config,
    "client": ask_client,
    "run": run_experiment,
    "summarize": summarize,
}


def part(module: str, name: str) -> Any:
    return getattr(import_module(f"experiment_profiler.{module}"), name)


# --- the grader's own factory ----------------------------------------------------------------------------------------


class Factory:
    """A factory whose clients give answers that are in no file; each is signed with everything that was asked."""

    def __init__(self, answers: Job, secret: str) -> None:
        self.answers = answers
        self.secret = secret

    def build_simulator(self) -> Any:
        return Client(self.answers, self.secret, "simulator")

    def build_live_or_simulated(self, *, model: Any, max_tokens: Any, temperature: Any) -> Any:
        return Client(self.answers, self.secret, model, max_tokens, float(temperature))


class Client:
    def __init__(self, answers: Job, secret: str, *settings: Any) -> None:
        self.answers = answers
        self.secret = secret
        self.settings = settings

    def complete(self, sample: Any) -> Any:
        from tools.anthropic_client import ClientError  # noqa: PLC0415 (as above)
        from tools.mark import mark_by  # type: ignore[attr-defined] # noqa: PLC0415 (in the copy that lies inside)

        answer = self.answers[sample.dialogue_id]
        if answer is None:
            raise type("NobodyAnswers", (ClientError,), {})(f"dialogue {sample.dialogue_id!r}: nobody answers")
        metadata = {name: answer[name] for name in METADATA}
        said = answer["completion"] + mark_by(self.secret, sample, *self.settings)
        return types.SimpleNamespace(completion=said, metadata=metadata)


# --- values ----------------------------------------------------------------------------------------------------------


def plain(value: Any, depth: int = 0) -> Any:
    """The value as JSON can hold it; anything else as the name of its type, which equals nothing expected."""
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
