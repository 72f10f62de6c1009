"""Episodes of experiment_profiler for training loops.

`reset` stages the task in a folder, `step` reads and writes files and runs commands in a box, `grade` calls the grader.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from grader.experiment_profiler.boxes.box import PACKAGES
from grader.experiment_profiler.boxes.temporary_folder import temporary
from grader.experiment_profiler.grading.grade import grade
from grader.leakage_modeling.grading.seeds import sealed_seed
from grader.training.episode import Observation, Result
from task_kit import sandbox
from task_kit.leakage_modeling.agents.content import call_of
from task_kit.leakage_modeling.agents.loop import NUDGE, Rules
from task_kit.leakage_modeling.agents.tools import SUBMIT
from task_kit.leakage_modeling.worker.limits import cores
from task_kit.leakage_modeling.worker.plain_text import clean, within_bytes
from task_kit.stage import stage
from task_kit.task import task_named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from grader.training.episode import Tool, ToolCall
    from task_kit.sandbox import Level

TASK: Final = "experiment_profiler"
MAX_STEPS: Final = 40
STEP_BYTES: Final = 16_000
LONGEST_FILE: Final = 1 << 20
SYSTEM: Final = ("/bin", "/usr/bin", "/lib", "/usr/lib")  # the programs of a shell, and the libraries that they need
COMMAND_LIMITS: Final = sandbox.Limits(wall_s=120.0, cpu_s=20.0)


def _tool(name: str, says: str, **fields: str) -> Tool:
    properties = {field: {"type": "string", "description": text} for field, text in fields.items()}
    schema = {"type": "object", "properties": properties, "required": list(fields)}
    return {"name": name, "description": says, "input_schema": schema}


TOOLS: Final[tuple[Tool, ...]] = (
    _tool("read_file", "Read a file of the task's folder.", path="Path of the file, relative to the folder."),
    _tool(
        "write_file",
        "Write a file in the task's folder, whole.",
        path="Path of the file, relative to the folder.",
        content="All that the file is to hold.",
    ),
    _tool("run_command", "Run a shell command in the task's folder, without a network.", command="The command."),
    _tool(SUBMIT, "Submit the folder as it is. This ends the episode."),
)


class Profiling:
    """What all episodes of a training loop share."""

    name = TASK

    def __init__(self, *, secret: bytes, shaped: bool, level: Level | None, max_steps: int = MAX_STEPS) -> None:
        self.secret = secret
        self.shaped = shaped
        self.level = level
        self.max_steps = max_steps
        self.threads = anyio.CapacityLimiter(cores())

    def open(self) -> None:
        """There is nothing to keep warm."""

    def close(self) -> None:
        """There is nothing to keep warm."""

    def episode(self) -> ProfilingEpisode:
        return ProfilingEpisode(self)

    def rules(self, *, model: str) -> Rules:
        return Rules(model=model, max_steps=self.max_steps, max_tokens=8_000, stdout_chars=STEP_BYTES // 2)


class ProfilingEpisode:
    """An episode of this task; see `grader.training.episode.Episode`."""

    def __init__(self, task: Profiling) -> None:
        self._task = task
        self._folder: Path | None = None
        self._held: AbstractContextManager[Path] | None = None
        self._steps = 0
        self._submitted = False
        self._result: Result | None = None

    @property
    def done(self) -> bool:
        return self._result is not None or self._submitted or self._steps >= self._task.max_steps

    async def reset(self, seed: str | int) -> tuple[Observation, list[Tool]]:
        await self.close()
        self._seed = sealed_seed(str(seed), secret=self._task.secret)
        self._steps, self._submitted, self._result = 0, False, None
        self._ids: set[str] = set()
        await self._thread(self._lay_out)
        return Observation(text=task_named(TASK).prompt()), list(TOOLS)

    async def step(self, calls: Sequence[ToolCall]) -> list[Observation]:
        if self.done:
            return [Observation(text="The episode is over.", is_error=True)]
        self._steps += 1
        said, left = [], STEP_BYTES
        for call in calls:
            made = call_of(call.name, call.arguments, id=call.id, taken=self._ids)
            text, is_error = await self._thread(self._answer, made.asked_for, made.given)
            text = within_bytes(clean(text), max(left, 200))
            left -= len(text.encode())
            said.append(Observation(text=text, call_id=call.id or None, is_error=is_error))
        return said or [Observation(text=NUDGE)]

    async def grade(self) -> Result:
        if self._result is None:
            self._result = await self._thread(self._judged)
            await self.close()
        return self._result

    async def close(self) -> None:
        held, self._held, self._folder = self._held, None, None
        if held is not None:
            with anyio.CancelScope(shield=True):
                await self._thread(held.__exit__, None, None, None)

    def _lay_out(self) -> None:
        self._held = temporary()
        self._folder = self._held.__enter__() / "task"
        stage(task_named(TASK), self._folder)

    def _answer(self, name: str, given: Any) -> tuple[str, bool]:
        """The answer to a call, and whether it went wrong."""
        if self._submitted:
            return "Not run: the folder has been submitted, the episode is over.", True
        tool = next((tool for tool in TOOLS if tool["name"] == name), None)
        if tool is None:
            return f"There is no tool {name!r}, only {', '.join(one['name'] for one in TOOLS)}.", True
        fields = tool["input_schema"]["required"]
        if not isinstance(given, dict) or not all(isinstance(given.get(field), str) for field in fields):
            return f"{name}: expected an object with the texts {', '.join(fields)}.", True
        try:
            return self._done(name, given)
        except OSError as error:
            return f"{name}: {error.strerror or error}", True

    def _done(self, name: str, given: dict[str, str]) -> tuple[str, bool]:
        match name:
            case "read_file":
                return self._inside(given["path"]).read_bytes()[:LONGEST_FILE].decode("utf-8", "replace"), False
            case "write_file":
                path = self._inside(given["path"])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(given["content"].encode("utf-8", "replace")[:LONGEST_FILE])
                return f"Wrote {given['path']}.", False
            case "run_command":
                return self._run(given["command"])
            case _:
                self._submitted = True
                return "Accepted. The episode is over.", False

    def _inside(self, path: str) -> Path:
        """A regular file in the folder, or a path that may become one.

        No process of the policy runs meanwhile, so this stays true.
        """
        folder = self._opened().resolve()
        found = (folder / path.replace("\0", "?")).resolve()
        if not found.is_relative_to(folder) or found == folder:
            raise OSError(0, f"{path!r} is not in the folder")
        if found.exists() and not found.is_file():
            raise OSError(0, f"{path!r} is no regular file")
        return found

    def _run(self, command: str) -> tuple[str, bool]:
        folder = self._opened()
        packages = sandbox.packages(PACKAGES)
        python = Path(sandbox.PYTHON[0])
        spec = sandbox.Spec(
            argv=("/bin/sh", "-c", command.replace("\0", "?")),
            env={
                "HOME": str(folder),
                "LANG": "C.UTF-8",
                "PATH": f"{python.parent}:/usr/bin:/bin",
                "PYTHONPATH": os.pathsep.join(map(str, (folder, *packages))),
                "TMPDIR": str(folder),
                "USER": "box",
            },
            cwd=folder,
            readable=(*map(Path, filter(os.path.exists, SYSTEM)), *packages, *sandbox.python_paths()),
            writable=folder,
            limits=COMMAND_LIMITS,
        )
        outcome = sandbox.run(spec, level=self._task.level)
        said = [text.decode("utf-8", "replace").rstrip("\n") for text in (outcome.stdout, outcome.stderr)]
        if outcome.reason is not None:
            said.append(f"stopped at its limit: {outcome.reason}")
        elif outcome.exit_code:
            said.append(f"exit code {outcome.exit_code}")
        return "\n".join(filter(None, said)) or "(no output)", outcome.exit_code != 0

    def _judged(self) -> Result:
        found = grade(self._opened(), seed=self._seed, partial=self._task.shaped)
        return Result(
            task=TASK,
            status=found.status.value,
            reward=found.reward,
            reward_valid=found.reward_valid,
            reasons=found.reasons or ((found.reason,) if found.reason else ()),
            sentence=found.error or ", ".join(found.reasons) or "all checks hold",
            metrics=found.metrics,
            steps=self._steps,
            world=self._seed[:16],
        )

    def _opened(self) -> Path:
        if self._folder is None:
            raise RuntimeError("found an episode that was not reset, expected reset() first")
        return self._folder

    async def _thread(self, do: Callable[..., Any], *given: Any) -> Any:
        return await anyio.to_thread.run_sync(do, *given, limiter=self._task.threads, abandon_on_cancel=True)
