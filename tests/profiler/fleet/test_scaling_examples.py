"""What docs/scaling.md shows for clusters can be understood by those who run it, and does what it says."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from profiler.cli.main import build_parser
from profiler.manifest.settings import MockSettings
from tests.profiler.fleet.sites import by_one, dataset, experiment, results

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "scaling.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


def profiler_commands(script: str) -> list[list[str]]:
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(
            line.replace("$SLURM_ARRAY_TASK_ID", "3").replace("$JOB_COMPLETION_INDEX", "3"), comments=True
        )
        if "profiler" in words:
            found.append(words[words.index("profiler") + 1 :])
    return found


def test_every_script_is_a_shell_script_with_commands_that_exist() -> None:
    commands = [command for script in SCRIPTS for command in profiler_commands(script)]
    for script in SCRIPTS:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    parsed = [build_parser().parse_args(command) for command in commands]
    assert [args.command for args in parsed] == [
        *("run", "run", "broker", "run", "run", "merge", "run", "merge", "run", "run", "run")
    ]
    assert [args.shard for args in (*parsed[:2], *parsed[3:5], parsed[6])] == [None, None, *[(3, 16)] * 3]
    assert parsed[6].store == parsed[7].store == "s3://bucket/profiler"
    assert parsed[3].broker == "tcp://{}:{}".format(*parsed[2].listen)
    assert [(args.processes, args.on) for args in parsed[8:]] == [(16, ""), (16, "10.0.0.1:6379"), (16, "")]


def test_the_job_of_kubernetes_asks_each_share_once() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    job: dict[str, Any] = yaml.safe_load(text)
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (command,) = profiler_commands(container["args"][0])
    args = build_parser().parse_args(command)
    assert (job["kind"], spec["completionMode"], spec["completions"]) == ("Job", "Indexed", args.shard[1])
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in spec["template"]["spec"]["volumes"]}


class Cluster:
    """A folder that stands for the shared one, and commands that stand for those of a cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        dataset(folder, 2_000)
        (folder / "big.yaml").write_text(
            "{experiment_id: shared, model: claude-haiku-4-5, max_tokens: 64, dataset_path: dialogues.jsonl, "
            "log_schema_version: 1, mock: {faults: {server_error: 0.05}}}"
        )
        self._command("profiler", f'exec {shlex.quote(sys.executable)} -m profiler "$@"')
        self._command("srun", 'exec "$@"')

    def _command(self, name: str, body: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def run(self, script: str, **environment: Any) -> None:
        """As it stands in the document, but in this folder, in mock mode, and in two shares."""
        here = script.replace("/shared/", f"{self.folder}/").replace("16", "2")
        here = here.replace("s3://bucket/profiler", (self.folder / "store").as_uri())
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        without_key = {name: value for name, value in os.environ.items() if name != "ANTHROPIC_API_KEY"}
        told = {**without_key, "PATH": path, **{name: str(value) for name, value in environment.items()}}
        subprocess.run(["bash", "-ec", here], check=True, cwd=self.folder, env=told, stdout=subprocess.DEVNULL)

    def expect_the_bytes_of_one_process(self, runs: str) -> None:
        asked = experiment(self.folder / "dialogues.jsonl", mock=MockSettings(faults={"server_error": 0.05}))
        whole = anyio.run(by_one, asked, self.folder / "one")
        found = results(self.folder / runs / "shared")
        for name in ("requests.jsonl", "responses.jsonl", "scores.jsonl"):
            assert found[name] == whole[name]


def script_with(words: str) -> str:
    script: str
    (script,) = [each for each in SCRIPTS if words in each and "broker" not in each]
    return script


@pytest.mark.long
def test_the_array_of_slurm_gives_the_bytes_of_one_process_and_may_be_started_again(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    array, merge = script_with("SLURM_ARRAY_TASK_ID"), script_with("merge --config /shared")
    for task in (1, 0, 0):
        cluster.run(array, SLURM_ARRAY_TASK_ID=task)
    cluster.run(merge)
    cluster.expect_the_bytes_of_one_process("runs")
    cluster.run(array, SLURM_ARRAY_TASK_ID=1)
    cluster.run(merge)


@pytest.mark.long
def test_the_job_of_kubernetes_gives_the_bytes_of_one_process(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    (text,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    (container,) = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    for number in range(2):
        cluster.run(shlex.join([*container["command"], *container["args"]]), JOB_COMPLETION_INDEX=number)
    cluster.run(script_with("merge --config /shared"))
    cluster.expect_the_bytes_of_one_process("runs")


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("obstore") is None, reason="the extra object-store is not installed")
def test_machines_that_meet_in_a_store_give_the_bytes_of_one_process(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    shard, merge = script_with("--store").strip().splitlines()
    for number in range(2):
        cluster.run(f"{shard.partition('#')[0]} --output-dir machine-{number}", JOB_COMPLETION_INDEX=number)
    cluster.run(merge)
    cluster.expect_the_bytes_of_one_process("runs")
