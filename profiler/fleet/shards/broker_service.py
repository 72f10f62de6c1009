"""A broker for commands that share a run and know nothing of each other: it serves them until it is stopped.

The token that lets them in comes from the environment, or stands for as long as the broker serves in a file that only its
owner can read, in the folder that all of them see.
"""

from __future__ import annotations

import os
import secrets
import signal
from typing import TYPE_CHECKING

import anyio

from profiler.core.errors import ProfilerError, UsageError
from profiler.core.one_error import one_error
from profiler.fleet.broker.desk import Desk
from profiler.fleet.broker.process import TOKEN
from profiler.fleet.broker.server import BrokerServer
from profiler.fleet.broker.wire import place_of
from profiler.fleet.drivers.reached_broker import ReachedBroker
from profiler.fleet.shares import settings_of_broker
from profiler.fleet.spending import own_cap
from profiler.storage.shared_runs.ranges import RangeFolders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from profiler.engine.options import Options
    from profiler.manifest.settings import Experiment

TOKEN_FILE = "broker-token"  # noqa: S105 (a name)


async def serve_broker(
    experiment: Experiment,
    *,
    options: Options,
    workers: int,
    host: str,
    port: int,
    environ: Mapping[str, str],
    tell: Callable[[str], None],
) -> None:
    """Serve until a signal comes. `workers` is how many will ever ask at once."""
    folders = RangeFolders(options.folder_of(experiment))
    cap = own_cap(experiment, options, several=False)
    gone = folders.money().gone if folders.table() is not None else 0
    settings = settings_of_broker(experiment, options, workers=workers, cap=cap, gone=gone, kept=0)
    desk = Desk(settings, folder=folders.root)
    path = None if environ.get(TOKEN) else folders.root / TOKEN_FILE
    token = environ.get(TOKEN) or _written(folders.root / TOKEN_FILE)
    try:
        with one_error():
            async with BrokerServer(desk, token=token).serving(host, port) as found:
                tell(f"listening on tcp://{host}:{found}; the token is in {TOKEN if path is None else path}")
                with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                    async for _ in signals:
                        break
    except OSError as error:
        raise ProfilerError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    finally:
        desk.close()
        if path is not None:
            path.unlink(missing_ok=True)


def _written(path: Path) -> str:
    """A new token, in a file that only its owner could ever read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    token = secrets.token_urlsafe(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    return token


def token_of(folders: RangeFolders, environ: Mapping[str, str]) -> str:
    """The one that the broker of this run wants."""
    if token := environ.get(TOKEN):
        return token
    path = folders.root / TOKEN_FILE
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"found no token for the broker: {TOKEN} is not set, and {path} cannot be read",
            hint="start profiler broker first, or set PROFILER_BROKER_TOKEN for both",
        ) from error


def distant_broker(url: str, *, token: str, capped: bool) -> ReachedBroker:
    """A broker that somebody else has started."""
    place_of(url)  # raises where it is none
    return ReachedBroker(url, token=token, capped=capped)
