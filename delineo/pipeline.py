"""Work that overlaps: one thread is a few items ahead, results come in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_thread(
    work: Callable[[Item], Result], items: Iterable[Item], ahead: int = 2
) -> Iterator[Result]:
    """`map(work, items)` with the work done in one thread, at most `ahead` items early.

    `items` are taken in the calling thread. An exception of `work` is raised in the place of its
    result; then, and where the caller stops, what has not begun is left undone.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            for item in items:
                pending.append(thread.submit(work, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
