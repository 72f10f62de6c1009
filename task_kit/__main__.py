"""`python -m task_kit` and the `task-kit` command."""

import sys

from task_kit.cli import main as cli_main


def main() -> None:
    sys.exit(cli_main(sys.argv[1:]))


if __name__ == "__main__":
    main()
