"""Pace: whether a training will end within its budget, from how fast it has been lately."""

from collections import deque
from math import ceil
from statistics import mean

LATELY = 50  # steps
ENOUGH = 10  # steps: fewer are no pace
STRAY = 0.04  # of the steps: the slowest are no sign, unlike a loader that is late again and again
CHECK_EVERY = 10  # steps
SLACK = 0.02  # of the budget: less is not worth shortening for


class Pace:
    """Seconds per step and per validation, as they were lately."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=LATELY)
        self._validation = 0.0

    def saw_step(self, seconds: float) -> None:
        self._steps.append(seconds)

    def saw_validation(self, seconds: float) -> None:
        self._validation = seconds

    def step(self) -> float:
        """Seconds per step, but for the slowest."""
        steps = sorted(self._steps)
        return mean(steps[: len(steps) - ceil(STRAY * len(steps))])

    def seconds_for(self, steps: int, steps_per_epoch: int) -> float:
        """What so many more steps will take, a validation after each epoch included."""
        return steps * self.step() + -(-steps // steps_per_epoch) * self._validation

    def steps_within(
        self, budget: float, spent: float, steps_left: int, steps_per_epoch: int
    ) -> int:
        """How many of `steps_left` fit into the budget: all of them where it is not late."""
        if len(self._steps) < ENOUGH:
            return steps_left
        left = budget - spent
        needed = self.seconds_for(steps_left, steps_per_epoch)
        if needed <= left + SLACK * budget:
            return steps_left
        whole, rest = divmod(left, self.seconds_for(steps_per_epoch, steps_per_epoch))
        extra = max(0, int((rest - self._validation) / self.step()))
        return min(steps_left, max(0, int(whole) * steps_per_epoch + extra))
