"""Runs manifests of experiments over dialogues, and reduces the answers to metrics with their intervals.

    import profiler

    manifest = profiler.load_manifest("configs/sample_experiment.yaml")
    result = await profiler.run(manifest.experiments[0])     # in a notebook or a coroutine
    result = profiler.run_sync(manifest.experiments[0])      # everywhere else
    ended = profiler.run_all_sync(manifest)                  # all of them, as one run
    result.summary["fact_coverage"]

    run = profiler.read_run("runs/demo_run")                 # also while it is going on
    failed = [line for line in run.responses() if line["type"] == "error"]
    profiler.reduce_outcomes(run.outcomes(), [profiler.rate("long", lambda o: len(o.completion or "") > 500)])

A name is loaded when it is first used, so that `import profiler` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Asker",
    "CallError",
    "Client",
    "Dialogue",
    "Ended",
    "Estimate",
    "Experiment",
    "Manifest",
    "Message",
    "Metric",
    "MockServer",
    "Options",
    "Outcome",
    "ProfilerError",
    "Record",
    "Reduction",
    "Reply",
    "Request",
    "Result",
    "Run",
    "SavedRun",
    "__version__",
    "load_manifest",
    "mean",
    "open_client",
    "rate",
    "read_run",
    "reduce_logs",
    "reduce_outcomes",
    "run",
    "run_all",
    "run_all_sync",
    "run_sync",
    "total",
]

if TYPE_CHECKING:
    from profiler.core.errors import CallError, ProfilerError
    from profiler.core.nouns import Dialogue, Message, Outcome, Record, Reply, Request
    from profiler.engine.calls.asker import Asker
    from profiler.engine.options import Options
    from profiler.engine.result import Ended, Result
    from profiler.engine.runner import run, run_all, run_all_sync, run_sync
    from profiler.manifest.load import Manifest, load_manifest
    from profiler.manifest.settings import Experiment
    from profiler.metrics.metric import Estimate, Metric, mean, rate, total
    from profiler.metrics.reduction import Reduction, reduce_outcomes
    from profiler.provider.client import Client
    from profiler.provider.mock_server.server import MockServer
    from profiler.provider.open import open_client
    from profiler.results.frames import Run, read_run
    from profiler.storage.reading.saved_run import SavedRun, reduce_logs
else:
    # The module of each public name; it is imported when the name is first used (see `__getattr__`).
    _HOMES = {
        "profiler.provider.client": ("Client",),
        "profiler.core.errors": ("CallError", "ProfilerError"),
        "profiler.storage.reading.saved_run": ("SavedRun", "reduce_logs"),
        "profiler.results.frames": ("Run", "read_run"),
        "profiler.manifest.load": ("Manifest", "load_manifest"),
        "profiler.metrics.metric": ("Estimate", "Metric", "mean", "rate", "total"),
        "profiler.core.nouns": ("Dialogue", "Message", "Outcome", "Record", "Reply", "Request"),
        "profiler.metrics.reduction": ("Reduction", "reduce_outcomes"),
        "profiler.engine.calls.asker": ("Asker",),
        "profiler.engine.options": ("Options",),
        "profiler.provider.mock_server.server": ("MockServer",),
        "profiler.provider.open": ("open_client",),
        "profiler.engine.result": ("Ended", "Result"),
        "profiler.engine.runner": ("run", "run_all", "run_all_sync", "run_sync"),
        "profiler.manifest.settings": ("Experiment",),
    }
    _HOME = {name: module for module, names in _HOMES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'profiler' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted(__all__)
