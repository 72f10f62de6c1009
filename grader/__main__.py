"""`python -m grader` and the `grader` command."""

import signal
import sys

from grader.cli.main import main as cli_main
from grader.cli.main import stop


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, stop)
    sys.exit(cli_main(sys.argv[1:]))


if __name__ == "__main__":
    main()
