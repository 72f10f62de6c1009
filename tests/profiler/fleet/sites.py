"""Manifests with datasets of all kinds, run by one process and by several, and what both have left behind."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import anyio

from profiler.core.errors import Interrupted
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.fleet.run import run_by_processes
from profiler.manifest.settings import Experiment, MockSettings
from tests.profiler.fleet.inline import inline

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.engine.result import Result

RESULTS = ("requests.jsonl", "responses.jsonl", "scores.jsonl", "summary.json")
COMPLETE = set(RESULTS)


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "dialogue_id": f"d{number}",
            "user": f"What is {number}?",
            "required_facts": [f"fact {number % 7}", "another"],
            "tags": [f"t{number % 5}"],
        }
        for number in range(count)
    ]


def dataset(folder: Path, count: int, kind: str = "jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"dialogues.{kind}"
    if kind == "json":
        path.write_text(json.dumps(rows(count)))
    elif kind == "csv":
        with path.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(rows(1)[0])
            for row in rows(count):
                table.writerow([";".join(cell) if isinstance(cell, list) else cell for cell in row.values()])
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows(count)))
    return path


def experiment(path: Path, **settings: Any) -> Experiment:
    usual: dict[str, Any] = {"experiment_id": "shared", "model": "claude-haiku-4-5", "max_tokens": 64}
    return Experiment(
        **{**usual, "dataset_path": path, "mock": MockSettings(faults={"server_error": 0.05}), **settings}
    )


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


async def by_one(asked: Experiment, folder: Path, **how: Any) -> dict[str, bytes]:
    done = await run(asked, options=Options(output_dir=folder, mode="mock", fsync="off", **how))
    return results(done.folder)


async def by_several(
    asked: Experiment,
    folder: Path,
    *,
    processes: int,
    on: Any = inline,
    watch: Any = None,
    note: Any = None,
    **how: Any,
) -> Result:
    options = Options(**{"output_dir": folder, "mode": "mock", "fsync": "off", **how})
    with anyio.fail_after(60):
        return await run_by_processes(asked, options=options, processes=processes, on=on, watch=watch, note=note)


def stopping(*, after: int) -> Any:
    """A panel whose terminal goes away when so many more are answered: the calls in flight end, and the run stops."""

    async def watch(looks: Any) -> None:
        begun = None
        while True:
            look = looks.look()
            begun = look.done if begun is None else begun
            if look.done >= begun + after:
                raise Interrupted("stopped", signum=2)
            await anyio.sleep(0.002)

    return watch
