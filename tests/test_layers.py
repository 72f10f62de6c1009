"""Imports point one way, on two levels: a package knows only those before it, and so does a module inside its package."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

LONGEST = 60  # lines of a function

# Of every package its members, each of which knows only those before it: packages, then the modules inside them.
ORDERS = {
    "profiler": (
        *("core", "manifest", "dataset", "provider", "money", "metrics", "storage", "results", "engine", "fleet"),
        "cli",
        *("__init__", "__main__"),
    ),
    "profiler.core": (
        *(
            "__init__",
            "json",
            "nouns",
            "wording",
            "own_code",
            "errors",
            "one_error",
            "plugins",
            "patterns",
            "json_schema",
        ),
        *("shapes", "mismatch_words", "image_size", "content_blocks", "sent_parameters"),
    ),
    "profiler.manifest": (
        *(
            "__init__",
            "scalars",
            "measured",
            "metrics",
            "value_types",
            "settings",
            "threshold_names",
            "source",
            "checker",
            "yaml_reader",
            "draft",
            "rules",
        ),
        *("environment", "matrix", "schema", "entries", "load"),
    ),
    "profiler.dataset": (
        *(
            "__init__",
            "duplicates",
            "explain",
            "json_array",
            "chat",
            "decode",
            "fields",
            "formats",
            "parquet",
            "unchanged",
            "met_keys",
            "selection",
            "file",
            "sendable",
            "places",
            "slices",
        ),
    ),
    "profiler.provider": (
        *(
            "__init__",
            "address",
            "client",
            "http",
            "messages",
            "inventing",
            "mock",
            "redact",
            "reply_type",
            "refused_settings",
            "requests",
            "source",
            "failures",
        ),
        *("mock_server", "validate", "endpoint", "streamed_message", "sdk", "cloud", "fast", "stream", "lanes", "open"),
    ),
    "profiler.provider.inventing": ("__init__", "patterns", "schema_values", "tool_calls", "fitting", "answers"),
    "profiler.provider.http": ("__init__", "connection", "stream_connection", "events", "proxy", "connections"),
    "profiler.provider.mock_server": (
        *("__init__", "clock", "settings", "endpoints", "wire", "history", "reading", "answering", "caching"),
        *(
            "messages",
            "plain_chat",
            "admission",
            "delivery",
            "stored",
            "static_answer",
            "message_endpoint",
            "control",
            "app",
            "server",
        ),
        "pytest_plugin",
    ),
    "profiler.provider.mock_server.wire": (
        *("__init__", "request_parser", "reply_bytes", "connection", "cross_origin", "encoding", "multipart", "paging"),
    ),
    "profiler.provider.mock_server.history": ("__init__", "counters", "spool", "journal"),
    "profiler.provider.mock_server.admission": (
        *("__init__", "faults", "fault_script", "rate_limits", "chance", "calls", "admission"),
    ),
    "profiler.provider.mock_server.delivery": ("__init__", "pace", "events", "message_delivery", "reply_delivery"),
    "profiler.provider.mock_server.stored": ("__init__", "batch", "batches", "files"),
    "profiler.provider.mock_server.reading": (
        *("__init__", "models", "prompts", "token_counts", "schema_subset", "turns", "rules", "requests"),
    ),
    "profiler.provider.mock_server.answering": (
        *("__init__", "dialogues", "prepared", "lengths"),
        *("answers", "variation"),
    ),
    "profiler.provider.mock_server.caching": (*("__init__", "segments", "prompt_cache", "cache_diagnosis", "threads"),),
    "profiler.money": ("__init__", "prices", "worst_case", "budget", "price_list"),
    "profiler.metrics": (
        "__init__",
        "intervals",
        "clusters",
        "histogram",
        "order_statistics",
        "resamples",
        "percentiles",
        "metric",
        "fact_coverage",
        "pass_at",
        "dialogues",
        "text",
        "measured",
        "reference",
        "builtin",
        "expectations",
        "fit",
        "totals",
        "counted",
        "metric_calls",
        "reduction",
        "scores",
        "state_json",
        "summary",
    ),
    "profiler.storage": (
        *(
            "__init__",
            "names",
            "whole_file",
            "line_file",
            "status_file",
            "pinned_file",
            "folder_lock",
            "boot",
            "ledger",
            "journal",
        ),
        *("summary_file", "score_log", "shared_runs", "reading", "writing", "run_directory", "identity", "questions"),
        *("reuse", "kept_answers", "whole_money"),
    ),
    "profiler.storage.shared_runs": (
        "__init__",
        "lease",
        "claims",
        "object_store",
        "attempt_money",
        "range_table",
        "commits",
        "taking_over",
        "ranges",
    ),
    "profiler.storage.reading": (
        "__init__",
        "run_marks",
        "read_logs",
        "unfinished",
        "unfinished_fleet",
        "item",
        "saved_run",
        "frozen_run",
    ),
    "profiler.storage.writing": (
        "__init__",
        "reorder",
        "journal_file",
        "ordered_log",
        "writer",
        "kept_lines",
        "open_run",
    ),
    "profiler.storage.reuse": ("__init__", "known_runs", "answer_index", "answers", "reusable"),
    "profiler.results": (
        "__init__",
        "values",
        "condition",
        "chosen",
        "listing",
        "rows",
        "arrow",
        "export",
        "frames",
        "comparing",
        "report",
        "every_eval_samples",
        "every_eval",
    ),
    "profiler.results.comparing": (
        *("__init__", "run_lines", "dialogue_ids", "measured_run", "pairing", "distributions"),
        *("corrections", "paired_tests", "bootstrap", "comparison", "slices", "choice", "gate", "report"),
        *("metrics_compared", "compare"),
    ),
    "profiler.results.report": (
        *("__init__", "verdict", "spread", "timeline", "groups", "privacy", "rows", "selection", "survey", "columns"),
        *("compared", "packing", "page", "write"),
    ),
    "profiler.engine": (
        *("__init__", "slots", "limits", "calls", "descriptors", "threads", "progress", "options", "agenda"),
        *(
            "dry_run",
            "clients",
            "run_client",
            "run_money",
            "preflight",
            "providers",
            "run_resources",
            "session",
            "reuse",
            "result",
        ),
        *("finishing", "onlookers", "collector", "loop", "runner"),
    ),
    "profiler.engine.calls": (
        *("__init__", "call_cost", "stream_times", "run_clock", "job", "attempt", "deadlines", "records", "unbegun"),
        *("pool_status", "pool", "asker", "allowance"),
    ),
    "profiler.engine.limits": (
        *(
            "__init__",
            "bottleneck",
            "concurrency",
            "cool_down",
            "draw",
            "first_refusals",
            "health",
            "call_guess",
            "learned_rate",
            "limit_changes",
        ),
        *("token_bucket", "traffic", "rate_gate"),
        "provider_limits",
    ),
    "profiler.fleet": (
        *("__init__", "broker", "program", "messages", "pipes", "workers", "drivers", "preparing", "merging"),
        *(
            "sessions",
            "shares",
            "jobs",
            "coordination",
            "spending",
            "temporary_logs",
            "hiring",
            "run",
            "many",
            "shards",
        ),
    ),
    "profiler.fleet.workers": ("__init__", "range_attempt", "granted", "range_worker", "worker"),
    "profiler.fleet.drivers": ("__init__", "driver", "local_broker", "process_driver", "ray_parts", "ray_driver"),
    "profiler.fleet.preparing": ("__init__", "adopt", "prepare", "same_dataset", "known_answers"),
    "profiler.fleet.coordination": (*("__init__", "crew", "looks", "handout", "watchdog", "coordinator", "onlookers"),),
    "profiler.fleet.shards": (
        *(
            "__init__",
            "broker_service",
            "stored_run",
            "stored_whole",
            "share",
            "shard_caps",
            "shard_work",
            "whole_cap",
            "shard",
            "merge",
        ),
    ),
    "profiler.fleet.broker": (
        *(
            "__init__",
            "settings",
            "messages",
            "purse",
            "rates",
            "shared_slots",
            "shared_health",
            "broker",
            "kept_money",
            "desk",
        ),
        *("wire", "server", "granted_bucket", "leased_cap", "worker_limits", "outage", "link", "process", "__main__"),
    ),
    "profiler.cli": (
        *(
            "__init__",
            "banner",
            "flags",
            "doctor",
            "init",
            "parser",
            "output",
            "questions",
            "export",
            "table",
            "timing_table",
            "summary_table",
            "look",
            "run_warnings",
            "progress",
            "watch",
            "dry_run_table",
            "run_end",
            "dry_run",
            "run_shared",
            "run",
            "merge",
            "broker",
        ),
        *("comparing", "compare"),
        *("commands", "report", "mock_server", "options", "main"),
    ),
    "profiler.cli.comparing": ("__init__", "words", "table", "markdown", "junit"),
    "profiler.cli.options": (
        *("__init__", "values", "common", "compare", "mock_server", "running", "results", "preparing"),
    ),
    "task_kit": ("sandbox", "experiment_profiler", "leakage_modeling", "task", "stage", "cli", "__init__", "__main__"),
    "task_kit.leakage_modeling": ("__init__", "worlds", "worker", "agents"),
    "task_kit.leakage_modeling.worlds": (
        *("__init__", "law", "signals", "settings", "timeline", "family", "families", "held_out", "columns", "naming"),
        *("recording", "world", "dictionary"),
    ),
    "task_kit.leakage_modeling.worker": (
        *("__init__", "plain_text", "fitter", "frames", "nursery", "parcel", "time_limit", "telling", "session"),
        *("inside", "replies", "limits", "box", "worker"),
    ),
    "task_kit.leakage_modeling.agents": (
        *("__init__", "content", "craft", "reader", "tools", "transcript", "loop", "blind", "policies", "scripted"),
    ),
    "task_kit.sandbox": (
        *("level", "kernel", "copying", "escapes", "plan", "landlock", "privileges", "seccomp", "spec", "tree"),
        *(
            "confine",
            "container",
            "kept_folders",
            "interpreter",
            "stranger",
            "launcher",
            "view",
            "box",
            "boxes",
            "probes",
            "watch",
        ),
        *("detection", "supervisor", "inside", "zygote", "__init__"),
    ),
    # the module that finds the commands comes before them: they know the type of its parser
    "grader": (
        "workers",
        "experiment_profiler",
        "leakage_modeling",
        "training",
        "tasks",
        "cli",
        "__init__",
        "__main__",
    ),
    "grader.workers": ("__init__", "messages", "ending", "worker", "crew", "calls", "cluster"),
    "grader.training": ("__init__", "episode", "client", "modelling", "profiling"),
    "grader.experiment_profiler": ("__init__", "worlds", "boxes", "judging", "grading", "audit"),
    "grader.experiment_profiler.worlds": (
        *("__init__", "marks", "prose", "names", "near_misses", "dialogues", "edges", "manifests", "world"),
        *("foreign_logs", "replies", "truth"),
    ),
    "grader.experiment_profiler.boxes": (
        *(
            "__init__",
            "stand_in",
            "driver",
            "submission",
            "box",
            "wire",
            "plan",
            "steps",
            "layout",
            "room",
            "temporary_folder",
        ),
    ),
    "grader.experiment_profiler.judging": (
        *("__init__", "reasons", "strict", "verdict", "sheet", "artifacts", "checks", "partial"),
    ),
    "grader.experiment_profiler.grading": (
        "__init__",
        "stored",
        "threads",
        "boxed",
        "grade",
        "sent",
        "many",
        "regrade",
    ),
    "grader.experiment_profiler.audit": ("__init__", "corpus", "loot", "trial", "audit"),
    "grader.experiment_profiler.audit.corpus": ("__init__", "entries", "overlay"),
    "grader.leakage_modeling": ("__init__", "judging", "grading", "calibration"),
    "grader.leakage_modeling.judging": ("__init__", "oracle", "questions", "scores", "verdict", "evaluate"),
    "grader.leakage_modeling.grading": ("__init__", "folder", "seeds", "stored", "episodes", "regrade", "runs", "many"),
    "grader.leakage_modeling.calibration": ("__init__", "intervals", "band", "calibrate", "measure"),
    "grader.cli": (
        *(
            "__init__",
            "main",
            "hiring",
            "audit_table",
            "grade_table",
            "run_table",
            "calibrate_table",
            "audit",
            "grade",
            "run",
        ),
        *("run_actions", "calibrate_action", "calibrate", "regrade"),
    ),
}
TOP = ("profiler", "task_kit", "grader")
ENTRIES = {"profiler": 14}  # how many a newcomer is asked to look at, at most

CONSTANTS = frozenset({"profiler.__version__"})  # set before `__init__` imports anything, so safe from everywhere

FORBIDDEN = {  # package: packages it must not know
    "profiler": frozenset({"task_kit", "grader", "benchmarks", "tests"}),
    "task_kit": frozenset({"grader", "benchmarks", "tests"}),
    "grader": frozenset({"benchmarks", "tests"}),
}

# What a model is given or shows as its own runs without us: from where it is, all that it may import.
GIVEN = "task_kit/experiment_profiler"
GIVEN_IMPORTS = {
    "tools": frozenset({"anthropic"}),
    "starter": frozenset({"tools", "yaml"}),
    "reference_submission": frozenset({"tools", "yaml"}),
}

LAZY_PACKAGES = {  # what any module may import inside a function, and why
    "tools": "lies in a box only, where copies of the driver and of the stand-in for the SDK run",
    "anthropic": "takes over a second to import, and only a live run needs it",
    "genai_prices": "takes a third of a second to import, and only who asks for a price needs it",
    "ray": "an extra, and only a run on a cluster needs it",
    "rich": "start-up counts, and only a terminal needs it",
    "obstore": "an extra, and only shards that meet in an object store need it",
    "pyarrow": "an extra, and only Parquet datasets need it",
    "pandas": "an extra, and only who asks for a frame needs it",
    "uvloop": "an extra",
    "sysconfig": "takes a millisecond to import, and only who has met a bug of the user's needs it",
    "statistics": "the same, and only mocks whose calls take differently long need it",
    "re2": "only metrics with a pattern need it",
    "jsonschema": "takes a tenth of a second to import, and only who checks against a schema needs it",
    "referencing": "comes with jsonschema, and only it needs it",
    "httpx2": "comes with the SDK, and only the SDK's own path needs it",
    "task_kit": "a command of the second task imports of it only what it runs",
}
LAZY_MODULES = {  # which modules may import others of profiler inside a function, and why
    "profiler.__main__": "Ctrl-C during the imports of the command line ends it quietly",
    "profiler.cli.main": "a command imports only what it runs, so that --help stays under 100 ms",
    "profiler.cli.run": "a run in this process needs neither what processes share nor what reckons",
    "profiler.cli.run_shared": "only a run on a cluster needs its driver",
    "profiler.cli.parser": "a guess is wanted only after a usage error",
    "profiler.cli.options.values": "--help needs no value, and so not what the manifest says of it",
    "profiler.fleet.workers.range_worker": "it stands on sqlite, which only a run with --reuse needs",
    "profiler.engine.reuse": "it stands on sqlite, which only a run with --reuse needs",
    "profiler.engine.run_money": "the mock costs nothing, and only live runs keep the money of a manifest",
    "profiler.storage.reading.saved_run": "who runs or reads complete runs needs nothing that looks into unfinished ones",
    "profiler.provider.open": "the mock needs no way to a provider",
    "profiler.provider.mock": "few manifests send tools or schemas, and the others need not load what answers them",
    "profiler.__init__": "`import profiler` is cheap; a public name is loaded when it is first used",
    "profiler.provider.mock_server.pytest_plugin": "pytest loads it at every start, and few tests want the server",
    "grader.cli.main": "a command imports only what it runs",
    "grader.cli.hiring": "only a cluster needs its driver",
    "grader.cli.grade": "many submissions are graded by processes, one is not",
    "grader.cli.run": "what a command does is imported when it is used",
    "grader.cli.calibrate": "what a command does is imported when it is used",
    "grader.cli.regrade": "the second task is an extra, and only its own runs need it",
    "task_kit.sandbox.__init__": "what costs most is loaded when it is first used",
}


class Import(NamedTuple):
    target: str  # dotted and absolute: "profiler.engine.runner.run", "profiler.__version__", "anyio"
    line: int
    lazy: bool  # inside a function


class Collector(ast.NodeVisitor):
    """Every import of one module, wherever it hides."""

    def __init__(self, package: str) -> None:
        self.package = package.split(".")
        self.functions = 0
        self.found: list[Import] = []

    def add(self, target: str, line: int) -> None:
        self.found.append(Import(target, line, lazy=self.functions > 0))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.package[: len(self.package) - node.level + 1] if node.level else []
        source = [*base, node.module] if node.module else base
        for alias in node.names:
            self.add(".".join([*source, alias.name]), node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called in {"import_module", "__import__"} and node.args and isinstance(node.args[0], ast.Constant):
            self.add(str(node.args[0].value), node.lineno)
        self.generic_visit(node)

    def visit_function(self, node: ast.AST) -> None:
        self.functions += 1
        self.generic_visit(node)
        self.functions -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_function


@cache  # each rule looks at the same files
def imports(file: Path, root: Path) -> list[Import]:
    collector = Collector(package=".".join(file.relative_to(root).parent.parts))
    collector.visit(ast.parse(file.read_text(encoding="utf-8"), filename=str(file)))
    return collector.found


def name_of(file: Path, root: Path) -> str:
    """Of a module, dotted; of a package that of its `__init__`."""
    return ".".join(file.relative_to(root).with_suffix("").parts)


def given(file: Path, root: Path) -> bool:
    """Whether it belongs to what a model is given, which has rules of its own."""
    return file.is_relative_to(root / GIVEN)


def modules(root: Path, top: str) -> Iterator[tuple[Path, str]]:
    for file in sorted((root / top).rglob("*.py")):
        if not given(file, root):
            yield file, name_of(file, root)


def fork(module: str, target: str) -> tuple[str, str, str] | None:
    """The package in which the ways to two modules part, and where each goes on there; None where they do not part."""
    package, ours, theirs = "", module.split("."), target.split(".")
    for mine, other in zip(ours, [*theirs, ""], strict=False):
        if mine != other:
            order = ORDERS.get(package, ())
            return package, mine, other if other in order else "__init__"
        package = f"{package}.{mine}" if package else mine
    return None


def misplaced(root: Path, top: str) -> Iterator[str]:
    """Modules and packages without a place in the order of their package."""
    for file, module in modules(root, top):
        parts = module.split(".")
        for depth in range(1, len(parts)):
            package, member = ".".join(parts[:depth]), parts[depth]
            if member not in ORDERS.get(package, ()):
                place = file.relative_to(root)
                yield f"{place}: {member!r} has no place in the order of {package} in tests/test_layers.py yet"
                break


def upward(root: Path, top: str) -> Iterator[str]:
    """Imports inside a package that point to the right, or are hidden in a function without a reason."""
    for file, module in modules(root, top):
        for found in imports(file, root):
            place = f"{file.relative_to(root)}:{found.line}"
            if found.target.partition(".")[0] != top:
                if found.lazy and found.target.partition(".")[0] not in LAZY_PACKAGES:
                    yield f"{place}: {found.target} is imported inside a function and is not in LAZY_PACKAGES"
                continue
            parting = fork(module, found.target)
            if parting is None or found.target in CONSTANTS:
                continue
            package, mine, other = parting
            order = ORDERS.get(package, ())
            if mine in order and other in order and order.index(other) > order.index(mine):
                yield f"{place}: {mine} imports {found.target}, but {other} stands to its right in the order"
            if found.lazy and module not in LAZY_MODULES:
                yield f"{place}: {found.target} is imported inside a function and {module} is not in LAZY_MODULES"


def beyond(root: Path) -> Iterator[str]:
    """Imports of what a model would not have where its files run."""
    for part, allowed in GIVEN_IMPORTS.items():
        for file in sorted((root / GIVEN / part).rglob("*.py")):
            inside = ".".join(file.parent.relative_to(root).parts) + "."
            for found in imports(file, root):
                first = found.target.partition(".")[0]
                if not (found.target.startswith(inside) or first in allowed | sys.stdlib_module_names):
                    yield f"{file.relative_to(root)}:{found.line}: {part} must do without {found.target}"


def across(root: Path) -> Iterator[str]:
    """Imports of a package that the importing one must not know."""
    for package, forbidden in FORBIDDEN.items():
        for file in sorted((root / package).rglob("*.py")):
            for found in imports(file, root):
                if found.target.partition(".")[0] in forbidden:
                    yield f"{file.relative_to(root)}:{found.line}: {package} must not know {found.target}"


def violations(root: Path) -> list[str]:
    placed = [line for top in TOP for line in (*misplaced(root, top), *upward(root, top))]
    return [*placed, *across(root), *beyond(root)]


def test_imports_point_one_way() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize("package", ORDERS)
def test_every_name_in_an_order_is_a_member_of_its_package(package: str) -> None:
    folder = ROOT / Path(*package.split("."))
    written = {file.stem for file in folder.glob("*.py")}
    written |= {file.parent.name for file in folder.glob("*/__init__.py")} - {"tools"}  # given to a model
    if package == "task_kit":
        written.add("experiment_profiler")  # files that a model is given, and no package of ours

    assert len(set(ORDERS[package])) == len(ORDERS[package])
    assert set(ORDERS[package]) == written


@pytest.mark.parametrize(("top", "most"), ENTRIES.items())
def test_the_first_look_is_short(top: str, most: int) -> None:
    listed = {path.name for path in (ROOT / top).iterdir() if path.name != "__pycache__"}

    assert len(listed) <= most, sorted(listed)


def test_importing_a_package_loads_nothing() -> None:
    for package in (name for name in ORDERS if name.startswith("profiler.")):
        body = ast.parse((ROOT / Path(*package.split(".")) / "__init__.py").read_text(encoding="utf-8")).body

        assert all(isinstance(node, ast.Expr) for node in body), package  # its docstring


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("profiler/core/json.py", "from profiler.engine.runner import run", "engine stands to its right"),
        ("profiler/core/json.py", "from profiler.engine import runner", "engine stands to its right"),
        ("profiler/core/json.py", "import profiler.engine.runner as later", "engine stands to its right"),
        ("profiler/core/json.py", "from ..engine import runner", "engine stands to its right"),
        ("profiler/core/json.py", "from . import plugins", "plugins stands to its right"),
        ("profiler/core/json.py", "from .plugins import load", "plugins stands to its right"),
        (
            "profiler/core/json.py",
            "if TYPE_CHECKING:\n    import profiler.engine.calls.pool",
            "engine stands to its right",
        ),
        ("profiler/core/json.py", "try:\n    import profiler.cli\nexcept ImportError: pass", "cli stands to its right"),
        ("profiler/core/json.py", "import_module('profiler.engine.runner')", "engine stands to its right"),
        ("profiler/core/json.py", "import profiler", "__init__ stands to its right"),
        ("profiler/core/json.py", "from profiler import *", "__init__ stands to its right"),
        ("profiler/core/json.py", "from profiler.nowhere import x", "__init__ stands to its right"),
        ("profiler/provider/mock.py", "from ..engine.pool import Pool", "engine stands to its right"),
        ("profiler/provider/http/proxy.py", "from profiler.provider import fast", "fast stands to its right"),
        ("profiler/engine/slots.py", "from profiler.engine.calls.pool import Pool", "calls stands to its right"),
        ("profiler/engine/runner.py", "def f():\n    from profiler.core.json import loads", "not in LAZY_MODULES"),
        (
            "profiler/engine/runner.py",
            "class C:\n    async def f(self):\n        import tomllib",
            "not in LAZY_PACKAGES",
        ),
        ("profiler/engine/runner.py", "import grader.cli", "profiler must not know grader"),
        ("profiler/engine/runner.py", "def f():\n    import task_kit", "profiler must not know task_kit"),
        ("task_kit/stage.py", "from grader import cli", "task_kit must not know grader"),
        ("task_kit/sandbox/box.py", "from task_kit.stage import stage", "stage stands to its right"),
        ("task_kit/helpers.py", "", "'helpers' has no place"),
        (f"{GIVEN}/tools/dataset.py", "import profiler", "tools must do without profiler"),
        (f"{GIVEN}/tools/dataset.py", "from ..starter import x", "tools must do without task_kit"),
        (f"{GIVEN}/tools/dataset.py", "import yaml", "tools must do without yaml"),
        (f"{GIVEN}/starter/experiment_profiler/cli.py", "import task_kit", "starter must do without task_kit"),
        ("profiler/utils.py", "", "'utils' has no place"),
        ("profiler/helpers/text.py", "", "'helpers' has no place"),
        ("profiler/engine/calls/pool/worker.py", "", "'worker' has no place"),
    ],
)
def test_a_violation_is_caught(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    found = violations(tree(tmp_path, {file: text}))

    assert any(complaint in line and line.startswith(file) for line in found), found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "profiler/engine/runner.py",
            "from profiler.core import json\nfrom .pool import Pool\nimport profiler.core.errors",
        ),
        ("profiler/cli/table.py", "from profiler import __version__"),
        ("profiler/cli/table.py", "def show():\n    from rich.table import Table"),
        ("profiler/cli/main.py", "def command():\n    from profiler.engine.runner import run"),
        ("profiler/provider/fast.py", "from profiler.provider.client import Client\nfrom . import client"),
        ("profiler/__init__.py", "from profiler.engine.runner import run"),
        ("task_kit/stage.py", "import profiler"),
        ("task_kit/stage.py", "from task_kit.task import Task"),
        (f"{GIVEN}/tools/dataset.py", "import json\nfrom .logging_utils import loads\nfrom . import metrics"),
        (
            f"{GIVEN}/starter/experiment_profiler/cli.py",
            "import yaml\nfrom tools import dataset\nfrom .config import x",
        ),
        ("grader/cli/grade.py", "import profiler, task_kit"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, file: str, text: str) -> None:
    assert violations(tree(tmp_path, {file: text})) == []


# --- the story ---------------------------------------------------------------------------------------------------


def entries(function: ast.AST, imported: dict[str, str]) -> Counter[str]:
    """How often a function names something that was imported, by the module that it comes from."""
    named = (each for each in ast.walk(function) if isinstance(each, ast.Name))
    return Counter(imported[each.id] for each in named if each.id in imported)


def test_the_story_of_a_run_enters_each_module_at_most_twice() -> None:
    """So that a reader follows it down without coming back to what he has left. What only types need is not entered."""
    tree = ast.parse((ROOT / "profiler/engine/runner.py").read_text(encoding="utf-8"))
    imports = [
        each for each in tree.body if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("profiler.")
    ]
    imported = {
        name.name: f"{each.module}.{name.name}" if f"{each.module}" in ORDERS else f"{each.module}"
        for each in imports
        for name in each.names
    }
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {each.name: (each.end_lineno or 0) - each.lineno + 1 for each in functions}
    entered = {each.name: entries(ast.Module(body=each.body, type_ignores=[]), imported) for each in functions}

    assert {"run_all", "_run_one"} <= lengths.keys()
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
    assert {
        (name, module): times for name, modules in entered.items() for module, times in modules.items() if times > 2
    } == {}
