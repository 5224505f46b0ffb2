"""Does data loading hide behind compute? Training steps on Carvana with the real loader against
the same steps on a batch that is in memory already, in turn in one process.

    python benchmarks/loading.py

Mark: under 5 % of step time, after the first pass has filled the cache.
"""

import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from common import SHARED, record

from delineo.data.dataset import Batch
from delineo.footprint import most_pixels
from delineo.job import Job, make_batches, set_up
from delineo.run import Run
from delineo.startup import launch, load_recipe, start_run
from delineo.state import State
from delineo.timing import time_steps
from delineo.training import train_step

SETTINGS = ("data.image_size=[224,320]", "epochs=1", "batch_size=8")
ROUNDS = 20


def prepare() -> tuple[Job, State]:
    from delineo.progress import NoProgress

    recipe = load_recipe(SHARED / "carvana", SETTINGS)
    fabric = launch(recipe)
    out, started = Path(tempfile.mkdtemp()) / "run", time.monotonic()
    timer = partial(time_steps, fabric=fabric, model=None)
    footprint = partial(most_pixels, fabric=fabric, model=None)
    recipe, folder = start_run(recipe, out, timer, footprint, started, NoProgress())
    return set_up(fabric, recipe, folder, Run(out), None, NoProgress(), started)


def step(job: Job, state: State, batch: Batch) -> float:
    started = time.perf_counter()
    train_step(job, state, job.fabric.to_device(batch))
    return time.perf_counter() - started


def main() -> None:
    job, state = prepare()
    state.total_steps = 10_000
    batches = make_batches(job, state)
    state.model.train()
    batch = next(batches)
    first_pass = [
        timed(lambda: next(batches))[1] for _ in range(len(job.folder.part("train")) // 8)
    ]
    loads, steps = [], []
    for _ in range(ROUNDS):
        batch, seconds = timed(lambda: next(batches))
        loads.append(seconds)
        steps.append(step(job, state, batch))
    record(
        "loading",
        {
            "data": "carvana",
            "load_seconds_per_batch_first_pass": round(median(first_pass), 4),
            "load_seconds_per_batch": round(median(loads), 4),
            "step_seconds": round(median(steps), 4),
            "share_of_step": round(median(loads) / median(steps), 4),
        },
    )


def timed(job):
    started = time.perf_counter()
    result = job()
    return result, time.perf_counter() - started


if __name__ == "__main__":
    main()
