"""`python -m grader` and the `grader` command."""

import os
import sys

# `python -m` looks for modules in the folder that one is in first. Submissions may lie there, and one may be called `json`.
here = os.path.realpath(f"{sys.path[0]}/grader/__main__.py") == os.path.realpath(__file__)
if __name__ == "__main__" and not sys.flags.safe_path and not here:
    del sys.path[0]

import signal  # noqa: E402 (the lines above come first)

from grader.cli.main import main as cli_main  # noqa: E402
from grader.cli.main import stop  # noqa: E402


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, stop)
    sys.exit(cli_main(sys.argv[1:]))


if __name__ == "__main__":
    main()
