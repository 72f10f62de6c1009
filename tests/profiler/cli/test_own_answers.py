"""Runs that are answered from a file or by a client of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.profiler.cli.shell import Shell, manifest


def test_a_usage_in_the_mocks_file_that_cannot_be_counted_is_told_beforehand_and_does_not_stop_the_run(
    shell: Shell, tmp_path: Path
) -> None:
    usages: list[Any] = [-1, 12.0, True, 10**18, "12", [1]]
    answers = {f"d{index}": {"completion": "x", "usage": {"input_tokens": usages[index]}} for index in range(3)}
    answers["d3"] = {"completion": "x", "usage": usages}
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    config = manifest(tmp_path, mock={"responses_path": "answers.json"})

    checked, ran = shell("validate", "--config", config), shell.run(config)

    words = "'d0': usage.input_tokens: found -1 (a whole number), expected a whole number from 0 to 9007199254740992"
    assert (checked.code, ran.code) == (0, 0)
    assert f"answers.json: {words}, and 3 more like it; such a usage is null in the log" in checked.err
    assert ran.err.count("is null and its cost unknown") == 1
    records = [json.loads(line) for line in (tmp_path / "runs" / "one" / "responses.jsonl").read_text().splitlines()]
    assert [(record["completion"], record["usage"]) for record in records] == [("x", None)] * 4


def test_a_client_that_cannot_be_loaded_is_not_valid(shell: Shell, tmp_path: Path) -> None:
    assert (
        "cannot import 'no_such_module'"
        in shell("validate", "--config", manifest(tmp_path, client="no_such_module:x")).err
    )
    assert "cannot be called" in shell("validate", "--config", manifest(tmp_path, client="json:__name__")).err


OWN = """
from profiler import Reply

closed = []

class Client:
    def __init__(self, experiment):
        self.experiment = experiment

    async def complete(self, request):
        import asyncio
        await asyncio.sleep(0.001)
        return Reply(completion="mine", stop_reason="end_turn", model="m", usage={"input_tokens": 1, "output_tokens": 1})

    async def aclose(self):
        (self.experiment.dataset_path.parent / "closed").touch()
"""


def test_an_own_client_is_named_wherever_the_mock_would_be_is_timed_and_is_closed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "my_own_client.py").write_text(OWN)

    ran = shell.run(manifest(tmp_path, client="my_own_client:Client"))

    assert ran.code == 0, ran
    assert "MODE: MOCK — 1 experiment, answered by own client my_own_client:Client; whether that asks" in ran.err
    assert "MODE: MOCK - answered by own client my_own_client:Client; whether a model was called" in ran.out
    assert "deterministic mock" not in ran.out + ran.err
    assert "no model was called" not in ran.out + ran.err
    told = json.loads((tmp_path / "runs" / "one" / "summary.json").read_text())
    assert (told["run"]["mode"], told["run"]["client"]) == ("mock", "own client my_own_client:Client")
    assert told["latency_s"]["p50"] > 0
    assert (tmp_path / "closed").exists()


def test_answers_of_an_own_client_are_not_those_of_the_mock(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "my_own_client.py").write_text(OWN)
    shell.run(manifest(tmp_path, client="my_own_client:Client"))

    mocked = shell.run(manifest(tmp_path))

    assert mocked.code == 2
    assert "client: the run has 'my_own_client:Client', now it is none" in mocked.err
