"""The folder of a run: what was asked, a folder for each episode, and the results in order.

    run.json                    the settings, the sealed seed, what ran
    episodes/0003-careful/      transcript.jsonl, artefacts.bin, result.json
    aside/0003-careful.1/       what a try without a verdict left, once the episode was played again
    results.jsonl               one line an episode, once all are there

A result is there from the beginning, and says `error` until the verdict is known. Only the owner may read the folder,
because it holds the seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from profiler.core.errors import ProfilerError, UsageError
from profiler.core.json import dump_pretty, encode, loads
from task_kit.leakage_modeling.worlds.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TASK = "leakage_modeling"
RUN, EPISODES, ASIDE, RESULTS = "run.json", "episodes", "aside", "results.jsonl"
TRANSCRIPT, ARTEFACTS, RESULT = "transcript.jsonl", "artefacts.bin", "result.json"
UNFINISHED = "unfinished"

Mode = Literal["local", "agent"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for.

    `live`: a model was called. There are `runs` worlds, and in each of them `repeats` episodes of every agent. `only`
    are the policies that play (None: all); `variants` are the scripts that stand in for agents.
    """

    task: str = TASK
    mode: Mode
    live: bool
    model: str
    runs: int
    repeats: int = 1
    sealed_seed: str
    settings: Settings
    versions: dict[str, str]
    isolation: str
    only: tuple[str, ...] | None = None
    variants: tuple[str, ...] = ()


class EpisodeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one episode. `reward_valid` is False when nobody can say what it deserves."""

    episode: str
    index: int
    seed: str
    agent: str
    status: Literal["pass", "fail", "error"]
    reason: str | None
    sentence: str
    reward: float = 0.0
    reward_valid: bool = True
    only_score_failed: bool = False
    checks: list[dict[str, Any]] = []
    scores: dict[str, Any] = {}
    steps: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    restarts: int = 0


class RunFolderError(ProfilerError):
    """A folder cannot be used for a run, or does not hold one."""


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, run: Run) -> None:
        try:
            if not self.is_empty():
                raise RunFolderError(
                    f"{self.path}: found files, expected an empty folder", hint="name another --output"
                )
            (self.path / EPISODES).mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self.write_run(run)
        except OSError as error:
            raise RunFolderError(f"{self.path}: cannot write: {error.strerror or error}") from error

    def is_empty(self) -> bool:
        """Whether the folder holds nothing, or only what a start leaves that was cut off before `run.json`."""
        if not self.path.exists():
            return True
        left = {path.name for path in self.path.iterdir()} - {EPISODES, f".{RUN}.new"}
        return not left and not any((self.path / EPISODES).glob("*"))

    def write_run(self, run: Run) -> None:
        _replace(self.path / RUN, dump_pretty(msgspec.to_builtins(run)))

    def run(self) -> Run:
        try:
            return msgspec.json.decode((self.path / RUN).read_bytes(), type=Run)
        except FileNotFoundError as error:
            raise UsageError(f"{self.path}: found no {RUN}, expected the folder of `grader run`") from error
        except msgspec.DecodeError as error:
            raise RunFolderError(f"{self.path / RUN}: found what no run writes: {error}") from error

    def resume(self, run: Run) -> dict[str, EpisodeResult]:
        """The episodes with a verdict, by name. A run can be continued only as what it was."""
        was, now = msgspec.to_builtins(self.run()), msgspec.to_builtins(run)
        if different := [f"{name}: {was[name]!r}, now {now[name]!r}" for name in now if was[name] != now[name]]:
            raise RunFolderError(
                f"{self.path}: cannot be gone on with, this is another run: " + "; ".join(different),
                hint="begin anew in another --output",
            )
        found = {name: self.result(name) for name in self.names()}
        return {name: result for name, result in found.items() if result.status != "error"}

    def begin_episode(self, result: EpisodeResult) -> Path:
        """Make the folder of an episode, with a result that has no verdict yet.

        What an earlier try left is moved aside.
        """
        home = self.path / EPISODES / result.episode
        if home.exists():
            aside = self.path / ASIDE
            aside.mkdir(exist_ok=True)
            tries = sum(1 for _ in aside.glob(f"{result.episode}.*"))
            home.rename(aside / f"{result.episode}.{tries + 1}")
        home.mkdir()
        self.keep(result)
        return home

    def keep(self, result: EpisodeResult) -> None:
        _replace(self.path / EPISODES / result.episode / RESULT, dump_pretty(msgspec.to_builtins(result)))

    def finish(self, results: Sequence[EpisodeResult]) -> None:
        _replace(self.path / RESULTS, b"".join(encode(result) + b"\n" for result in results))

    def names(self) -> list[str]:
        """The names of the episodes, in order."""
        return sorted(home.name for home in (self.path / EPISODES).iterdir() if (home / RESULT).exists())

    def episode(self, name: str) -> Path:
        return self.path / EPISODES / name

    def result(self, name: str) -> EpisodeResult:
        return msgspec.convert(loads((self.episode(name) / RESULT).read_bytes()), EpisodeResult)


def _replace(path: Path, content: bytes) -> None:
    """Replace a file as a whole."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
