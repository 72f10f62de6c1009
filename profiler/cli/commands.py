"""The commands that need no module of their own: call the library, print, return an exit code.

`COMMANDS` names them; `main.HOMES` says where all other commands are. The options of every command are in `cli/options/`.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profiler.cli import doctor, summary_table
from profiler.cli.flags import refuse_useless_to_summarize
from profiler.cli.init import scaffold
from profiler.cli.output import print_json, remark
from profiler.cli.questions import first_questions, question_in_words
from profiler.core.errors import ProfilerError, RunDirectoryError, StorageError, UsageError
from profiler.dataset import file
from profiler.engine.preflight import Faults
from profiler.engine.run_client import check_client
from profiler.manifest.load import load_manifest
from profiler.manifest.schema import manifest_schema
from profiler.metrics import summary
from profiler.metrics.builtin import resolve, unmeasured
from profiler.metrics.unfit_dataset import refuse_unfit
from profiler.storage.folder_lock import locked
from profiler.storage.reading.saved_run import find_runs

if TYPE_CHECKING:
    from argparse import Namespace

    from profiler.manifest.settings import Experiment
    from profiler.storage.reading.saved_run import SavedRun

OK, THRESHOLD_MISSED = 0, 1


def summarize(args: Namespace) -> int:
    """Show runs, including unfinished ones.

    Of several, one that cannot be read is reported and the others are shown.
    """
    refuse_useless_to_summarize(args)
    runs = [run for folder in args.log_dir for run in find_runs(Path(folder))]
    summaries: list[dict[str, Any]] = []
    code = OK
    for run in runs:
        try:
            summaries.append(_recomputed(run, args) if args.recompute else run.summary)
        except ProfilerError as error:
            if len(runs) == 1:
                raise
            remark(f"error: {error}")
            code = ProfilerError.exit_code
    if args.json:
        print_json(summaries[0] if len(runs) == 1 else {"summaries": summaries})
    elif summaries:
        summary_table.render(summaries, file=sys.stdout, by_tag=args.by_tag)
    late = [
        f"{each['run'].get('experiment_id')}: {sentence}" for each in summaries for sentence in summary.missed(each)
    ]
    for sentence in late:
        remark(f"threshold missed in {sentence}")
    return code or (THRESHOLD_MISSED if late else OK)


def _recomputed(run: SavedRun, args: Namespace) -> dict[str, Any]:
    """The summary, counted again. scores.jsonl is rewritten too, unless other metrics than the run's own are asked for."""
    if args.metric or not run.complete:
        return run.recompute(args.metric, search_path=Path.cwd(), note=remark)
    try:
        with locked(run.folder):
            return run.recompute(search_path=Path.cwd(), note=remark, write_scores=True)
    except (RunDirectoryError, StorageError) as error:
        remark(f"scores.jsonl is not written anew: {error}")
        return run.recompute(search_path=Path.cwd(), note=remark)


def validate(args: Namespace) -> int:
    """Report everything that can be known to be wrong before a run."""
    manifest = load_manifest(Path(args.config), select=args.select, environ=os.environ)
    warnings = [str(each) for each in manifest.warnings]
    counts: dict[str, int] = {}
    faults = Faults()
    for experiment in manifest.experiments:
        try:
            counts[experiment.experiment_id] = _count(experiment, manifest.path.parent, warnings)
        except ProfilerError as error:
            faults.add(experiment.experiment_id, error)
    if faults.any:
        raise faults.any[0] if len(faults.any) == 1 else faults.as_one(f"of {len(manifest.ids)} experiments cannot run")
    rows = [
        {
            "experiment_id": experiment.experiment_id,
            "model": experiment.model,
            "dataset": str(experiment.dataset_path),
            "dialogues": counts[experiment.experiment_id],
            **({"repeats": experiment.repeats} if experiment.repeats > 1 else {}),
        }
        for experiment in manifest.experiments
    ]
    asked = {
        experiment.experiment_id: first_questions(experiment, args.show)
        for experiment in manifest.experiments
        if args.show
    }
    if args.json:
        print_json({"valid": True, "warnings": warnings, "experiments": rows} | ({"dialogues": asked} if asked else {}))
        return OK
    for warning in dict.fromkeys(warnings):
        remark(warning)
    for row in rows:
        times = f", each {row['repeats']} times" if "repeats" in row else ""
        print(f"{row['experiment_id']}: {row['dialogues']:,} dialogues of {row['dataset']} to {row['model']}{times}")
        for question in asked.get(str(row["experiment_id"]), ()):
            print(question_in_words(question))
    print(f"{args.config} is valid")
    return OK


def _count(experiment: Experiment, folder: Path, warnings: list[str]) -> int:
    """How many dialogues the experiment has. Adds to the warnings, and raises what is wrong with it."""
    warnings += check_client(experiment, search_path=folder)
    resolve(experiment.metrics, search_path=folder)
    survey = file.survey(experiment.dataset_path, fields=experiment.dataset_fields)
    refuse_unfit(experiment, survey)
    warnings += [f"{experiment.experiment_id}: {each}" for each in unmeasured(experiment.metrics, survey)]
    warnings += survey.remarks
    return survey.count


def schema(_: Namespace) -> int:
    print_json(manifest_schema())
    return OK


def init(args: Namespace) -> int:
    for path in scaffold(Path(args.folder)):
        print(path)
    there = "" if Path(args.folder) == Path() else f"cd {shlex.quote(args.folder)} && "
    remark(f"now: {there}profiler run --config configs/sample_experiment.yaml")
    return OK


def check_machine(args: Namespace) -> int:
    checks = doctor.examine(Path(args.output_dir), environ=os.environ)
    if args.json:
        print_json({"checks": [{"name": c.name, "ok": c.ok, "found": c.found} for c in checks]})
    else:
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<12} {check.found}")
    return OK if all(check.ok for check in checks) else UsageError.exit_code


COMMANDS = {
    "summarize": summarize,
    "validate": validate,
    "schema": schema,
    "init": init,
    "doctor": check_machine,
}
