"""The agent's variables, which live on between calls, and the calls on them. Runs in the box."""

from __future__ import annotations

import ast
import difflib
import linecache
import sys
import types
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pandas as pd
import scipy
import sklearn
import sklearn.base

from task_kit.leakage_modeling.worker.plain_text import clean
from task_kit.leakage_modeling.worker.telling import Capped, one_line, short_traceback
from task_kit.leakage_modeling.worker.time_limit import TimeUp, within

if TYPE_CHECKING:
    from collections.abc import Mapping

QUICK_S = 5.0


class Session:
    def __init__(self, train: pd.DataFrame, test: pd.DataFrame) -> None:
        self._module = types.ModuleType("__main__")
        self._variables = self._module.__dict__
        self._variables |= {
            "train_df": train,
            "test_df": test,
            "pd": pd,
            "np": np,
            "sklearn": sklearn,
            "scipy": scipy,
        }
        self._calls = 0
        sys.modules["__main__"] = self._module

    def run(self, code: str, *, seconds: float, most: int) -> dict[str, Any]:
        """Execute code. The value of its last expression is printed, as at a prompt."""
        self._calls += 1
        name = f"<call {self._calls}>"
        # Tracebacks show the lines of this call.
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        out = Capped(most)
        error = None
        with redirect_stdout(out), redirect_stderr(out):
            try:
                within(seconds, lambda: self._execute(code, name))
            except TimeUp as up:
                error = f"stopped after {up.said}; variables that were set before are still there"
            except BaseException as raised:  # noqa: BLE001 (whatever the code raises is its own answer)
                error = short_traceback(raised)
        return {"stdout": clean(out.text), "cut": out.cut, "error": error}

    def value(self, name: str, *, most: int) -> tuple[dict[str, Any], list[bytes]]:
        """The numbers of a variable, if there are not too many."""
        try:
            numbers = within(QUICK_S, lambda: _as_numbers(self._variable(name), name, most=most))
        except BaseException as error:  # noqa: BLE001 (an object of the agent's may raise anything)
            return {"error": one_line(error), "shape": None}, []
        return {"error": None, "shape": list(numbers.shape)}, [numbers.tobytes()]

    def packed(self, name: str) -> tuple[dict[str, Any], list[bytes]]:
        """An unfitted copy of a pipeline as bytes, which another process can fit; or the reason why there is none."""
        try:
            found = within(QUICK_S, lambda: _pack(_clone_of(self._variable(name), name), name))
        except BaseException as error:  # noqa: BLE001 (an object of the agent's may raise anything)
            return {"error": one_line(error)}, []
        return {"error": None}, [found]

    def _variable(self, name: str) -> Any:
        if name in self._variables:
            return self._variables[name]
        near = difflib.get_close_matches(name, _own(self._variables), n=1)
        raise NameError(f"there is no variable {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))

    def _execute(self, code: str, name: str) -> None:
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), self._variables)  # noqa: S102 (that is the tool)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), self._variables)  # noqa: S307
            if value is not None:
                print(repr(value))


def _own(variables: Mapping[Any, Any]) -> list[str]:
    return [name for name in variables if isinstance(name, str) and not name.startswith("_")]


def _as_numbers(value: Any, name: str, *, most: int) -> np.ndarray:
    found = np.asarray(value)
    if found.size > most:
        raise ValueError(f"{name}: found shape {found.shape}, more numbers than anybody asks for")
    if found.dtype.kind not in "fiu":
        raise TypeError(f"{name}: found values of type {found.dtype}, expected numbers")
    return np.ascontiguousarray(found, dtype="<f8")


def _clone_of(pipeline: Any, name: str) -> Any:
    """The pipeline unfitted, as the grader will fit it."""
    for method in ("fit", "predict_proba"):
        if not callable(getattr(pipeline, method, None)):
            raise TypeError(f"{name}: found {type(pipeline).__name__} without {method}()")
    return sklearn.base.clone(pipeline)


def _pack(pipeline: Any, name: str) -> bytes:
    try:
        return bytes(cloudpickle.dumps(pipeline))
    except Exception as error:
        raise TypeError(f"{name}: cannot be copied to the process that fits it: {one_line(error)}") from error
