"""300,000 dialogues with 5,000 of them in flight over HTTP: memory, descriptors and the order of the logs.

The server draws latencies (log-normal, median 0.6 s), so that answers come in another order than the dataset's. Both logs
are read back: a line for each dialogue, in dataset order, and every one answered. The server's own count says that nobody
was asked twice, and how many calls were in flight at most. A fifth of the dialogues is asked first, for the memory that
so many calls at once take by themselves. `make bench` makes do with fewer of them:

    make bench ARGS="--only http_many --runs 5"     all of them
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import live, workload
from benchmarks.clients import OpenFiles
from benchmarks.figure import Figure
from benchmarks.process import fresh
from benchmarks.serving import serving
from profiler.storage.names import REQUESTS, RESPONSES

if TYPE_CHECKING:
    from benchmarks.figure import Scale
    from benchmarks.process import Returned
    from benchmarks.serving import Serving

IN_FLIGHT = 5_000
MEDIAN_S, SIGMA = 0.6, 0.4
SPARE_FILES = 128  # beside a connection for each call: the files of the run, the event loop, closing connections
GROWTH = 1.15


class WrongLogs(Exception):
    """A log does not hold every dialogue once, answered, in dataset order."""


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(300_000, usual=40_000, quick=500)
    in_flight = min(IN_FLIGHT, count // 10)
    with serving("--latency", str(MEDIAN_S), "--latency-sigma", str(SIGMA), "--journal", "0") as server:
        few = _run(scale, server, count=count // 5, in_flight=in_flight)
        many = _run(scale, server, count=count, in_flight=in_flight)
        stats = server.stats()
    asked = stats["requests"]["by_endpoint"]["/v1/messages"]
    if asked != count:
        raise WrongLogs(f"the server was asked {asked:,} times for {count:,} dialogues")
    wall_s, open_files = many.value
    note = f"{count:,} dialogues, {in_flight:,} in flight"
    return [
        Figure(name="growth", value=many.peak_mb / few.peak_mb, at_most=GROWTH, note=f"{note}, by {count // 5:,}"),
        Figure(name="peak", value=many.peak_mb, unit="MB", note=note),
        Figure(name="open_files", value=open_files, at_most=in_flight + SPARE_FILES),
        Figure(name="most_in_flight", value=stats["max_in_flight"], note="seen by the server"),
        Figure(name="wall", value=wall_s, unit="s"),
        Figure(name="rate", value=count / wall_s, unit="dialogues/s"),
    ]


def _run(scale: Scale, server: Serving, *, count: int, in_flight: int) -> Returned:
    server.reset()
    dataset = workload.dialogues(scale, count)
    with tempfile.TemporaryDirectory(dir=scale.folder) as folder:
        ended = fresh(calling, dataset=dataset, output_dir=folder, base_url=server.base_url, in_flight=in_flight)
        check_logs(Path(folder) / workload.EXPERIMENT_ID, count=count)
    return ended


def calling(*, dataset: str, output_dir: str, base_url: str, in_flight: int) -> tuple[float, int]:
    """The seconds from the first call to the last reply, and the most files that were open at a time."""
    asked = live.experiment(dataset, base_url=base_url, concurrency=in_flight)
    watched = live.seen_run(asked, output_dir=output_dir, seen=OpenFiles)
    return watched.seconds, watched.most


def check_logs(folder: Path, *, count: int) -> None:
    """Both logs, line by line."""
    for name, asks in ((REQUESTS, False), (RESPONSES, True)):
        lines = 0
        with (folder / name).open("rb") as file:
            for number, line in enumerate(file):
                row = json.loads(line)
                if (row["index"], row["dialogue_id"]) != (number, workload.dialogue_id(number)):
                    raise WrongLogs(f"{name}:{number + 1} is dialogue {row['dialogue_id']}")
                if asks and row["type"] == "error":
                    raise WrongLogs(f"{name}:{number + 1} was not answered: {row['error']}")
                lines += 1
        if lines != count:
            raise WrongLogs(f"{name} has {lines:,} lines, expected {count:,}")
