"""Plays the episodes of a calibration and, on the same seeds, its controls; prints and stores what was found.

FOLDER/agents/  FOLDER/controls/    two runs as `grader run` keeps them
FOLDER/calibration.json             what was found, and when it was looked at before
FOLDER/threshold.yaml               settings for `--config`, when a threshold could be recommended; no source is touched
"""

from __future__ import annotations

import secrets
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from grader.cli.calibrate_table import tables
from grader.cli.run_actions import ERROR, default_output, plan_of, plan_of_folder, played, refused
from grader.leakage_modeling.calibration.calibrate import (
    Calibration,
    Graded,
    Threshold,
    Unreachable,
    calibrate,
    find_threshold,
)
from grader.leakage_modeling.grading.episodes import ORACLE
from grader.leakage_modeling.grading.folder import RunFolder
from profiler.cli.table import draw
from profiler.core.errors import BudgetReached, ProfilerError, ProviderFailed, UsageError
from profiler.core.json import dump_pretty, loads
from task_kit.leakage_modeling.agents.policies import LEAKS, NO_OP, POLICIES
from task_kit.leakage_modeling.worlds.settings import override
from task_kit.sandbox import SandboxError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from grader.leakage_modeling.grading.folder import EpisodeResult, Run
    from task_kit.leakage_modeling.worlds.settings import Settings

AGENTS, CONTROLS = "agents", "controls"
CALIBRATION, THRESHOLD = "calibration.json", "threshold.yaml"
IN_BAND, ELSEWHERE = 0, 1
CONTROL_NAMES = frozenset({ORACLE, NO_OP.name, *(leak.name for leak in LEAKS)})


def run(args: argparse.Namespace) -> int:
    try:
        folder, stopped = _begun(args)
        agents, controls = RunFolder(folder / AGENTS), RunFolder(folder / CONTROLS)
        asked_for, results = agents.run(), _results(agents)
        looks = _looks(folder, episodes=sum(result.status != "error" for result in results))
        found, threshold = _reckon(args, asked_for, agents=results, controls=_results(controls), look=len(looks))
        looks[-1] |= {"error": found.error, "verdict": found.verdict}
        document = _document(asked_for, found, threshold) | {"looks": looks}
        _keep(folder, asked_for.settings, document, threshold)
    except (ProfilerError, SandboxError, OSError) as error:
        return refused("calibrate", error)
    _tell(args, asked_for, found, threshold, folder=folder, document=document)
    if stopped is not None:
        print(f"grader calibrate: stopped: {stopped}", file=sys.stderr)
        return stopped.exit_code
    if not found.graded:
        return ERROR
    return IN_BAND if found.verdict == "in-band" else ELSEWHERE


def _begun(args: argparse.Namespace) -> tuple[Path, ProviderFailed | BudgetReached | None]:
    """The folder that holds all episodes to count, and why some were not played (None: all were)."""
    if args.source is None:
        if args.more is not None:
            raise UsageError("--more goes on with a calibration", hint="name its folder with --from FOLDER")
        return _play(args)
    return (args.source, None) if args.more is None else _play_more(args)


def _looks(folder: Path, *, episodes: int) -> list[dict[str, Any]]:
    """The looks at this calibration so far and this one. Looking at the same episodes again is not another look."""
    path = folder / CALIBRATION
    try:
        before = loads(path.read_bytes()).get("looks", []) if path.exists() else []
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path}: found what no calibration writes: {error}") from error
    return [*(look for look in before if look["episodes"] != episodes), {"episodes": episodes}]


def _play_more(args: argparse.Namespace) -> tuple[Path, ProviderFailed | BudgetReached | None]:
    """Play more worlds of a stored calibration with its own settings, and episodes that were cut off before."""
    folders = [RunFolder(args.source / name) for name in (AGENTS, CONTROLS)]
    plans = {}
    for folder in folders:
        run = folder.run()
        wider = run.runs + args.more
        settings = override(run.settings, num_runs=wider)
        folder.write_run(msgspec.structs.replace(run, runs=wider, settings=settings))
        plans[folder.path] = plan_of_folder(folder.path, max_cost_usd=args.max_cost)
    reports = played(args, plans, resume=True)
    return args.source, next((report.stopped for report in reports if report.stopped is not None), None)


