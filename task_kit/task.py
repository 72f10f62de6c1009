"""The tasks that can be staged, and the files of each that a model may see: nothing else is ever staged."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from profiler.cli.init import SAMPLE_FILES
from profiler.core.errors import UsageError
from profiler.core.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMPT: Final = "prompt.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task. `shown` has, for each path in a staged folder, the file of an installed package that is copied there."""

    name: str
    says: str
    shown: Mapping[str, tuple[str, str]]

    def contents(self) -> dict[str, bytes]:
        return {path: _content(*source) for path, source in sorted(self.shown.items())}

    def prompt(self) -> str:
        return _content(*self.shown[PROMPT]).decode()


def task_named(name: str) -> Task:
    if name in TASKS:
        return TASKS[name]
    hint = did_you_mean(name, TASKS) or f"there are: {', '.join(TASKS)}"
    raise UsageError(f"found no task {name!r}, expected the name of one", hint=hint)


def _content(package: str, path: str) -> bytes:
    return resources.files(package).joinpath(*path.split("/")).read_bytes()


def _of_task(name: str, *paths: str, within: str = "") -> dict[str, tuple[str, str]]:
    """Files of the task's own folder. What lies in the folder `within` is staged without that."""
    return {path: ("task_kit", f"{name}/{within}{path}") for path in paths}


# Files are listed by name and not searched for, so that a stray file or an interpreter's cache is never shown.
_EXPERIMENT_PROFILER: Final = Task(
    name="experiment_profiler",
    says="Finish a program that runs an experiment over dialogues, logs it and measures it.",
    shown={
        **_of_task("experiment_profiler", PROMPT, "README.md"),
        **_of_task(
            "experiment_profiler",
            *(
                f"tools/{name}.py"
                for name in ("__init__", "anthropic_client", "dataset", "logging_utils", "mark", "metrics")
            ),
        ),
        **_of_task(
            "experiment_profiler",
            *(
                f"experiment_profiler/{name}.py"
                for name in ("__init__", "cli", "config", "runner", "simulation", "storage")
            ),
            within="starter/",
        ),
        **{path: ("profiler.cli", f"sample/{path}") for path in SAMPLE_FILES},
    },
)

TASKS: Final[Mapping[str, Task]] = {task.name: task for task in (_EXPERIMENT_PROFILER,)}
