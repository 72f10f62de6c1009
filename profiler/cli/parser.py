"""The argument parser, which suggests what was probably meant."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = 2


class Parser(argparse.ArgumentParser):
    """An argument parser that suggests what was probably meant."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        # kept for `error`, which argparse gives a message but not the words of the command line
        self._given = list(args or ())
        found, unknown = super().parse_known_args(args, namespace)
        unknown = self._added(found, unknown)
        if unknown:  # reported here, where the options of this command are known, not in the parser above
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def _added(self, found: argparse.Namespace, unknown: list[str]) -> list[str]:
        """Add what argparse left to the list that this command takes, and return what is no part of it.

        To argparse a list ends where the first option comes: `show RUN --json ID` would have no ID.
        """
        literal = self._given[self._given.index("--") + 1 :] if "--" in self._given else []
        words = [word for word in unknown if word != "--"]
        options = [word for word in words if word.startswith("-") and word not in literal]
        lists = [action.dest for action in self._actions if action.nargs in {"*", "+"} and not action.option_strings]
        if options or not lists:
            return words
        setattr(found, lists[-1], [*getattr(found, lists[-1]), *words])
        return []

    def error(self, message: str) -> NoReturn:
        if self._subparsers is not None and not self._given:  # whoever types the bare name asks what there is
            self.print_help(sys.stderr)
            self.exit(USAGE, f"\n{self.prog}: error: name a command\nTry '{self.prog} COMMAND --help'.\n")
        choices = self._choices_of(message)
        known = self._known()
        if choices:
            guess = _guess(message.partition("invalid choice:")[2], choices)
        else:
            # the names of what is missing are no words that somebody typed
            typed = "" if message.startswith("the following arguments are required") else message
            guess = self._bare() or _guess(typed, known) or _guess(" ".join(self._given), known, by_name=True)
        if ": found " in message:  # the option was understood and its value is wrong: a guess would only mislead
            guess = ""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: error: {message}{guess}\nTry '{self.prog} --help'.\n")

    def _bare(self) -> str:
        """A suggestion for a file that was given without the option it needs."""
        if self._belongs_to_an_option():
            return ""
        wanted = [action for action in self._actions if action.required and action.option_strings]
        for action in wanted:
            name = action.option_strings[0]
            if self._given and name not in self._given and os.path.exists(self._given[-1]):  # noqa: PTH110 (no import)
                return f" — did you mean '{name} {self._given[-1]}'?"
        return ""

    def _belongs_to_an_option(self) -> bool:
        """Whether the last word is the value of the option before it."""
        before = self._given[-2] if len(self._given) > 1 else ""
        return any(before in action.option_strings and action.nargs != 0 for action in self._actions)

    def _choices_of(self, message: str) -> list[str]:
        """The choices of the option whose value is wrong, if that is what the message says."""
        for action in self._actions:
            if message.startswith(f"argument {'/'.join(action.option_strings)}: invalid choice"):
                return [choice for choice in action.choices or () if isinstance(choice, str)]
        return []

    def _known(self) -> list[str]:
        return [
            word
            for action in self._actions
            for word in (*action.option_strings, *(action.choices or ()))
            if isinstance(word, str)
        ]


def _guess(message: str, known: Sequence[str], *, by_name: bool = False) -> str:
    """A suggestion: the known word nearest to one of the words that were not understood; that one is named (`by_name`)
    where the message does not say it."""
    from profiler.core.wording import nearest  # noqa: PLC0415 (--help does not need it)

    words = message.partition("(choose from")[0].replace("'", " ").replace("=", " ").split()
    for word in (word.rstrip(":,") for word in reversed(words)):
        if word not in known and (near := nearest(word, known)):
            return f" — did you mean {near!r}" + (f" where it says {word!r}?" if by_name else "?")
    return ""
