"""Runs code that nobody trusts: levels of isolation, limits, and probes that test both.

    from task_kit import sandbox

    spec = sandbox.Spec(argv=(*sandbox.PYTHON, "main.py"), env={}, cwd=folder, writable=out,
                        readable=(folder, *sandbox.python_paths()), limits=sandbox.Limits(wall_s=5))
    outcome = sandbox.run(spec)              # at the strongest level whose probes hold here
    outcome.reason, outcome.level.label

A name is imported when it is first used: the process between a caller and a box imports this package too, and starts
often.
"""

from importlib import import_module

TYPE_CHECKING = False

__all__ = [
    "PYTHON",
    "Child",
    "Detection",
    "Level",
    "Limits",
    "Outcome",
    "Probe",
    "SandboxError",
    "Spec",
    "Zygote",
    "detect",
    "examine",
    "give_up",
    "packages",
    "python_paths",
    "run",
]

if TYPE_CHECKING:
    from task_kit.sandbox.box import give_up
    from task_kit.sandbox.detection import Detection, detect, examine, run
    from task_kit.sandbox.interpreter import packages, python_paths
    from task_kit.sandbox.level import Level
    from task_kit.sandbox.probes import Probe
    from task_kit.sandbox.spec import Limits, Outcome, SandboxError, Spec
    from task_kit.sandbox.zygote import Child, Zygote

    PYTHON: tuple[str, ...]

HOMES = {
    **dict.fromkeys(("Detection", "detect", "examine", "run"), "detection"),
    **dict.fromkeys(("packages", "python_paths"), "interpreter"),
    **dict.fromkeys(("Limits", "Outcome", "SandboxError", "Spec"), "spec"),
    **dict.fromkeys(("Child", "Zygote"), "zygote"),
    "give_up": "box",
    "Level": "level",
    "Probe": "probes",
}


def __getattr__(name: str) -> object:
    if name == "PYTHON":
        value: object = import_module("task_kit.sandbox.interpreter").python()
    elif name in HOMES:
        value = getattr(import_module(f"task_kit.sandbox.{HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
