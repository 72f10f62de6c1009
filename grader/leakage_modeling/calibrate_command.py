"""`grader calibrate`: plays the episodes and, on the same seeds, the controls; prints the calibration and keeps it.

FOLDER/agents/  FOLDER/controls/    two runs as `grader run` keeps them
FOLDER/calibration.json             what was found
FOLDER/threshold.yaml               settings for `--config`, when a threshold could be recommended; no source is touched
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml

from grader.leakage_modeling.commands import ERROR, add_options, default_output, plan_of, played, refused
from profiler.codec import dump_pretty
from profiler.errors import ProfilerError, UsageError
from profiler.table import draw
from task_kit.sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grader.cli import Commands
    from grader.leakage_modeling.calibrate import Calibration, Graded, Threshold
    from grader.leakage_modeling.folder import EpisodeResult, Run
    from task_kit.leakage_modeling.settings import Settings

AGENTS, CONTROLS = "agents", "controls"
CALIBRATION, THRESHOLD = "calibration.json", "threshold.yaml"
IN_BAND, ELSEWHERE = 0, 1
QUANTILE: Final = 0.75

HELP: Final = """\
How hard is the task for this agent, is that in the band worth training on (10 to 40 % pass), and which threshold would put it
there? Plays N worlds with the agent (or, locally, with one policy) and the same worlds with the oracle, the no-op and every
leak. An episode without a submission, with an invalid one or out of time counts as a fail; one that the provider or the grader
broke is excluded, and told. The verdict rests on the exact interval, so it is wrong in at most 5 % of calibrations.

The threshold is found on one half of the seeds and tried on the other; it is refused when the oracle cannot reach it.

exit codes:
  0  certainly in the band              2  usage, or nothing could be graded
  1  below, above or undecided          3  the provider refused to go on
                                        4  stopped at --max-cost"""


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "calibrate",
        help="find how hard a task is, and how sure that is",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.add_argument(
        "--quantile",
        type=_share,
        default=QUANTILE,
        metavar="Q",
        help=f"the recommended threshold lets the best 1 - Q pass (default: {QUANTILE})",
    )
    parser.add_argument("--per-seed", type=_count, default=1, metavar="K", help="episodes in each world (default: 1)")
    parser.add_argument("--policy", default="plain_logistic", metavar="NAME", help="who plays in --mode local")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FOLDER", help="of an earlier calibration: play nothing"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    folders = import_module("grader.leakage_modeling.folder")
    try:
        folder, stopped = (args.source, None) if args.source else _play(args)
        agents, controls = folders.RunFolder(folder / AGENTS), folders.RunFolder(folder / CONTROLS)
        asked_for = agents.run()
        found, threshold = _reckon(args, asked_for, agents=_results(agents), controls=_results(controls))
        document = _document(asked_for, found, threshold)
        _keep(folder, asked_for.settings, document, threshold)
    except (ProfilerError, SandboxError, OSError) as error:
        return refused("calibrate", error)
    _tell(args, asked_for, found, threshold, folder=folder, document=document)
    if stopped is not None:
        print(f"grader calibrate: stopped: {stopped}", file=sys.stderr)
        return int(stopped.exit_code)
    if not found.graded:
        return ERROR
    return IN_BAND if found.verdict == "in-band" else ELSEWHERE


def _play(args: argparse.Namespace) -> tuple[Path, Any]:
    """Both runs, on the same seeds."""
    folder = default_output(args, what="calibration")
    plan = plan_of(args)
    seed = plan.seed or import_module("secrets").token_hex(16)
    plans = {
        folder / AGENTS: replace(plan, seed=seed, repeats=args.per_seed, only=_chosen(args)),
        folder / CONTROLS: replace(plan, mode="local", live=False, seed=seed, only=_control_names()),
    }
    reports = played(args, plans)
    return folder, next((report.stopped for report in reports if report.stopped is not None), None)


def _chosen(args: argparse.Namespace) -> frozenset[str] | None:
    """Locally one policy plays; as an agent, whoever is one."""
    if args.mode == "agent":
        return None
    names = [policy.name for policy in import_module("task_kit.leakage_modeling.policies").POLICIES]
    if args.policy not in names:
        raise UsageError(f"found no policy {args.policy!r}", hint=f"there are {', '.join(names)}")
    return frozenset({args.policy})


def _control_names() -> frozenset[str]:
    policies = import_module("task_kit.leakage_modeling.policies")
    oracle = import_module("grader.leakage_modeling.episodes").ORACLE
    return frozenset({oracle, policies.NO_OP.name, *(leak.name for leak in policies.LEAKS)})


def _results(folder: Any) -> list[EpisodeResult]:
    return [folder.result(name) for name in folder.names()]


def _reckon(
    args: argparse.Namespace, asked_for: Run, *, agents: Sequence[EpisodeResult], controls: Sequence[EpisodeResult]
) -> tuple[Calibration, Threshold | str]:
    reckoning = import_module("grader.leakage_modeling.calibrate")
    settings = asked_for.settings
    lower_is_better = settings.grading == "regret"
    rows = [_graded(one, settings) for one in agents]
    beside = {
        name: [_graded(one, settings) for one in controls if one.agent == name]
        for name in dict.fromkeys(one.agent for one in controls)
    }
    found: Calibration = reckoning.calibrate(
        rows,
        asked=asked_for.runs * asked_for.repeats,
        started=len(rows),
        threshold=settings.regret_limit if lower_is_better else settings.threshold,
        lower_is_better=lower_is_better,
        controls=beside,
    )
    try:
        threshold: Threshold | str = reckoning.find_threshold(
            rows, oracle=beside.get("oracle", []), quantile=args.quantile, lower_is_better=lower_is_better
        )
    except reckoning.Unreachable as error:
        threshold = str(error)
    return found, threshold


def _graded(result: EpisodeResult, settings: Settings) -> Graded:
    legacy = settings.grading == "legacy-threshold"
    scores = result.scores
    score = (scores.get("legacy") or {}).get("auroc") if legacy else scores.get("regret")
    graded: Graded = import_module("grader.leakage_modeling.calibrate").Graded(
        seed=result.seed, status=result.status, reason=result.reason, score=score, clean=result.only_score_failed
    )
    return graded


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
    tables = import_module("grader.leakage_modeling.calibrate_table")
    draw(tables.tables(asked_for, found, threshold), file=sys.stdout)
    print(f"Kept in {folder}" + ("" if isinstance(threshold, str) else f"; use it with --config {folder / THRESHOLD}"))


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number between 0 and 1")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1 on")
    return int(text)
