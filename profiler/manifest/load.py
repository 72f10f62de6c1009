"""Loads a manifest: checked experiments, or one `ManifestError` with everything that is wrong and where."""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from profiler.core.complaint import Complaint
from profiler.core.errors import ManifestError, Problem
from profiler.core.wording import did_you_mean, few
from profiler.manifest import rules, yaml_reader
from profiler.manifest.draft import Draft
from profiler.manifest.entries import Forms
from profiler.manifest.environment import RESERVED_ENVIRONMENT
from profiler.manifest.meant_file import manifests_in, meant_file
from profiler.manifest.settings import (
    BUILTIN_METRICS,
    Bounds,
    Experiment,
    Latency,
    MockSettings,
    Prices,
    RateLimits,
    Retry,
)
from profiler.manifest.source import MAX_BYTES
from profiler.manifest.value_types import MAX_ID

__all__ = [
    "BUILTIN_METRICS",
    "RESERVED_ENVIRONMENT",
    "Bounds",
    "Experiment",
    "Latency",
    "Manifest",
    "MockSettings",
    "Prices",
    "RateLimits",
    "Retry",
    "load_manifest",
]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The selected experiments of one file, ready to run."""

    path: Path
    sha256: str
    experiments: tuple[Experiment, ...]
    ids: tuple[str, ...] = ()  # of all experiments of the file, selected or not
    max_cost_usd: float | None = None  # of all of them together
    warnings: tuple[Problem, ...] = ()


def load_manifest(
    path: str | Path, *, select: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> Manifest:
    path = Path(path)
    data = _bytes_of(path)
    forms = _forms(data, path)
    drafts = forms.drafts(os.environ if environ is None else environ)
    chosen = _selected(drafts, select)
    problems = [
        *forms.problems,
        *(problem for draft in drafts for problem in (*draft.missing(), *_broken_rules(draft))),
        *(problem for draft in chosen for problem in _missing_files(draft)),
        *_id_problems(drafts),
        *_selection_problems(drafts, select),
    ]
    if problems:
        raise ManifestError(_in_order(problems))
    return Manifest(
        path=path.absolute(),
        sha256=hashlib.sha256(data).hexdigest(),
        experiments=tuple(draft.experiment(written_in=path) for draft in chosen),
        ids=tuple(draft.name for draft in drafts if draft.name is not None),
        max_cost_usd=forms.max_cost_usd,
        warnings=tuple(dict.fromkeys(problem for draft in chosen for problem in _doubtful(draft))),
    )


def setting_problem(
    experiment: Experiment, at: tuple[str | int, ...], message: str, *, hint: str | None = None
) -> Problem:
    """Something wrong with a setting that shows only beside a dataset, or by the way an experiment is run.

    For its place the manifest is read once more: the places of all settings of 100,000 experiments would fill the memory.
    """
    complaint = Complaint(at=at, message=message, hint=hint)
    if experiment.written_in is not None:
        try:
            drafts = _forms(_bytes_of(experiment.written_in), experiment.written_in).drafts(os.environ)
        except ManifestError:  # it was changed meanwhile
            drafts = []
        for draft in drafts:
            if draft.name == experiment.experiment_id:
                return draft.problem(complaint)
    return Problem(path=f"{experiment.experiment_id}: {'.'.join(map(str, at))}", message=message, hint=hint)


def _forms(data: bytes, path: Path) -> Forms:
    return Forms(yaml_reader.read(data, name=str(path)), folder=path.absolute().parent)


def _selected(drafts: list[Draft], patterns: Sequence[str]) -> list[Draft]:
    if not patterns:
        return drafts
    return [draft for draft in drafts if any(fnmatch.fnmatchcase(draft.name or "", pattern) for pattern in patterns)]


def _selection_problems(drafts: list[Draft], patterns: Sequence[str]) -> Iterator[Problem]:
    """Patterns that match no experiment.

    None is reported while an id is missing or wrong, since a pattern may mean that one.
    """
    names = [draft.name for draft in drafts if draft.name is not None]
    if not drafts or len(names) < len(drafts):
        return
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            message = f"found no experiment of that name, expected one of {few(names)}"
            yield Problem(path=f"--select {pattern}", message=message, hint=did_you_mean(pattern, names))


def _broken_rules(draft: Draft) -> list[Problem]:
    return [draft.problem(complaint) for complaint in rules.broken(draft.experiment(), wrong=draft.bad())]


def _missing_files(draft: Draft) -> list[Problem]:
    # Without this, a missing dataset_path would also be reported as a file (the stand-in's) that does not exist.
    wrong = draft.bad() if "dataset_path" in draft.values else draft.bad() | {"dataset_path"}
    return [draft.problem(complaint) for complaint in rules.missing_files(draft.experiment(), wrong=wrong)]


def _doubtful(draft: Draft) -> list[Problem]:
    return [draft.problem(complaint) for complaint in rules.doubtful(draft.experiment())]


def _id_problems(drafts: list[Draft]) -> Iterator[Problem]:
    lines: dict[str, int | None] = {}
    for draft in drafts:
        if draft.name is None:
            continue
        if len(draft.name) > MAX_ID:
            yield _id_problem(
                draft, f"found the id {draft.name[:40]}… of {len(draft.name)} characters, expected ≤ {MAX_ID}"
            )
        if draft.name in lines:
            message = f"found the experiment id {draft.name!r} a second time (first on line {lines[draft.name]})"
            yield _id_problem(draft, message, hint="each names its own run directory")
        else:
            lines[draft.name] = _id_problem(draft, "").line


def _id_problem(draft: Draft, message: str, *, hint: str | None = None) -> Problem:
    return draft.problem(Complaint(at=("experiment_id",), message=message, hint=hint))


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # one byte more than is allowed, so that a longer file shows
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"cannot read the manifest: {reason}"
        raise ManifestError([Problem(path=str(path), message=message, hint=_hint_to(error, path))]) from error


def _hint_to(error: Exception, path: Path) -> str | None:
    if isinstance(error, IsADirectoryError):
        return ": ".join(("name the file in it", *filter(None, [", ".join(manifests_in(path))])))
    if not isinstance(error, FileNotFoundError):
        return None
    meant = meant_file(path)
    return "profiler init writes a sample to begin with" if meant is None else f"did you mean {str(meant)!r}?"


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line or 0, problem.column or 0))
