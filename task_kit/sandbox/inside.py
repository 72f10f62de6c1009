"""The warm process that boxes are forked from, so that a box costs a fork and not a start of Python.

It starts as a fresh interpreter, without site-packages and with nothing of its caller. Standard input is a socket that
brings the pipes for each box; when it closes, the caller is gone. Only the fork reads the plan, so this process, whose
memory every box starts with, never knows one.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import signal
import socket
import sys

from task_kit.sandbox import boxes, copying, plan, supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from task_kit.sandbox.plan import Plan, Report, Warmth

    Entry = Callable[[socket.socket], object]

CONTROL = 0
MOST_PIPES = 3
CHANNEL, LAST_FD = 3, 1 << 16


def main(root: str) -> None:
    control = socket.socket(fileno=CONTROL)
    warmth: Warmth = plan.read(CONTROL)  # type: ignore[assignment] # our own caller sends nothing else
    try:
        entry = warm_up(warmth)
    except Exception as error:  # noqa: BLE001 -- what a module raises when it is imported may be anything
        plan.write(CONTROL, f"{type(error).__name__}: {error}")
        return
    sys.path.remove(root)
    plan.write(CONTROL, None)
    serve(control, entry)


def warm_up(warmth: Warmth) -> Entry | None:
    sys.path += warmth["paths"]
    for name in warmth["preload"]:
        importlib.import_module(name)
    entry = load(warmth["entry_file"], warmth["entry_name"]) if warmth["entry_file"] else None
    gc.collect()
    gc.freeze()  # otherwise a collection in a fork would write to all pages that it shares
    return entry


def load(file: str, name: str) -> Entry:
    """Load the entry from its file alone. Neither its package nor modules beside it can be imported afterwards."""
    spec = importlib.util.spec_from_file_location("entry", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file}: not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    del sys.modules["entry"]
    entry: Entry = getattr(module, name)
    return entry


def serve(control: socket.socket, entry: Entry | None) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors need not be waited for, their reports say everything
    while True:
        message, pipes, _, _ = socket.recv_fds(control, 1, MOST_PIPES)
        if not message:
            return
        for pipe in pipes:
            os.set_inheritable(pipe, False)
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(control.detach())
            supervise_one(pipes, entry)
        for pipe in pipes:
            os.close(pipe)


def supervise_one(pipes: list[int], entry: Entry | None) -> None:
    """Never returns."""
    lifeline, reports, *channel = pipes
    try:
        box: Plan = plan.read(lifeline)  # type: ignore[assignment] # our own caller sends nothing else
        body = call_entry(entry, box, channel=channel[0]) if entry and channel else become_program(box)
        report = answer(box, body, lifeline=lifeline)
        for end in channel:  # otherwise the other end would learn of the death only after the report was read
            os.close(end)
        plan.write(reports, report)
    except BrokenPipeError:
        pass  # nobody is left to read the report
    finally:
        os._exit(0)


def answer(box: Plan, body: boxes.Body, *, lifeline: int) -> Report:
    try:
        return supervisor.supervise(box, body, lifeline=lifeline)
    except (OSError, boxes.SetupError) as error:
        return {"error": str(error)}
    finally:
        if box["scratch"]:
            copying.remove(box["scratch"])


def become_program(box: Plan) -> boxes.Body:
    def body() -> None:
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a program would inherit that
            signal.signal(ignored, signal.SIG_DFL)
        os.execve(box["argv"][0], box["argv"], box["env"])  # noqa: S606 -- no shell is wanted

    return body


def call_entry(entry: Entry, box: Plan, *, channel: int) -> boxes.Body:
    """The fork itself becomes the boxed process. Of everything it had open only its socket stays."""

    def body() -> None:
        os.dup2(channel, CHANNEL)
        os.closerange(CHANNEL + 1, LAST_FD)
        os.environ.update(box["env"])
        for name in [name for name in sys.modules if name.partition(".")[0] == "task_kit"]:
            del sys.modules[name]
        run_to_its_end(entry)

    return body


def run_to_its_end(entry: Entry) -> None:
    """Never returns."""
    code = 1
    try:
        with socket.socket(fileno=CHANNEL) as connected:
            entry(connected)
        code = 0
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else int(request.code is not None)
    except BaseException:  # noqa: BLE001 -- the last frame of a process: what is not told here is told nowhere
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)
