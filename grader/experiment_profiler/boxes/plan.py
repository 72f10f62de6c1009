"""Plans the boxes of a grading from its seed, so that every kind of world, run and logs is in each grading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from grader.experiment_profiler.boxes.box import ADDRESS, KEY, Box, Kind, Run, Secrets, Source
from grader.experiment_profiler.worlds import edges, foreign_logs, names, prose
from grader.experiment_profiler.worlds import world as worlds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from grader.experiment_profiler.worlds.foreign_logs import LogsKey
    from grader.experiment_profiler.worlds.world import World

FOLDERS: Final = ("kit", "submission", "given", "work", "claims", "logs", "driver", "job", "wire")
STARTED_INSIDE: Final = 3  # of the last two kinds of logs, one is summarized from within its folder
ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The worlds of a grading: those that are tried in full, and small ones for special cases."""

    full: tuple[World, ...]
    small: tuple[World, ...]


def draw(seed: str, *, count: int) -> Drawn:
    """With `count` 0 there is only the sample: a quick first look."""
    small = tuple(worlds.edge(seed, name) for name in edges.NAMES) if count else ()
    return Drawn(full=tuple(worlds.draw(seed, count=count)), small=small)


def boxes(drawn: Drawn, *, seed: str, root: Path, telling_first: bool = False) -> list[Box]:
    """The boxes, in an order that the seed decides.

    `telling_first`: those that check the most come first, for a grading that ends at the first failure.
    """
    planned = list(_boxes(drawn, seed=seed, root=root))
    worlds.generator(seed, "order").shuffle(planned)
    return sorted(planned, key=_tells_little) if telling_first else planned


def _tells_little(box: Box) -> bool:
    """All but those that call the whole interface, in a world that nobody has seen."""
    return not (box.kind is Kind.API and box.runs[0].world.name != worlds.SAMPLE)


def _boxes(drawn: Drawn, *, seed: str, root: Path) -> Iterator[Box]:
    # The first is the sample, which everybody has seen.
    fresh = drawn.full[1:]
    rng = worlds.generator(seed, "plan")
    with_empty_key, with_earlier, live = (rng.choice(fresh or drawn.full) for _ in range(3))
    # Every second box gets absolute paths; the seed decides whether the first one does.
    absolute = rng.random() < 0.5
    for number, world in enumerate(drawn.full):
        maker = _Maker(seed, f"{world.name} api", root=root)
        small = [each for place, each in enumerate(drawn.small) if fresh and 1 + place % len(fresh) == number]
        yield maker.api(world, small, logs=_logs(seed, number, count=len(drawn.full)), live=world in fresh)
    for number, world in enumerate((*drawn.full, *drawn.small)):
        maker = _Maker(seed, f"{world.name} run", root=root, absolute=absolute is (number % 2 == 0))
        empty_key, earlier = world is with_empty_key, world in fresh and world is with_earlier
        yield maker.run(world, Source.PREPARED, empty_key=empty_key, earlier=earlier)
    if fresh:
        yield _Maker(seed, f"{live.name} live", root=root).run(live, Source.LIVE)
    for number, kind in enumerate(foreign_logs.KINDS if fresh else foreign_logs.KINDS[:1]):
        maker = _Maker(seed, f"{kind} summarize", root=root, absolute=absolute is (number % 2 == 0))
        yield maker.summarize((seed, "command", kind), inside=number >= STARTED_INSIDE)


def _logs(seed: str, number: int, *, count: int) -> tuple[LogsKey, ...]:
    """The logs that a box is asked about: every box gets mixed ones, and the other kinds are dealt out."""
    dealt = (*foreign_logs.KINDS[1:], *foreign_logs.ODD_KINDS)
    others = [kind for place, kind in enumerate(dealt) if place % count == number]
    return tuple((seed, f"interface/{number}", kind) for kind in ("mixed", *others))


def _pairs(world: World, small: Sequence[World], sources: Sequence[Source]) -> Iterator[tuple[World, Source]]:
    """The runs of one process. Small worlds are answered by the first two sources only."""
    yield from ((world, source) for source in sources)
    yield from ((each, source) for each in small for source in sources[:2])


class _Maker:
    """Makes one box. Everything random in it comes from its name and the seed."""

    def __init__(self, seed: str, name: str, *, root: Path, absolute: bool = True) -> None:
        self.seed = seed
        self.name = name
        self.absolute = absolute
        self.rng = worlds.generator(seed, f"box/{name}")
        self.folder = root / prose.nonce(self.rng)
        self.secrets = Secrets(
            marks=prose.nonce(self.rng),
            handed=prose.nonce(self.rng),
            live=prose.nonce(self.rng),
            key=names.key(self.rng, real=name.endswith("live")),
            address=names.address(self.rng),
        )

    def api(self, world: World, small: Sequence[World], *, logs: tuple[LogsKey, ...], live: bool) -> Box:
        sources = (Source.PREPARED, Source.HANDED, *([Source.LIVE] if live else []))
        runs = [self._run(each, source) for each, source in _pairs(world, small, sources)]
        return self._box(Kind.API, runs=runs, logs=logs)

    def run(self, world: World, source: Source, *, empty_key: bool = False, earlier: bool = False) -> Box:
        live = {KEY: self.secrets.key, ADDRESS: self.secrets.address} if source is Source.LIVE else {}
        run = self._run(world, source, earlier=earlier)
        return self._box(Kind.RUN, runs=[run], more=live or ({KEY: ""} if empty_key else {}))

    def summarize(self, logs: LogsKey, *, inside: bool) -> Box:
        return self._box(Kind.SUMMARIZE, logs=(logs,), inside=inside and not self.absolute)

    def _box(
        self,
        kind: Kind,
        *,
        runs: Sequence[Run] = (),
        logs: tuple[LogsKey, ...] = (),
        more: dict[str, str] | None = None,
        inside: bool = False,
    ) -> Box:
        places = [*FOLDERS, *dict.fromkeys(run.world.name for run in runs)]
        return Box(
            name=self.name,
            kind=kind,
            folder=self.folder,
            names={
                place: prose.word(self.rng, length=self.rng.randint(3, 9)) + f"{number:x}"
                for number, place in enumerate(places)
            },
            environment=self._environment() | (more or {}),
            secrets=self.secrets,
            runs=tuple(runs),
            asked_about=logs,
            absolute=self.absolute,
            inside=inside,
        )

    def _environment(self) -> dict[str, str]:
        """All variables of the box except paths; nothing of the grader's own environment is passed on."""
        person = names.person(self.rng)
        return {
            "LANG": "C.UTF-8",
            "LOGNAME": person,
            "PATH": "/usr/bin:/bin",
            "PYTHONHASHSEED": str(self.rng.randint(1, 2**31)),
            "TZ": self.rng.choice(ZONES),
            "USER": person,
        }

    def _run(self, world: World, source: Source, *, earlier: bool = False) -> Run:
        output = f"{prose.word(self.rng, length=4)}/{prose.word(self.rng, length=5)}"
        return Run(
            world=world,
            source=source,
            output=output,
            secrets=self.secrets,
            seed=self.seed,
            earlier=f"earlier/{self.name}" if earlier or source is Source.HANDED else None,
        )
