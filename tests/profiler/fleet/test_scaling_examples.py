"""What docs/scaling.md shows for clusters can be understood by those who run it."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml

from profiler.cli.main import build_parser

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
