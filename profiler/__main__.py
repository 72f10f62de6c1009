"""`python -m profiler` and the `profiler` command."""

import sys

from profiler.cli.main import main as cli_main


def main() -> None:
    sys.exit(cli_main(sys.argv[1:]))


if __name__ == "__main__":
    main()
