"""A manifest of many small experiments, whose calls wait: how near it comes to one that loses no time between them.

The ideal is all calls over all places: dialogues × latency ÷ places. Beside it, the CPU of an experiment beyond its
dialogues: that of many small ones, less that of one experiment with as many dialogues.

What a leg has written stays until the last has ended. ext4 gives a new file no inode that was freed in the last minutes,
and looks at each of those again: once 2,000 folders were removed, making a file took 0.6 ms instead of 0.01, and the
figure told what had been removed before rather than what an experiment costs.
"""

from __future__ import annotations

import fcntl
import os
import resource
import struct
import tempfile
import time
from contextlib import suppress
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import workload
from benchmarks.figure import alternate, median
from benchmarks.process import fresh
from profiler.engine.options import Options
from profiler.engine.runner import run_all_sync
from profiler.manifest.settings import Experiment, Latency, MockSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figure import Figure, Scale

PLACES = 64
DIALOGUES = 10
LEGS = {200: 0.9, 50: 0.7}  # milliseconds, and the share of the ideal that is wanted
CPU_MS = 6.0
GET_FLAGS, SET_FLAGS, TOP_OF_A_TREE = 0x80086601, 0x40086602, 0x20000  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_TOPDIR_FL


def measure(scale: Scale) -> list[Figure]:
    count = scale.pick(1_000, quick=12)
    with tempfile.TemporaryDirectory(dir=scale.folder) as place:
        _spread(Path(place))
        folders = (Path(place) / f"{Path(place).name}-{number}" for number in numbers())

        def many() -> float:
            return _leg(scale, folders, count=count)[1]

        def one() -> float:
            return _leg(scale, folders, count=1, dialogues=count * DIALOGUES)[1]

        beyond = [(each - less) / count * 1000 for each, less in zip(*alternate(scale.few, many, one), strict=True)]
        figures = [median("cpu_beyond_dialogues", beyond, unit="ms", at_most=CPU_MS)]
        for milliseconds, goal in LEGS.items():
            taken = [_leg(scale, folders, count=count, latency_s=milliseconds / 1000) for _ in range(scale.few)]
            ideal = count * DIALOGUES * milliseconds / 1000 / PLACES
            shares = [ideal / seconds for seconds, _ in taken]
            name = f"of_ideal_{milliseconds}_ms"
            figures.append(median(name, shares, at_least=goal, note=f"{count:,} × {DIALOGUES}"))
    return figures


def _spread(folder: Path) -> None:
    """Ask ext4 to put what is made in this folder elsewhere than what others have just removed beside it: where the name of
    each folder in it says, which should be a new one."""
    with suppress(OSError):  # another file system
        fd = os.open(folder, os.O_RDONLY)
        try:
            [flags] = struct.unpack("l", fcntl.ioctl(fd, GET_FLAGS, bytes(8)))
            fcntl.ioctl(fd, SET_FLAGS, struct.pack("l", flags | TOP_OF_A_TREE))
        finally:
            os.close(fd)


def _leg(
    scale: Scale, folders: Iterator[Path], *, count: int, latency_s: float = 0.0, dialogues: int = DIALOGUES
) -> tuple[float, float]:
    """Seconds of wall time and of CPU."""
    dataset = workload.dialogues(scale, dialogues)
    seconds, cpu = fresh(running, dataset=dataset, output_dir=next(folders), count=count, latency_s=latency_s).value
    return float(seconds), float(cpu)


def running(*, dataset: str, output_dir: str, count: int, latency_s: float) -> tuple[float, float]:
    many = [
        Experiment(
            experiment_id=f"e{number}",
            model=f"m{number}",  # another one each, so that all of them are asked
            max_tokens=64,
            dataset_path=Path(dataset),
            concurrency=PLACES,
            mock=MockSettings(latency_s=Latency(median_s=latency_s)),
        )
        for number in range(count)
    ]
    begun, used = time.perf_counter(), _cpu()
    ended = run_all_sync(many, options=Options(output_dir=Path(output_dir), concurrency=PLACES))
    if any(each.result is None for each in ended):
        raise AssertionError("not every experiment came to its end")
    return time.perf_counter() - begun, _cpu() - used


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
