"""What runs in the box: a namespace that lives on between calls, and the fits and predictions that the grader asks for.

Comes in: parcels over the one socket it is given. Goes out: one parcel for each. It never sees a label that the agent
may not see, so it keeps no secret; what it says is checked outside. It is not importable from the code it runs.
"""

from __future__ import annotations

import ast
import difflib
import io
import linecache
import os
import selectors
import signal
import sys
import time
import traceback
import types
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import joblib
import numpy as np
import pandas as pd
import scipy
import sklearn
import sklearn.base

from task_kit.leakage_modeling.worker.frames import rebuild_all
from task_kit.leakage_modeling.worker.parcel import pack, unpack

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

FRAMING = 8
SHOWN_FRAMES = 4
LONGEST_TRACEBACK = 2_000
LONGEST_LINE = 500
QUICK_S = 5.0
NICE = 5  # one grader answers many workers: whoever waits for it would wait for all of them


class TimeUp(BaseException):
    """The call has had its time. No `except Exception` of the code that ran holds it up."""


class Capped(io.TextIOBase):
    """Keeps the beginning of what is written and counts the rest."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._kept: list[str] = []
        self.cut = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        kept = text[: self._left]
        if kept:
            self._kept.append(kept)
            self._left -= len(kept)
        self.cut += len(text) - len(kept)
        return len(text)

    @property
    def text(self) -> str:
        return "".join(self._kept)


class Session:
    """The agent's variables, and everything that is done with them."""

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
        """Execute code; the value of its last expression is printed, as at a prompt."""
        self._calls += 1
        name = f"<call {self._calls}>"
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        out = Capped(most)
        error = None
        with redirect_stdout(out), redirect_stderr(out):
            try:
                _within(seconds, lambda: self._execute(code, name))
            except TimeUp:
                error = f"stopped after {seconds:g} s; variables that were set before are still there"
            except BaseException as raised:  # noqa: BLE001 (whatever the code raises is its own answer)
                error = short_traceback(raised)
        return {"stdout": _printable(out.text), "cut": out.cut, "error": None if error is None else _printable(error)}

    def value(self, name: str, *, most: int) -> tuple[dict[str, Any], list[bytes]]:
        """The numbers of a variable, if they are not too many."""
        try:
            numbers = _within(QUICK_S, lambda: _as_numbers(self._variable(name), name, most=most))
        except BaseException as error:  # noqa: BLE001 (an object of the agent's may raise anything)
            return {"error": _said(error), "shape": None}, []
        return {"error": None, "shape": list(numbers.shape)}, [numbers.tobytes()]

    def pipeline_fault(self, name: str) -> str | None:
        """Why a variable cannot be fitted and asked again by the grader."""
        try:
            _within(QUICK_S, lambda: _clone_of(self._variable(name), name))
        except BaseException as error:  # noqa: BLE001 (an object of the agent's may raise anything)
            return _said(error)
        return None

    def fitted(self, name: str, train: pd.DataFrame, target: str) -> Any:
        """A clone of the pipeline, fitted on nothing but the rows that came with the request."""
        model = _clone_of(self._variable(name), name)
        model.fit(train.drop(columns=target), train[target].to_numpy())
        return model

    def _variable(self, name: str) -> Any:
        if name in self._variables:
            return self._variables[name]
        near = difflib.get_close_matches(name, [known for known in self._variables if not known.startswith("_")], n=1)
        raise NameError(f"there is no variable {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))

    def _execute(self, code: str, name: str) -> None:
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), self._variables)  # noqa: S102 (that is the tool)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), self._variables)  # noqa: S307
            if value is not None:
                print(repr(value))


def serve(connection: socket.socket) -> None:
    """Answer parcels until the other side hangs up."""
    joblib.parallel_config(backend="sequential")  # a box has no room for other processes, and the cores are shared
    os.nice(NICE)
    connection.setblocking(True)
    header, blobs = unpack(_receive(connection))
    train, test = rebuild_all([header["train"], header["test"]], blobs)
    session = Session(train, test)
    _send(connection, pack({"id": header["id"], "ready": True}))
    while True:
        header, blobs = unpack(_receive(connection))
        said, found = _answer(session, header, blobs)
        _send(connection, pack({"id": header["id"], **said}, found))


def _answer(session: Session, header: dict[str, Any], blobs: list[memoryview]) -> tuple[dict[str, Any], list[bytes]]:
    match header["do"]:
        case "run":
            return session.run(header["code"], seconds=header["seconds"], most=header["most"]), []
        case "value":
            return session.value(header["name"], most=header["most"])
        case "pipeline":
            return {"error": session.pipeline_fault(header["name"])}, []
        case "predict":
            return _fit_and_predict(session, header, blobs)
        case other:
            raise ValueError(f"found {other!r}, expected run, value, pipeline or predict")


