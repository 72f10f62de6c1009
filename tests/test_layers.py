"""Imports point one way: each module of a package knows only what stands before it in the package's order."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

ORDER = (
    *("model", "errors", "codec", "own"),
    *("document", "scalars", "yaml_nodes", "settings", "words", "fields", "layers", "matrix", "overrides"),
    *("rules", "forms", "manifest", "schema", "scaffold"),
    *("duplicates", "dialogue_faults", "dialogue", "json_array", "dataset_formats", "dataset"),
    *(
        "classify",
        "plan",
        "retry",
        "limits",
        "pace",
        "pause",
        "bucket",
        "bound",
        "gate",
        "prices",
        "price_list",
        "budget",
        "clients",
    ),
    *(
        "linefile",
        "order",
        "writer",
        "job",
        "seats",
        "till",
        "refusals",
        "traffic",
        "ending",
        "pool",
        "asking",
        "journal",
        "resume",
        "ledger",
    ),
    *("stats", "metrics", "totals", "logs", "reduce", "summary", "rundir"),
    *(
        "table",
        "progress",
        "options",
        "identity",
        "kept",
        "estimate",
        "calling",
        "runner",
        "doctor",
        "told",
        "server",
        "commands",
        "arguments",
        "cli",
    ),
    *("__init__", "__main__"),
)

TASK_KIT = ("sandbox", "experiment_profiler", "leakage_modeling", "task", "stage", "cli", "__init__", "__main__")

GRADER = (
    *("reasons", "verdict", "sheet", "strict", "prose", "worlds", "foreign", "truth", "submission"),
    *("driver", "boxes", "artifacts", "checks", "pool", "grade", "stored", "regrade", "many"),
    *("corpus", "loot", "trial", "audit"),
    *("table", "audit_table"),
    # commands are found by their names, and know the type of their parser; a run of the second task is graded again too
    *("cli", "leakage_modeling", "grade_command", "regrade_command", "audit_command"),
    *("__init__", "__main__"),
)

ORDERS = {"profiler": ORDER, "task_kit": TASK_KIT, "grader": GRADER}

SUBPACKAGES = {  # one name each in the order of their package
    "profiler": frozenset({"clients", "server"}),  # interchangeable implementations, a program of its own
    "task_kit": frozenset({"sandbox", "experiment_profiler", "leakage_modeling"}),  # what both sides need, the tasks
    "grader": frozenset({"corpus", "leakage_modeling"}),  # known submissions; a task, with all that is its own
}
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
    "anthropic": "takes over a second to import, and only a live run needs it",
    "genai_prices": "takes a third of a second to import, and only who asks for a price needs it",
    "rich": "start-up counts, and only a terminal needs it",
    "pyarrow": "an extra, and only Parquet datasets need it",
    "uvloop": "an extra",
    "httpx2": "comes with the SDK, and only the SDK's own path needs it",
    "task_kit": "a command of the second task imports of it only what it runs",
}
LAZY_MODULES = {  # which modules may import others of profiler inside a function, and why
    "cli": "a command imports only what it runs, so that --help stays under 100 ms",
    "__init__": "`import profiler` is cheap; a public name is loaded when it is first used",
    "regrade_command": "the second task is an extra, and only its own runs need it",
}


class Import(NamedTuple):
    target: str  # dotted and absolute: "profiler.runner.run", "profiler.__version__", "anyio"
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


def imports(file: Path, root: Path) -> list[Import]:
    collector = Collector(package=".".join(file.relative_to(root).parent.parts))
    collector.visit(ast.parse(file.read_text(encoding="utf-8"), filename=str(file)))
    return collector.found


def layer(file: Path, package: Path) -> str:
    """The name under which a file stands in the order of its package."""
    first, *rest = file.relative_to(package).parts
    return first if rest else file.stem


def known_layer(target: str, package: str) -> str | None:
    """The name in the package's order that an import of it means; None for other packages."""
    first, _, rest = target.partition(".")
    if first != package:
        return None
    name = rest.partition(".")[0]
    return name if name in ORDERS[package] else "__init__"


def misplaced(root: Path, package: str) -> Iterator[str]:
    """Modules without a place in the order, and sub-packages nobody agreed on."""
    folder = root / package
    for file in sorted(folder.rglob("*.py")):
        name = layer(file, folder)
        if name not in ORDERS[package]:
            yield f"{file.relative_to(root)}: {name!r} has no place in the order of tests/test_layers.py yet"
        elif file.parent != folder and name not in SUBPACKAGES[package]:
            yield f"{file.relative_to(root)}: {name!r} is a package, but only {sorted(SUBPACKAGES[package])} may be"


