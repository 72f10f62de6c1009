"""One box: a process to run, what lies in its folder, and what a right submission leaves behind there.

Only described here: `layout` writes the files, and `judging` looks at the result.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from grader.experiment_profiler.worlds import foreign_logs, replies, truth
from task_kit import sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grader.experiment_profiler.worlds.foreign_logs import Logs, LogsKey
    from grader.experiment_profiler.worlds.replies import Replies
    from grader.experiment_profiler.worlds.world import World

STOOD_IN_FOR: Final = "anthropic"
INSTALLED: Final = ("pyyaml", "orjson", "anyio", "aiofiles", "rich")
PACKAGES: Final = (*INSTALLED, STOOD_IN_FOR)
KEY, ADDRESS = "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"


class Kind(StrEnum):
    """What runs in a box: the driver that calls the interface, or one of the two commands."""

    API = "api"
    RUN = "run"
    SUMMARIZE = "summarize"


class Source(StrEnum):
    """Who answers the dialogues of a run."""

    PREPARED = "prepared"  # the simulator, with the prepared answers
    HANDED = "handed"  # a client of the grader's own factory
    LIVE = "live"  # the stand-in for the API


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The secrets of one box: what signs the answers, and the key and address of a live run."""

    marks: str
    handed: str
    live: str
    key: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run in a box: its world, its output folder, and who answers with what.

    `earlier` names the logs of an earlier run in the same place. Replies and metrics are made when they are asked for:
    a grading that fails early never needs most of them.
    """

    world: World
    source: Source
    output: str
    secrets: Secrets
    seed: str
    earlier: str | None = None

    @property
    def name(self) -> str:
        return f"{self.world.name} {self.source}"

    @property
    def folder(self) -> str:
        """Where its files belong, relative to the work folder."""
        return f"{self.output}/{self.world.experiment_id}"

    @cached_property
    def templates(self) -> dict[str, dict[str, Any] | None]:
        """What the grader's own factory is told of the answers to give: all but the signatures."""
        return replies.templates(self.world, self.seed)

    @cached_property
    def replies(self) -> Replies:
        match self.source:
            case Source.PREPARED:
                return replies.prepared(self.world, self.secrets.marks)
            case Source.HANDED:
                return replies.handed(self.world, self.templates, self.secrets.handed)
            case Source.LIVE:
                key, address = self.secrets.key, self.secrets.address
                return replies.live(self.world, self.secrets.live, key=key, base_url=address)

    @cached_property
    def all_metrics(self) -> truth.Metrics:
        return truth.metrics(self.world, self.replies, names=truth.METRICS)

    @property
    def metrics(self) -> truth.Metrics:
        """Those that the manifest asks for."""
        return {name: self.all_metrics[name] for name in self.world.manifest["metrics"]}

    def files_before(self) -> dict[str, bytes]:
        """Of a longer run than any of the small ones, whose lines and numbers must be gone afterwards."""
        if self.earlier is None:
            return {}
        summary = json.dumps({"experiment_id": "earlier", "dialogues": 9}).encode()
        return earlier_logs(self.seed, self.earlier) | {"summary.json": summary}


@lru_cache(maxsize=8)
def earlier_logs(seed: str, purpose: str) -> dict[str, bytes]:
    """The same for all runs of a box."""
    return foreign_logs.logs(seed, purpose).files()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call that the driver makes: what it is told, and what it must report."""

    name: str
    does: str
    job: Mapping[str, Any]
    expected: Any = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box. Its folders have random names, so that a submission cannot tell what they are for."""

    name: str
    kind: Kind
    folder: Path
    names: Mapping[str, str]  # random names for its folders and files
    environment: Mapping[str, str]
    secrets: Secrets
    runs: tuple[Run, ...] = ()
    asked_about: tuple[LogsKey, ...] = ()
    absolute: bool = True  # whether a command is given absolute paths
    inside: bool = False  # whether `summarize` starts in the folder of the logs, which then is "."

    @property
    def logs(self) -> tuple[Logs, ...]:
        """The logs that it is asked about. They are drawn when the box is laid out, for many a grading ends before."""
        return tuple(foreign_logs.logs(*key) for key in self.asked_about)

    @property
    def kit(self) -> Path:
        """The tools, and the stand-in for the SDK."""
        return self.folder / self.names["kit"]

    @property
    def submission(self) -> Path:
        return self.folder / self.names["submission"]

    @property
    def given(self) -> Path:
        """The files of the worlds, and the driver with its job."""
        return self.folder / self.names["given"]

    @property
    def work(self) -> Path:
        """The only folder that can be written to."""
        return self.folder / self.names["work"]

    @property
    def wire(self) -> Path:
        """The socket through which live requests leave the box, where that is possible."""
        return self.folder / self.names["wire"]

    @property
    def asks_live(self) -> bool:
        """Whether anything in it has a key."""
        return self.kind is Kind.API or any(run.source is Source.LIVE for run in self.runs)

    @property
    def claims(self) -> str:
        return self.names["claims"]

    def place(self, world: World) -> Path:
        return self.given / self.names[world.name]

    def manifest(self, world: World) -> Path:
        return self.place(world) / world.manifest_path

    def logs_dir(self, logs: Logs) -> str:
        return f"{self.names['logs']}/{logs.folder}"

    def spec(self, limits: sandbox.Limits, *, room: Path | None = None, wired: bool = False) -> sandbox.Spec:
        """`wired`: its live requests leave through a socket."""
        packages = sandbox.packages(INSTALLED)  # the SDK would bring 40 more, each of them a mount
        path = (self.kit, self.submission, *packages)
        environment = {
            **self.environment,
            "HOME": str(self.work),
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "TMPDIR": str(self.work),
        }
        return sandbox.Spec(
            argv=(*sandbox.PYTHON, *self._arguments()),
            env=environment,
            cwd=self.started_in,
            readable=(
                *(self.kit, self.submission, self.given, *packages, *sandbox.python_paths()),
                *([self.wire] if wired else []),
            ),
            writable=self.work,
            room=room,
            limits=limits,
        )

    @property
    def started_in(self) -> Path:
        return self.work / self.logs_dir(self.logs[0]) if self.inside else self.work

    def _arguments(self) -> tuple[str, ...]:
        command = ("-m", "experiment_profiler.cli", self.kind.value)
        match self.kind:
            case Kind.API:
                driver, job = (str(self.given / self.names[name]) for name in ("driver", "job"))
                return (driver, job, str(self.work / self.claims))
            case Kind.RUN:
                (run,) = self.runs
                return (*command, "--config", self._told(self.manifest(run.world)), "--output-dir", run.output)
            case Kind.SUMMARIZE:
                (logs,) = self.logs
                return (*command, "--log-dir", self._told(self.work / self.logs_dir(logs)))

    def _told(self, path: Path) -> str:
        return str(path) if self.absolute else os.path.relpath(path, self.started_in)
