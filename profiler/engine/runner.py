"""The story of a run: manifest → dataset → requests → pool → journal → ordered logs → reduction → summary."""

from __future__ import annotations

import os
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import create_task_group

from profiler.core.one_error import one_error
from profiler.core.wording import in_the_name_of, silent
from profiler.dataset import file, unchanged
from profiler.engine import garbage_collection
from profiler.engine.agenda import Agenda
from profiler.engine.finishing import finish, finish_again
from profiler.engine.loop import with_a_loop
from profiler.engine.onlookers import onlooking, status_of_all
from profiler.engine.options import Options, options_of
from profiler.engine.preflight import check_all, tell_survey
from profiler.engine.result import Ended, Result, facts_of_run
from profiler.engine.reuse import known_answers, reusing, tell_taken
from profiler.engine.run_client import client_of_run
from profiler.engine.run_money import card_of_run, facts_of_budget, least_cap, money_of_all
from profiler.engine.run_resources import RunResources
from profiler.engine.session import answer_all, take_over
from profiler.manifest.load import Manifest
from profiler.metrics.builtin import resolve
from profiler.metrics.unfit_dataset import refuse_unfit
from profiler.provider.requests import planner_of
from profiler.provider.source import source_of
from profiler.storage import run_directory
from profiler.storage.identity import examine, is_known
from profiler.storage.questions import expect_same_questions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from profiler.dataset.file import Survey
    from profiler.engine.agenda import Turn
    from profiler.engine.options import Watch
    from profiler.manifest.settings import Experiment
    from profiler.money.budget import Budget
    from profiler.provider.client import Client
    from profiler.provider.source import Source
    from profiler.provider.validate import Checked
    from profiler.storage.journal import Header
    from profiler.storage.run_directory import RunDirectory
    from profiler.storage.writing.open_run import OpenRun


DEFAULTS = Options()


