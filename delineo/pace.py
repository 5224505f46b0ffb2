"""Pace: whether a training will end within its budget, from how fast it has been lately."""

from collections import deque
from statistics import median

LATELY = 20  # steps
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

    def seconds_for(self, steps: int, steps_per_epoch: int) -> float:
        """What so many more steps will take, a validation after each epoch included."""
        return steps * median(self._steps) + -(-steps // steps_per_epoch) * self._validation

    def steps_within(
        self, budget: float, spent: float, steps_left: int, steps_per_epoch: int
    ) -> int:
        """How many of `steps_left` fit into the budget: all of them where it is not late."""
        if len(self._steps) < LATELY // 2:
            return steps_left
        left = budget - spent
        needed = self.seconds_for(steps_left, steps_per_epoch)
        if needed <= left + SLACK * budget:
            return steps_left
        whole, rest = divmod(left, self.seconds_for(steps_per_epoch, steps_per_epoch))
        extra = max(0, int((rest - self._validation) / median(self._steps)))
        return min(steps_left, max(0, int(whole) * steps_per_epoch + extra))
