"""The broker as a process: `python -m profiler.fleet.broker PORT`, with the token in the environment. On each line of stdin it
is told whom to serve from then on, or that there is nobody (null), and says its port when it does. What it has learned of a
provider it keeps from one experiment to the next. It ends when stdin is closed, as it is when its parent dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from profiler.core.errors import ProfilerError
from profiler.core.one_error import one_error
from profiler.fleet.broker.desk import Desk
from profiler.fleet.broker.process import TOKEN
from profiler.fleet.broker.server import BrokerServer
from profiler.fleet.broker.settings import Service

if TYPE_CHECKING:
    from profiler.fleet.broker.shared_limits import SharedLimits


async def serve(port: int) -> None:
    server = BrokerServer(None, token=os.environ[TOKEN])
    learned: dict[str, SharedLimits] = {}
    with one_error():
        async with server.serving("127.0.0.1", port) as found:
            while told := await anyio.to_thread.run_sync(sys.stdin.buffer.readline, abandon_on_cancel=True):
                if server.desk is not None:
                    server.desk.close()
                    server.desk = None
                if (service := msgspec.json.decode(told, type=Service | None)) is not None:
                    server.desk = _desk(service, learned)
                print(found, flush=True)


def _desk(service: Service, learned: dict[str, SharedLimits]) -> Desk:
    settings = service.settings
    desk = Desk(settings, folder=Path(service.folder), limits=learned.get(settings.provider))
    learned[settings.provider] = desk.limits
    return desk


try:
    anyio.run(serve, int(sys.argv[1]))
except BrokenPipeError:  # whoever started it is gone, and nobody else knows of it
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still in the buffer is written at the end
except (ProfilerError, OSError) as error:
    print(str(error).replace("\n", " "), flush=True)
    sys.exit(ProfilerError.exit_code)
