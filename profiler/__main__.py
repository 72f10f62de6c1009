"""`python -m profiler` and the `profiler` command."""

import sys

INTERRUPTED = 130


def main() -> None:
    try:
        # Not at the top of the file: Ctrl-C may come while this is imported, too.
        from profiler.cli.main import main as cli_main  # noqa: PLC0415

        code = cli_main(sys.argv[1:])
    except KeyboardInterrupt:
        print("\nerror: interrupted before the command began", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
