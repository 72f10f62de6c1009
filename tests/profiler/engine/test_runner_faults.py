"""A run that cannot begin or cannot go on, and clients that are none."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import (
    DatasetError,
    ManifestError,
    ProfilerError,
    ProviderFailed,
    RunDirectoryError,
    StorageError,
    UsageError,
)
from profiler.core.nouns import Request
from profiler.core.one_error import one_error
from profiler.engine import runner
from profiler.engine.result import Result
from profiler.manifest.settings import Experiment, MockSettings
from profiler.storage.folder_lock import locked
from profiler.storage.names import RESPONSES, SUMMARY
from tests.profiler.building import files_end_at
from tests.profiler.engine.running import Counting, changed, files, options, run_sync

if TYPE_CHECKING:
    from pathlib import Path


def test_a_dataset_with_faults_costs_nothing(experiment: Experiment, tmp_path: Path) -> None:
    experiment.dataset_path.write_text('{"dialogue_id":"a","user":"q"}\n{"dialogue_id":"a","user":"q"}\n')
    client = Counting()
    with pytest.raises(DatasetError, match="was already used at line 1"):
        run_sync(experiment, options=options(tmp_path), client=client)
    assert client.asked == []
    assert files(tmp_path / "exp") == {}


def test_missing_prepared_answers_cost_nothing(experiment: Experiment, tmp_path: Path) -> None:
    bad = changed(experiment, mock=MockSettings(responses_path=tmp_path / "missing.json"))
    with pytest.raises(ProfilerError, match=r"missing.json"):
        runner.run_sync(bad, options=options(tmp_path))
    (tmp_path / "wrong.json").write_text("[]")
    with pytest.raises(ManifestError, match=r"wrong.json"):
        runner.run_sync(
            changed(bad, mock=MockSettings(responses_path=tmp_path / "wrong.json")), options=options(tmp_path)
        )
    assert files(tmp_path / "exp") == {}


def test_a_fault_of_a_client_is_the_error_of_its_dialogue_and_the_run_is_finished(
    experiment: Experiment, tmp_path: Path
) -> None:
    def buggy(request: Request) -> None:
        if request.index == 20:
            raise ZeroDivisionError("a bug")

    notes: list[str] = []
    result = run_sync(experiment, options=options(tmp_path), client=Counting(first=buggy), note=notes.append)
    assert result.summary["counts"]["errors"] == {"client_fault": 1}
    (told,) = notes
    assert re.search(r"the client failed: ZeroDivisionError: a bug \(test_runner_faults\.py:\d+\)", told)


def test_a_client_that_fails_at_all_of_its_first_calls_stops_the_run(experiment: Experiment, tmp_path: Path) -> None:
    def buggy(_: Request) -> None:
        raise ZeroDivisionError("a bug")

    client = Counting(first=buggy)
    with pytest.raises(ProviderFailed, match=r"all of the first 5 calls failed so: .*ZeroDivisionError: a bug"):
        run_sync(experiment, options=options(tmp_path, concurrency=1), client=client)
    assert len(client.asked) == 5


@pytest.mark.parametrize("bug_first", [False, True])
def test_of_several_errors_the_bug_comes_out(tmp_path: Path, *, bug_first: bool) -> None:
    bug, full = ZeroDivisionError("a bug"), StorageError(tmp_path, OSError(28, "No space left on device"))
    inner = ExceptionGroup("inner", [bug] if bug_first else [full])
    with pytest.raises(ZeroDivisionError, match="a bug") as caught, one_error():
        raise ExceptionGroup("outer", [inner, full if bug_first else bug])
    assert isinstance(caught.value.__cause__, ExceptionGroup)


def test_a_full_disk_ends_the_run_and_it_is_resumed(experiment: Experiment, tmp_path: Path) -> None:
    whole = run_sync(experiment, options=options(tmp_path / "whole"))
    with pytest.raises(StorageError, match="File too large"), files_end_at(4000):
        run_sync(experiment, options=options(tmp_path))
    assert files(run_sync(experiment, options=options(tmp_path)).folder) == files(whole.folder)


def test_a_folder_in_use_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "exp"),
        pytest.raises(RunDirectoryError, match="another run is writing here"),
    ):
        run_sync(experiment, options=options(tmp_path))


@pytest.mark.parametrize("facts", [{}, {"dialogues": "3", "identity": {}}, {"dialogues": 3}])
def test_a_summary_of_something_else_is_not_taken_for_a_finished_run(
    experiment: Experiment, tmp_path: Path, facts: dict[str, Any]
) -> None:
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / SUMMARY).write_text(json.dumps({"metrics": {}, "counts": {}, "run": facts}))
    with pytest.raises(RunDirectoryError, match="does not say what it asked"):
        run_sync(experiment, options=options(tmp_path))


def test_a_client_of_ones_own_is_made_from_the_experiment(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "own_client_a.py").write_text(
        "from profiler import Reply\n"
        "class Client:\n"
        "    def __init__(self, experiment): self.name = experiment.experiment_id\n"
        "    async def complete(self, request):\n"
        "        return Reply(completion=self.name, stop_reason='end_turn', model='own', usage={})\n"
    )
    own = changed(experiment, client="own_client_a:Client")
    result: Result = run_sync(own, options=options(tmp_path, search_path=tmp_path))
    assert {line["completion"] for line in map(json.loads, files(result.folder)[RESPONSES].splitlines())} == {"exp"}


@pytest.mark.parametrize("attribute", ["nothing", "make_none", "make_silent"])
def test_what_makes_no_client_is_told(experiment: Experiment, tmp_path: Path, attribute: str) -> None:
    (tmp_path / "own_client_b.py").write_text(
        "nothing = 3\ndef make_none(experiment): return None\ndef make_silent(experiment): return object()\n"
    )
    own = changed(experiment, client=f"own_client_b:{attribute}")
    with pytest.raises(UsageError, match=r"which has no complete method|which cannot be called"):
        run_sync(own, options=options(tmp_path, search_path=tmp_path))