def upward(root: Path, package: str) -> Iterator[str]:
    """Imports inside a package that point to the right, or are hidden in a function without a reason."""
    folder, order = root / package, ORDERS[package]
    for file in sorted(folder.rglob("*.py")):
        name = layer(file, folder)
        for found in imports(file, root):
            place = f"{file.relative_to(root)}:{found.line}"
            other = known_layer(found.target, package)
            if other is None:
                if found.lazy and found.target.partition(".")[0] not in LAZY_PACKAGES:
                    yield f"{place}: {found.target} is imported inside a function and is not in LAZY_PACKAGES"
                continue
            if other == name or found.target in CONSTANTS:
                continue
            if name in order and order.index(other) > order.index(name):
                yield f"{place}: {name} imports {found.target}, but {other} stands to its right in the order"
            if found.lazy and name not in LAZY_MODULES:
                yield f"{place}: {found.target} is imported inside a function and {name} is not in LAZY_MODULES"


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
    placed = [line for package in ORDERS for line in (*misplaced(root, package), *upward(root, package))]
    return [*placed, *across(root), *beyond(root)]


def test_imports_point_one_way() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize("package", ORDERS)
def test_every_name_in_the_order_is_a_module(package: str) -> None:
    written = {layer(file, ROOT / package) for file in (ROOT / package).rglob("*.py")}

    assert len(set(ORDERS[package])) == len(ORDERS[package])
    assert set(ORDERS[package]) == written


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("profiler/codec.py", "from profiler.runner import run", "runner stands to its right"),
        ("profiler/codec.py", "from profiler import runner", "runner stands to its right"),
        ("profiler/codec.py", "import profiler.runner as later", "runner stands to its right"),
        ("profiler/codec.py", "from . import runner", "runner stands to its right"),
        ("profiler/codec.py", "from .runner import run", "runner stands to its right"),
        ("profiler/codec.py", "if TYPE_CHECKING:\n    from profiler.runner import run", "runner stands to its right"),
        (
            "profiler/codec.py",
            "try:\n    import profiler.runner\nexcept ImportError: pass",
            "runner stands to its right",
        ),
        ("profiler/codec.py", "import_module('profiler.runner')", "runner stands to its right"),
        ("profiler/codec.py", "import profiler", "__init__ stands to its right"),
        ("profiler/codec.py", "from profiler import *", "__init__ stands to its right"),
        ("profiler/codec.py", "from profiler.nowhere import x", "__init__ stands to its right"),
        ("profiler/clients/mock.py", "from ..pool import Pool", "pool stands to its right"),
        ("profiler/runner.py", "def f():\n    from profiler.codec import loads", "not in LAZY_MODULES"),
        ("profiler/runner.py", "class C:\n    async def f(self):\n        import tomllib", "not in LAZY_PACKAGES"),
        ("profiler/runner.py", "import grader.verdict", "profiler must not know grader"),
        ("profiler/runner.py", "def f():\n    import task_kit", "profiler must not know task_kit"),
        ("task_kit/stage.py", "from grader import verdict", "task_kit must not know grader"),
        ("task_kit/sandbox/box.py", "from task_kit.stage import stage", "stage stands to its right"),
        ("task_kit/helpers.py", "", "'helpers' has no place"),
        (f"{GIVEN}/tools/dataset.py", "import profiler", "tools must do without profiler"),
        (f"{GIVEN}/tools/dataset.py", "from ..starter import x", "tools must do without task_kit"),
        (f"{GIVEN}/tools/dataset.py", "import yaml", "tools must do without yaml"),
        (f"{GIVEN}/starter/experiment_profiler/cli.py", "import task_kit", "starter must do without task_kit"),
        ("profiler/utils.py", "", "'utils' has no place"),
        ("profiler/helpers/text.py", "", "'helpers' has no place"),
        ("profiler/pool/worker.py", "", "'pool' is a package"),
    ],
)
def test_a_violation_is_caught(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    found = violations(tree(tmp_path, {file: text}))

    assert any(complaint in line and line.startswith(file) for line in found), found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("profiler/runner.py", "from profiler import codec\nfrom .pool import Pool\nimport profiler.errors"),
        ("profiler/table.py", "from profiler import __version__"),
        ("profiler/table.py", "def show():\n    from rich.table import Table"),
        ("profiler/cli.py", "def command():\n    from profiler.runner import run"),
        ("profiler/clients/mock.py", "from profiler.clients.base import Client\nfrom . import base"),
        ("profiler/__init__.py", "from profiler.runner import run"),
        ("task_kit/stage.py", "import profiler"),
        ("task_kit/stage.py", "from task_kit.task import Task"),
        (f"{GIVEN}/tools/dataset.py", "import json\nfrom .logging_utils import loads\nfrom . import metrics"),
        (
            f"{GIVEN}/starter/experiment_profiler/cli.py",
            "import yaml\nfrom tools import dataset\nfrom .config import x",
        ),
        ("grader/verdict.py", "import profiler, task_kit"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, file: str, text: str) -> None:
    assert violations(tree(tmp_path, {file: text})) == []