def _fit_and_predict(
    session: Session, header: dict[str, Any], blobs: list[memoryview]
) -> tuple[dict[str, Any], list[bytes]]:
    """Fit once, then predict each frame in a fork of its own, which takes what it saw to its grave."""
    ends = time.monotonic() + header["seconds"]
    train, *asked = rebuild_all([header["train"], *header["frames"]], blobs)
    nowhere = Capped(0)
    stage = "fit"
    with redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            model = _within(header["seconds"], lambda: session.fitted(header["name"], train, header["target"]))
            stage = "predict"
            found = [_forked(partial(_positive, model, frame), ends=ends) for frame in asked]
        except TimeUp:
            return _fault("timeout", stage, f"it took longer than {header['seconds']:g} s"), []
        except BaseException as error:  # noqa: BLE001 (whatever the pipeline raises is its own answer)
            return _fault("contract", stage, _said(error)), []
    return {"fault": None}, found


def _fault(kind: str, stage: str, said: str) -> dict[str, Any]:
    return {"fault": {"kind": kind, "stage": stage, "said": _printable(said)}}


def _as_numbers(value: Any, name: str, *, most: int) -> np.ndarray:
    found = np.asarray(value)
    if found.size > most:
        raise ValueError(f"{name}: found shape {found.shape}, more numbers than anybody asks for")
    if found.dtype.kind not in "fiu":
        raise TypeError(f"{name}: found values of type {found.dtype}, expected numbers")
    return np.ascontiguousarray(found, dtype="<f8")


def _clone_of(pipeline: Any, name: str) -> Any:
    """Unfitted, as the grader fits it."""
    for method in ("fit", "predict_proba"):
        if not callable(getattr(pipeline, method, None)):
            raise TypeError(f"{name}: found {type(pipeline).__name__} without {method}()")
    return sklearn.base.clone(pipeline)


def _positive(model: Any, frame: pd.DataFrame) -> bytes:
    """P(y = 1) for each row, as raw bytes."""
    found = np.asarray(model.predict_proba(frame), dtype="<f8")
    if found.shape != (len(frame), 2):
        raise ValueError(f"predict_proba gave shape {found.shape}, expected {(len(frame), 2)}")
    classes = list(getattr(model, "classes_", (0, 1)))
    if classes not in ([0, 1], [False, True]):
        raise ValueError(f"the classes are {classes}, expected [0, 1]")
    return np.ascontiguousarray(found[:, 1]).tobytes()


def _forked(work: Callable[[], bytes], *, ends: float) -> bytes:
    """What a child process makes of it. The child starts as this process stands, and nothing it does comes back."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _report(work, writing)
    os.close(writing)
    try:
        message = _read_until(reading, ends)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said, blobs = unpack(message)
    if said["error"] is not None:
        raise RuntimeError(said["error"])
    return bytes(blobs[0])


def _report(work: Callable[[], bytes], writing: int) -> NoReturn:
    """The whole life of a child: it leaves without the farewells of its parent."""
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        message = pack({"error": None}, [work()])
    except BaseException as error:  # noqa: BLE001 (its parent tells)
        message = pack({"error": _printable(_said(error))})
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(message)
        pipe.flush()
        os._exit(0)


def _read_until(fd: int, ends: float) -> bytes:
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        while selector.select(max(0.0, ends - time.monotonic())):
            part = os.read(fd, 1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)
    raise TimeUp


def _within(seconds: float, do: Callable[[], Any]) -> Any:
    """Its result, or `TimeUp` in the middle of it. What does not let signals in is ended from outside."""
    signal.signal(signal.SIGALRM, _time_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return do()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _time_up(*_: object) -> NoReturn:
    raise TimeUp


def short_traceback(error: BaseException) -> str:
    """Where in the agent's own code it happened, and what."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<call ")]
    places = [_place(frame) for frame in own]
    left_out = [f"  … {len(own) - SHOWN_FRAMES} more calls"] if len(own) > SHOWN_FRAMES else []
    what = "".join(traceback.format_exception_only(error)).rstrip()
    if len(what) > LONGEST_TRACEBACK:
        what = f"{what[:LONGEST_TRACEBACK]}…"
    return "\n".join([*left_out, *places[-SHOWN_FRAMES:], what])


def _place(frame: traceback.FrameSummary) -> str:
    line = frame.line or ""
    shown = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"
    return f"  {frame.filename}, line {frame.lineno}, in {frame.name[:LONGEST_LINE]}\n    {shown}"


def _said(error: BaseException) -> str:
    """One line of an error; also when its own words fail."""
    if isinstance(error, TimeUp):
        return f"it took longer than {QUICK_S:g} s"
    what = " ".join("".join(traceback.format_exception_only(error)).split())
    return what if len(what) <= 500 else f"{what[:499]}…"


def _printable(text: str) -> str:
    """Without half characters, which no JSON reader takes."""
    return text.encode("utf-8", "replace").decode()


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(len(message).to_bytes(FRAMING, "big") + message)


def _receive(connection: socket.socket) -> bytes:
    return _exactly(connection, int.from_bytes(_exactly(connection, FRAMING), "big"))


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise SystemExit
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


__all__: Sequence[str] = ("serve",)
