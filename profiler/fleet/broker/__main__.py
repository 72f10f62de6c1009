"""The broker as a process: `python -m profiler.fleet.broker FOLDER PORT`, with its settings on the first line of stdin and
the token in the environment. It says its port, and ends when stdin is closed, as it is when its parent dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from profiler.core.errors import ProfilerError
from profiler.core.one_error import one_error
from profiler.fleet.broker.desk import Desk
from profiler.fleet.broker.process import TOKEN
from profiler.fleet.broker.server import BrokerServer
from profiler.fleet.broker.settings import BrokerSettings


async def serve(folder: Path, port: int) -> None:
    told = sys.stdin.buffer.readline()
    if not told:  # whoever started it died before it could say anything
        return
    settings = msgspec.json.decode(told, type=BrokerSettings)
    server = BrokerServer(Desk(settings, folder=folder), token=os.environ[TOKEN])
    with one_error():
        async with server.serving("127.0.0.1", port) as found:
            print(found, flush=True)
            await anyio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)


try:
    anyio.run(serve, Path(sys.argv[1]), int(sys.argv[2]))
except BrokenPipeError:  # whoever started it is gone, and nobody else knows of it
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still in the buffer is written at the end
except (ProfilerError, OSError) as error:
    print(str(error).replace("\n", " "), flush=True)
    sys.exit(ProfilerError.exit_code)
