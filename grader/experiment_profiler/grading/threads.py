"""A thread pool for gradings, whose work happens in boxes.

If anything goes wrong, nothing more is begun. After a signal, boxes that still run are killed instead of waited for.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from task_kit import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

AGAIN_S: Final = 0.1  # tried again, because a box may just have been about to start


class Pool(ThreadPoolExecutor):
    """Threads that stop their boxes when they are interrupted."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._begun: WeakSet[Future[Any]] = WeakSet()

    def submit(self, work: Callable[..., Any], /, *words: Any, **named: Any) -> Future[Any]:
        begun = super().submit(work, *words, **named)
        self._begun.add(begun)
        return begun

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(wait=False, cancel_futures=True)
        if kind is not None and issubclass(
            kind, (KeyboardInterrupt, GeneratorExit)
        ):  # the second where it is iterated over
            self._give_up()
        self.shutdown()

    def _give_up(self) -> None:
        while running := [begun for begun in self._begun if not begun.done()]:
            sandbox.give_up()
            wait(running, timeout=AGAIN_S)
