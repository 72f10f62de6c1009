"""Settings for all tests: no property test fails because a machine is busy, and tests that take minutes run only on
request."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent

# Several workers share the cores. Threads of linear algebra would wait for each other by spinning, which takes longer
# than what they compute. Libraries read this when they are imported.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")

# Modules and test items live as long as the session. Looking through them for garbage again and again would cost a
# tenth of the suite: it begins once they are all there, and passes them over.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    """Each worker begins with other modules, so that in a fresh clone each compiles a part of them for all."""
    worker = getattr(config, "workerinput", None)
    if worker is None or config.args != config.getini("testpaths"):
        return
    modules = sorted(str(path) for path in TESTS.rglob("test_*.py"))
    first = len(modules) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    config.args[:] = modules[first:] + modules[:first]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that grade whole corpora too")


def pytest_report_header(config: pytest.Config) -> str | None:
    if config.getoption("--long"):
        return None
    return (
        "tests that take seconds are marked `slow`, and -m 'not slow' leaves them out; those that take minutes are marked"
        " `long` and left out, `make test-long` runs them"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path)  # all workers must have the same order
    if config.getoption("--long"):
        return
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
    items[:] = [item for item in items if item.get_closest_marker("long") is None]


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
