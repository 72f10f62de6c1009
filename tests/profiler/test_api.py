"""The public Python API: what `import profiler` gives, and what it costs."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import profiler
from profiler.core.errors import LogError, UsageError
from profiler.manifest.settings import BUILTIN_METRICS
from profiler.manifest.value_types import OutputField
from profiler.metrics.builtin import BUILTIN

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "configs" / "sample_experiment.yaml"


def sample() -> profiler.Experiment:
    return profiler.load_manifest(SAMPLE, environ={}).experiments[0]


def modules_after(*arguments: str, cwd: Path = ROOT) -> set[str]:
    """The packages that a fresh interpreter has loaded when it ends."""
    show = "import sys, atexit; atexit.register(lambda: print('\\n', *sys.modules, file=sys.stderr)); "
    if arguments[0] == "-c":
        code = show + arguments[1]
    else:
        run = "runpy.run_module('profiler', alter_sys=True, run_name='__main__')"
        code = f"{show} import runpy; sys.argv[1:] = {list(arguments)!r}; {run}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return set(done.stderr.splitlines()[-1].split())


def heavy(modules: set[str]) -> set[str]:
    return modules & {"msgspec", "orjson", "anyio", "asyncio", "aiofiles", "rich", "yaml", "anthropic", "pydantic"}


# What a plain run in one process has no use for: processes, a dry run, reuse, a server, what looks into other runs.
OF_OTHER_RUNS = (
    *(
        "profiler.fleet",
        "profiler.engine.dry_run",
        "profiler.storage.reuse",
        "profiler.storage.shared_runs.object_store",
    ),
    *("profiler.provider.mock_server", "profiler.provider.inventing", "profiler.results", "profiler.cli.commands"),
    *("sqlite3", "httpx2", "uvloop", "re2", "jsonschema", "genai_prices", "pyarrow", "multiprocessing"),
)
OF_LIVE_RUNS = (
    *(
        "profiler.provider.lanes",
        "profiler.provider.fast",
        "profiler.provider.failures",
        "profiler.storage.shared_runs.ranges",
    ),
    *("profiler.storage.whole_money", "profiler.provider.http.connection", "email", "statistics", "sysconfig"),
)


def unused(modules: set[str], *names: str) -> set[str]:
    """Those of these packages and modules that were loaded all the same."""
    return {name for name in names if any(f"{each}.".startswith(f"{name}.") for each in modules)}


def test_every_public_name_is_there() -> None:
    assert [name for name in profiler.__all__ if getattr(profiler, name, None) is None] == []
    assert set(profiler.__all__) <= set(dir(profiler))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        profiler.runn  # type: ignore[attr-defined]  # noqa: B018


def test_no_public_name_is_hidden_by_a_module_of_the_same_name() -> None:
    modules = {path.stem for path in (ROOT / "profiler").iterdir()}
    assert modules.isdisjoint(profiler.__all__)


def test_importing_the_package_loads_nothing_heavy() -> None:
    modules = modules_after("-c", "import profiler")
    assert "profiler" in modules
    assert heavy(modules) == set()


def test_help_loads_nothing_heavy() -> None:
    modules = modules_after("--help")
    assert "profiler.cli.main" in modules
    assert heavy(modules) == set()


def test_a_mock_run_loads_neither_the_sdk_nor_what_draws(tmp_path: Path) -> None:
    modules = modules_after("run", "--config", str(SAMPLE), "--output-dir", str(tmp_path), "--mode", "mock")
    assert "profiler.engine.runner" in modules
    assert heavy(modules).isdisjoint({"anthropic", "pydantic", "rich"})
    assert unused(modules, *OF_OTHER_RUNS, *OF_LIVE_RUNS) == set()


def test_a_live_run_needs_nothing_of_other_ways_to_run() -> None:
    modules = modules_after("-c", "import profiler.cli.run, profiler.provider.lanes, profiler.storage.whole_money")
    assert heavy(modules).isdisjoint({"anthropic", "pydantic", "rich"})
    assert unused(modules, *OF_OTHER_RUNS) == set()


async def test_run_works_where_an_event_loop_is_running(tmp_path: Path) -> None:
    result = await profiler.run(sample(), options=profiler.Options(output_dir=tmp_path))
    assert result.summary["fact_coverage"] == 0.8889
    assert result.folder == tmp_path / "demo_run"


async def test_run_sync_refuses_where_an_event_loop_is_running(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="while an event loop is running") as caught:
        profiler.run_sync(sample(), options=profiler.Options(output_dir=tmp_path))
    assert "await profiler.run" in str(caught.value.hint)
    assert not (tmp_path / "demo_run").exists()


def test_run_sync_runs_where_none_is(tmp_path: Path) -> None:
    result = profiler.run_sync(sample(), options=profiler.Options(output_dir=tmp_path))
    assert (result.answered_now, result.kept, result.missed) == (3, 0, [])


def test_a_run_leaves_signal_handlers_alone_unless_told(tmp_path: Path) -> None:
    def handlers() -> tuple[object, bool]:
        """Interrupts are asked about only as far as somebody ignores them: event loops have a handler of their own."""
        return signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    before, seen = handlers(), []

    class Client:
        async def complete(self, request: profiler.Request) -> profiler.Reply:
            seen.append(handlers())
            return profiler.Reply(completion="x", stop_reason="end_turn", model="m", usage={})

    profiler.run_sync(sample(), options=profiler.Options(output_dir=tmp_path), client=Client())
    assert seen == [before] * 3


def test_a_finished_run_is_read_back(tmp_path: Path) -> None:
    result = profiler.run_sync(sample(), options=profiler.Options(output_dir=tmp_path))
    run = profiler.read_run(result.folder)
    assert run.complete
    assert run.summary == result.summary
    assert [line["dialogue_id"] for line in run.requests()] == ["tide_clock", "bread_rise", "lock_bypass"]
    assert [line["type"] for line in run.responses()] == ["answer", "answer", "refusal"]
    assert [outcome.type for outcome in run.outcomes()] == ["answer", "answer", "refusal"]
    assert run.recompute() == run.summary


def test_own_metrics_reduce_what_was_read(tmp_path: Path) -> None:
    result = profiler.run_sync(sample(), options=profiler.Options(output_dir=tmp_path))
    asked = profiler.total("characters", lambda outcome: len(outcome.completion or ""))
    found = profiler.reduce_outcomes(profiler.Run(result.folder).outcomes(), [asked]).estimates()["characters"]
    lines = profiler.Run(result.folder).responses()
    assert found == profiler.Estimate(sum(len(line["completion"]) for line in lines), 3)
    assert profiler.reduce_logs(result.folder, [asked]).estimates()["characters"] == found


def test_an_unfinished_run_is_read_as_far_as_it_got(tmp_path: Path) -> None:
    result = profiler.run_sync(sample(), options=profiler.Options(output_dir=tmp_path))
    (result.folder / "summary.json").unlink()
    responses = result.folder / "responses.jsonl"
    responses.write_bytes(responses.read_bytes()[:-5])
    run = profiler.read_run(result.folder)
    assert not run.complete
    assert [line["dialogue_id"] for line in run.responses()] == ["tide_clock", "bread_rise"]
    assert len(list(run.requests())) == 3
    assert run.recompute(["fact_coverage"])["metrics"]["fact_coverage"]["n"] == 2
    assert run.summary["counts"]["total"] == 2


def test_a_torn_line_in_a_finished_run_is_damage(tmp_path: Path) -> None:
    result = profiler.run_sync(sample(), options=profiler.Options(output_dir=tmp_path))
    responses = result.folder / "responses.jsonl"
    responses.write_bytes(responses.read_bytes()[:-5])
    with pytest.raises(LogError, match=r"responses.jsonl:3: is cut off in the middle"):
        list(profiler.read_run(result.folder).responses())


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(profiler.ProfilerError, match="found no run in it"):
        profiler.read_run(tmp_path)


def test_the_metrics_that_a_manifest_may_name_are_those_that_exist() -> None:
    assert tuple(BUILTIN) == BUILTIN_METRICS


def test_the_output_fields_that_a_manifest_may_name_are_those_of_a_record() -> None:
    assert get_args(OutputField) == profiler.Record.__struct_fields__


def test_what_type_checkers_and_what_python_is_told_of_public_names_is_the_same() -> None:
    tree = ast.parse(Path(profiler.__file__).read_text(encoding="utf-8"))
    [either] = [node for node in tree.body if isinstance(node, ast.If)]
    checked = {
        alias.name: node.module for node in either.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }

    assert checked == vars(profiler)["_HOME"]
    assert sorted([*checked, "__version__"]) == sorted(profiler.__all__)
