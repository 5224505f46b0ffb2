"""Work in a thread: in order, a few items ahead, errors in their place."""

import threading
from collections.abc import Iterator

import pytest

from delineo.pipeline import in_thread


def test_results_come_in_order() -> None:
    assert list(in_thread(lambda n: n * n, range(20), ahead=3)) == [n * n for n in range(20)]


def test_work_is_done_elsewhere_and_never_more_than_a_few_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            assert threading.current_thread() is threading.main_thread()
            taken.append(number)
            yield number

    for number, thread in enumerate(in_thread(lambda _: threading.current_thread(), items(), 2)):
        assert thread is not threading.main_thread()
        assert len(taken) <= number + 3


def test_work_overlaps_with_what_is_done_with_its_results() -> None:
    """Each side waits for the other, which one thread alone could never do."""
    begun = [threading.Event() for _ in range(6)]

    def work(number: int) -> int:
        begun[number].set()
        return number

    for number in in_thread(work, range(5), ahead=1):
        assert begun[min(number + 1, 4)].wait(10)


def test_an_error_comes_in_its_place_and_the_rest_is_left_undone() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return 1 // (number - 2)

    results = in_thread(work, range(100), ahead=2)
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(done) <= 5


def test_a_caller_that_stops_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    results = in_thread(lambda n: n, range(100))
    next(results)
    results.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert threading.active_count() == before
