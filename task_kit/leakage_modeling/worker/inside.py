"""What runs in a box. The first message says what the box is for:

    session   an agent's variables, which live on between calls, until the other side closes
    fit       one pipeline and the training rows; the fitted pipeline goes back as bytes
    predict   one fitted pipeline and one frame; the probabilities go back

A box that fits gets the training rows and nothing else, and each frame is predicted in a box of its own, which ends
afterwards. So no pipeline sees a frame while it is fitted, or two frames together. No box gets a label that the agent
may not see, so it has no secret to keep. What it says is checked outside.
"""

from __future__ import annotations

import os
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import cloudpickle
import joblib
import numpy as np

from task_kit.leakage_modeling.worker.frames import rebuild
from task_kit.leakage_modeling.worker.parcel import pack, unpack
from task_kit.leakage_modeling.worker.session import Session
from task_kit.leakage_modeling.worker.telling import Capped, one_line
from task_kit.leakage_modeling.worker.time_limit import TimeUp, within

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import pandas as pd

FRAMING = 8
NICE = 5  # one grader answers many workers, so it should not have to wait for them

Answer = tuple[dict[str, Any], list[bytes]]


def serve(connection: socket.socket) -> None:
    """Do what the first message asks for."""
    joblib.parallel_config(backend="sequential")  # a box has no room for other processes, and the cores are shared
    os.nice(NICE)
    connection.setblocking(True)
    header, blobs = unpack(_receive(connection))
    match header["do"]:
        case "session":
            _serve_session(connection, header, blobs)
        case "fit":
            _reply(connection, header, _fit(header, blobs))
        case "predict":
            _reply(connection, header, _predict(header, blobs))
        case other:
            raise ValueError(f"found {other!r}, expected session, fit or predict")


def _serve_session(connection: socket.socket, header: dict[str, Any], blobs: list[memoryview]) -> None:
    rest = iter(blobs)
    session = Session(rebuild(header["train"], rest), rebuild(header["test"], rest))
    del rest, blobs
    _reply(connection, header, ({"ready": True}, []))
    while True:
        header, _ = unpack(_receive(connection))
        _reply(connection, header, _answer(session, header))


def _answer(session: Session, header: dict[str, Any]) -> Answer:
    match header["do"]:
        case "run":
            return session.run(header["code"], seconds=header["seconds"], most=header["most"]), []
        case "value":
            return session.value(header["name"], most=header["most"])
        case "pack":
            return session.packed(header["name"])
        case other:
            raise ValueError(f"found {other!r}, expected run, value or pack")


def _fit(header: dict[str, Any], blobs: list[memoryview]) -> Answer:
    packed, *columns = blobs
    train = rebuild(header["train"], iter(columns))
    features, outcome = train.drop(columns=header["target"]), train[header["target"]].to_numpy()

    def work() -> bytes:
        model = cloudpickle.loads(packed)
        model.fit(features, outcome)
        return bytes(cloudpickle.dumps(model))

    return _done(work, seconds=header["seconds"])


def _predict(header: dict[str, Any], blobs: list[memoryview]) -> Answer:
    packed, *columns = blobs
    frame = rebuild(header["frame"], iter(columns))
    return _done(lambda: _positive(cloudpickle.loads(packed), frame), seconds=header["seconds"])


def _done(work: Callable[[], bytes], *, seconds: float) -> Answer:
    """The result of the pipeline's work, or how it failed."""
    nowhere = Capped(0)
    with redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            return {"fault": None}, [within(seconds, work)]
        except TimeUp as up:
            return {"fault": {"kind": "slept" if up.slept else "computed", "said": one_line(up)}}, []
        except BaseException as error:  # noqa: BLE001 (whatever the pipeline raises is its own answer)
            return {"fault": {"kind": "contract", "said": one_line(error)}}, []


def _positive(model: Any, frame: pd.DataFrame) -> bytes:
    """P(y = 1) for each row, as raw bytes."""
    found = np.asarray(model.predict_proba(frame), dtype="<f8")
    if found.shape != (len(frame), 2):
        raise ValueError(f"predict_proba gave shape {found.shape}, expected {(len(frame), 2)}")
    classes = list(getattr(model, "classes_", (0, 1)))
    if classes not in ([0, 1], [False, True]):
        raise ValueError(f"the classes are {classes}, expected [0, 1]")
    return np.ascontiguousarray(found[:, 1]).tobytes()


def _reply(connection: socket.socket, header: dict[str, Any], answer: Answer) -> None:
    said, found = answer
    message = pack({"id": header["id"], **said}, found)
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