def _play(args: argparse.Namespace) -> tuple[Path, ProviderFailed | BudgetReached | None]:
    """Play agents and controls on the same seeds."""
    folder = default_output(args, what="calibration")
    plan = plan_of(args)
    seed = plan.seed or secrets.token_hex(16)
    plans = {
        folder / AGENTS: replace(plan, seed=seed, repeats=args.per_seed, only=_chosen(args)),
        folder / CONTROLS: replace(plan, mode="local", live=False, seed=seed, only=CONTROL_NAMES),
    }
    reports = played(args, plans)
    return folder, next((report.stopped for report in reports if report.stopped is not None), None)


def _chosen(args: argparse.Namespace) -> frozenset[str] | None:
    """The one policy that plays in local mode; None in agent mode."""
    if args.mode == "agent":
        return None
    names = [policy.name for policy in POLICIES]
    if args.policy not in names:
        raise UsageError(f"found no policy {args.policy!r}", hint=f"there are {', '.join(names)}")
    return frozenset({args.policy})


def _results(folder: RunFolder) -> list[EpisodeResult]:
    return [folder.result(name) for name in folder.names()]


def _reckon(
    args: argparse.Namespace,
    asked_for: Run,
    *,
    agents: Sequence[EpisodeResult],
    controls: Sequence[EpisodeResult],
    look: int,
) -> tuple[Calibration, Threshold | str]:
    settings = asked_for.settings
    lower_is_better = settings.grading == "regret"
    rows = [_graded(one, settings) for one in agents]
    beside = {
        name: [_graded(one, settings) for one in controls if one.agent == name]
        for name in dict.fromkeys(one.agent for one in controls)
    }
    found = calibrate(
        rows,
        asked=asked_for.runs * asked_for.repeats,
        started=len(rows),
        threshold=settings.regret_limit if lower_is_better else settings.threshold,
        lower_is_better=lower_is_better,
        controls=beside,
        look=look,
    )
    try:
        threshold: Threshold | str = find_threshold(
            rows,
            oracle=beside.get(ORACLE, []),
            no_op=beside.get(NO_OP.name, []),
            quantile=args.quantile,
            lower_is_better=lower_is_better,
        )
    except Unreachable as error:
        threshold = str(error)
    return found, threshold


def _graded(result: EpisodeResult, settings: Settings) -> Graded:
    legacy = settings.grading == "legacy-threshold"
    scores = result.scores
    score = (scores.get("legacy") or {}).get("auroc") if legacy else scores.get("regret")
    return Graded(
        seed=result.seed, status=result.status, reason=result.reason, score=score, clean=result.only_score_failed
    )


def _document(asked_for: Run, found: Calibration, threshold: Threshold | str) -> dict[str, Any]:
    recommended = {"refused": threshold} if isinstance(threshold, str) else msgspec.to_builtins(threshold)
    return {
        "run": msgspec.to_builtins(asked_for),
        "calibration": msgspec.to_builtins(found, str_keys=True),
        "threshold": recommended,
    }


def _keep(folder: Path, settings: Settings, document: dict[str, Any], threshold: Threshold | str) -> None:
    (folder / CALIBRATION).write_bytes(dump_pretty(document))
    path = folder / THRESHOLD
    if isinstance(threshold, str):
        path.unlink(missing_ok=True)
        return
    knob = "max_regret" if settings.grading == "regret" else "threshold"
    values = msgspec.to_builtins(settings) | {knob: threshold.value}
    head = (
        f"# {knob} lets about {1 - threshold.quantile:.0%} of these episodes pass; tried on other seeds: "
        f"{threshold.verified_on.passed} of {threshold.verified_on.episodes} ({threshold.verdict}).\n"
    )
    path.write_text(head + yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _tell(
    args: argparse.Namespace,
    asked_for: Run,
    found: Calibration,
    threshold: Threshold | str,
    *,
    folder: Path,
    document: dict[str, Any],
) -> None:
    if args.json:
        sys.stdout.buffer.write(dump_pretty(document | {"folder": str(folder)}))
        return
    draw(tables(asked_for, found, threshold), file=sys.stdout)
    print(f"Kept in {folder}" + ("" if isinstance(threshold, str) else f"; use it with --config {folder / THRESHOLD}"))
