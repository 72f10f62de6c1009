"""A manifest loaded from a text, with what it says or what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.core.errors import ManifestError, Problem
from profiler.manifest.load import Experiment, Manifest, load_manifest

BASE = "experiment_id: one\nmodel: claude-haiku-4-5\nmax_tokens: 16\ndataset_path: data.json\n"
DEFAULTS = "defaults: {model: m, max_tokens: 16, dataset_path: data.json}\n"


def load(text: str | bytes, *select: str, **environ: str) -> Manifest:
    Path("m.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return load_manifest("m.yaml", select=select, environ=environ)


def one(text: str, **environ: str) -> Experiment:
    [experiment] = load(text, **environ).experiments
    return experiment


def ids(text: str, *select: str) -> list[str]:
    return [experiment.experiment_id for experiment in load(text, *select).experiments]


def problems(text: str | bytes, *select: str, **environ: str) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        load(text, *select, **environ)
    return list(caught.value.problems)


def problem(text: str | bytes, *select: str, **environ: str) -> Problem:
    [only] = problems(text, *select, **environ)
    return only
