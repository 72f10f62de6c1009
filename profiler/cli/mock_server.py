"""`profiler mock-server`: turns its arguments into settings, and runs the server until a signal.

It is a module of its own because it needs nothing that the other commands import.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.output import remark
from profiler.provider.mock_server.server import serve
from profiler.provider.mock_server.settings import LimitRule, ServerSettings

if TYPE_CHECKING:
    from argparse import Namespace

PATHS = ("responses_path", "dataset_path", "script_path")


def mock_server(args: Namespace) -> int:
    """Serve until a signal says stop. The address is the one line on stdout."""
    given = {name: value for name, value in vars(args).items() if name in ServerSettings.__struct_fields__}
    paths = {name: Path(given[name]) for name in PATHS if given[name] is not None}
    limits = [LimitRule(**rule) for rule in args.limits]
    settings = ServerSettings(**{**given, **paths, "faults": dict(args.faults), "limits": limits})
    return serve(settings, announce=_announce, remark=remark, as_json=args.json)


def _announce(text: str) -> None:
    print(text, flush=True)


COMMANDS = {"mock-server": mock_server}
