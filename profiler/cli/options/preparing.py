"""The options of the commands that one uses before a run: `validate`, `schema`, `init`, `mock-server` and `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.cli.options import mock_server
from profiler.cli.options.common import add_config, add_json, add_output_dir, add_select, command
from profiler.cli.options.values import at_least_one

if TYPE_CHECKING:
    from profiler.cli.options.common import Commands


def add_validate(commands: Commands) -> None:
    parser = command(commands, "validate", "check a manifest and its datasets, and report all mistakes")
    add_config(parser)
    add_select(parser)
    parser.add_argument(
        "--show",
        type=at_least_one,
        default=0,
        metavar="N",
        help="print the first N dialogues too, as they will be asked",
    )
    add_json(parser)


def add_schema(commands: Commands) -> None:
    command(commands, "schema", "print the JSON Schema of manifests, for editors")


def add_init(commands: Commands) -> None:
    parser = command(commands, "init", "write a sample manifest with its data, ready to run")
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="where to (default: here)")


def add_mock_server(commands: Commands) -> None:
    mock_server.add_to(
        command(
            commands,
            "mock-server",
            "answer like the provider, on this machine, without a key",
            "Prints the address it listens on; counters are at /__stats. The same requests always get the same answers.",
        )
    )


def add_doctor(commands: Commands) -> None:
    parser = command(commands, "doctor", "check this machine: versions, mode, key, terminal, disk")
    add_output_dir(parser, "the folder to check")
    add_json(parser)


ALL = (add_validate, add_schema, add_init, add_mock_server, add_doctor)