async def run(
    experiment: Experiment,
    *,
    options: Options = DEFAULTS,
    client: Client | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> Result:
    """Run one experiment to its end. After a `ProfilerError` the same call resumes it."""
    [ended] = await run_all([experiment], options=options, client=client, watch=watch, note=note)
    if ended.result is None:
        raise ended.error or AssertionError("an experiment ends with a result or an error")
    return ended.result


async def run_all(
    experiments: Manifest | Sequence[Experiment],
    *,
    options: Options = DEFAULTS,
    client: Client | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> list[Ended]:
    """Run many experiments as one: each to its end, or to the error that ends it alone.

    Raises what is wrong with any of them before the first call of all.
    """
    tell, manifest = note or silent, None
    if isinstance(experiments, Manifest):
        manifest, experiments = experiments, experiments.experiments
        options = options_of(manifest, options)
    if not experiments:
        return []
    dialogues = await check_all(experiments, options=options, given=client)
    with (
        garbage_collection.made_rare(),
        reusing(experiments, options=options, tell=tell) as reusable,
        money_of_all(experiments, manifest, options=options) as money,
        one_error(),
    ):
        shared = RunResources(
            experiments, options=options, tell=tell, money=money, dialogues=dialogues, reusable=reusable
        )
        agenda = Agenda(experiments, options=options, group_of=shared.providers.group_of)
        ended: dict[str, Ended] = {}

        async def to_its_end(turn: Turn) -> None:
            name = turn.experiment.experiment_id
            tell_of_it = tell if shared.alone else in_the_name_of(name, tell)
            with shared.under_way(turn):
                ended[name] = await _ended(turn, options=options, client=client, shared=shared, tell=tell_of_it)
                complete = ended[name].result is not None
                agenda.ended(turn.experiment, complete=complete)
                shared.overview.ended(name, complete=complete)

        looked_at = onlooking(
            shared,
            shared.overview,
            status=status_of_all(shared, options.folder),
            watch=watch,
            signals={} if options.signals else None,
            tell=tell,
        )
        async with looked_at, shared.clients, create_task_group() as runs:
            while (turn := await shared.next_of(agenda)) is not None:
                runs.start_soon(to_its_end, turn)
    reason = shared.stopped or RuntimeError("the run was cancelled from within; did a client of your own cancel it?")
    return [ended.get(each.experiment_id) or Ended.not_begun(each, reason) for each in experiments]


async def _ended(
    turn: Turn, *, options: Options, client: Client | None, shared: RunResources, tell: Callable[[str], None]
) -> Ended:
    """Run one experiment, and keep its error to itself: the others go on."""
    name = turn.experiment.experiment_id
    try:
        result = await _run_one(turn, options=options, client=client, shared=shared, tell=tell)
    except Exception as error:  # noqa: BLE001 (a bug in one, such as in its client, is told when the others have ended)
        return Ended.failed(name, error, of_many=not shared.alone)
    return Ended(experiment_id=name, result=result)


async def _run_one(
    turn: Turn, *, options: Options, client: Client | None, shared: RunResources, tell: Callable[[str], None]
) -> Result:
    """The story of one experiment."""
    begun, experiment = time.perf_counter(), turn.experiment
    source = source_of(experiment, mode=options.resolved_mode, environ=os.environ, given=client)
    card = card_of_run(experiment, mode=source.mode, cap_usd=least_cap(experiment, options))
    metrics = resolve(experiment.metrics, search_path=options.plugins_folder, pass_at=experiment.pass_at)
    folder, unpaid = options.folder_of(experiment), source.costs_nothing
    with run_directory.hold(folder, fresh=options.fresh, unpaid=unpaid, tell=tell) as directory:
        stamp = unchanged.stamp(experiment.dataset_path)
        before, chosen = directory.earlier, options.selection
        look = partial(examine, experiment, source=source, selection=chosen, before=before, stamp=stamp)
        at_hand = is_known(experiment, selection=chosen, before=before)
        header, survey = look() if at_hand else await shared.aside(look)
        directory.refuse_another_run(header.identity)
        if survey is not None:
            refuse_unfit(experiment, survey, selection=options.selection)
        if (done := directory.summary) and not (options.retry_failed and done["counts"].get("error")):
            return await finish_again(directory, done, experiment, metrics=metrics, shared=shared, tell=tell)
        async with client_of_run(experiment, client, clients=shared.clients, options=options, tell=tell) as asked:
            with closing(await _opened(directory, header, source, options=options, shared=shared)) as opened:
                sha256 = _expect_same_dataset(experiment, opened, options=options, stamp=stamp)
                with (
                    unchanged.unwritten(experiment.dataset_path, since=stamp, sha256=sha256, tell=tell),
                    shared.money.of(experiment, opened, card=card) as budget,
                ):
                    _tell_begin(turn, opened, survey, tell=tell)
                    bound_by = await _answered(
                        turn, opened, source, client=asked, budget=budget, options=options, shared=shared, tell=tell
                    )
                facts = _facts_of(turn, opened, source, options=options, bound_by=bound_by, budget=budget)
                return await finish(
                    directory,
                    opened,
                    experiment,
                    metrics=metrics,
                    facts=facts,
                    shared=shared,
                    begun=begun,
                    tell=tell,
                )


async def _answered(
    turn: Turn,
    opened: OpenRun,
    source: Source,
    *,
    client: Checked,
    budget: Budget | None,
    options: Options,
    shared: RunResources,
    tell: Callable[[str], None],
) -> dict[str, Any] | None:
    """Take over the answers that are known already, and ask the rest. Returns what kept a live run from going faster."""
    experiment = turn.experiment
    known = known_answers(turn, opened, source, reusable=shared.reusable, tell=tell)
    if known is not None:
        await take_over(experiment, opened, options=options, known=known, stopped=lambda: shared.stopped)
        if turn.answers_of is None:
            tell_taken(experiment.experiment_id, opened.taken, of=opened.header.count, tell=tell)
    if turn.answers_of is not None:
        return None
    return await answer_all(
        experiment, opened, options=options, source=source, client=client, budget=budget, shared=shared
    )


def run_sync(
    experiment: Experiment,
    *,
    options: Options = DEFAULTS,
    client: Client | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> Result:
    """`run` for code without an event loop."""
    asked = partial(run, experiment, options=options, client=client, watch=watch, note=note)
    return with_a_loop(asked, [experiment], options=options)


def run_all_sync(
    experiments: Manifest | Sequence[Experiment],
    *,
    options: Options = DEFAULTS,
    client: Client | None = None,
    watch: Watch | None = None,
    note: Callable[[str], None] | None = None,
) -> list[Ended]:
    """`run_all` for code without an event loop."""
    asked = partial(run_all, experiments, options=options, client=client, watch=watch, note=note)
    each = experiments.experiments if isinstance(experiments, Manifest) else experiments
    return with_a_loop(asked, each, options=options)


async def _opened(
    directory: RunDirectory, header: Header, source: Source, *, options: Options, shared: RunResources
) -> OpenRun:
    """Begin or resume the run. A new one for which nobody pays does not wait for the device: the first line of its journal
    gets there with the first answers."""
    at_once = options.fsync == "always" or not source.costs_nothing
    begin = partial(
        directory.open, header, retry_failed=options.retry_failed, sync=options.fsync != "off", at_once=at_once
    )
    return begin() if directory.earlier is None and not at_once else await shared.aside(begin)


def _expect_same_dataset(experiment: Experiment, opened: OpenRun, *, options: Options, stamp: unchanged.Stamp) -> str:
    """Raise if an earlier session of the run has asked another dataset. Returns the hash of the file."""
    path = experiment.dataset_path
    sha256: str = opened.header.identity["dataset_sha256"]
    unchanged.expect_unchanged(path, since=stamp, sha256=sha256)
    if opened.header.dataset_stamp != stamp:  # somebody wrote to it since the run began, and may have put it back
        with file.reading(path, fields=experiment.dataset_fields, selection=options.selection) as dialogues:
            expect_same_questions(opened, planner_of(experiment).plan(dialogues))
    return sha256


def _facts_of(
    turn: Turn,
    opened: OpenRun,
    source: Source,
    *,
    options: Options,
    bound_by: dict[str, Any] | None,
    budget: Budget | None,
) -> dict[str, Any]:
    told = {
        **facts_of_budget(budget),
        "resumed": {"kept": opened.kept, "maybe_billed": opened.carried.cut_off},
        "sessions": opened.sessions,
        "bound_by": bound_by,
    }
    found = facts_of_run(turn.experiment, opened.header, source, options=options, told=told)
    return found if turn.answers_of is None else {**found, "answers_of": turn.answers_of.name}


def _tell_begin(turn: Turn, opened: OpenRun, survey: Survey | None, *, tell: Callable[[str], None]) -> None:
    """Say what a person should know before the first call."""
    name = turn.experiment.experiment_id
    if turn.answers_of is not None:
        tell(
            f"{name}: asks what {turn.answers_of.name} has asked, so it takes those answers over and asks nothing twice"
        )
    if survey is not None:
        tell_survey(turn.experiment, survey, tell=tell)
    for line in opened.notes:
        tell(line)
    if opened.asked:
        words = f"resuming: {opened.kept:,} of {opened.header.count:,} answers are kept"
        if opened.cut_off_now:
            words += f"; {opened.cut_off_now:,} were in flight, may have been billed, and are asked again"
        tell(words)
