"""train(): the loop, read top to bottom; train_step()."""

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .data.augmentation import recolor
from .data.dataset import Batch
from .data.randomness import derive_seed
from .data.scaling import normalize
from .errors import InterruptionError, TrainingError
from .footprint import most_pixels
from .job import Job, make_batches, set_up
from .machine import peak_memory_mb
from .models import describe_start
from .optim import lr_factor
from .pace import CHECK_EVERY
from .prediction import ModelFactory, Predictor
from .progress import NoProgress, Progress
from .recipe import Recipe
from .run import Run
from .startup import launch, load_recipe, resumed_recipe, start_run
from .state import State
from .stopping import StopSignals
from .timing import memory_explained, single_values_explained, time_steps
from .validation import Validation, validate

WORTH_SAYING = 0.1  # of all steps: smaller changes of the end are made in silence
COLLAPSE_EPOCHS = 3  # one class everywhere for so many epochs is called out


def train(
    source: Path | str | Recipe,
    overrides: Sequence[str] = (),
    *,
    out: Path | str,
    resume: bool = False,
    progress: Progress | None = None,
    model: ModelFactory | None = None,
) -> Run:
    """Train on a data folder or by a recipe, and leave a run directory at `out`.

    `overrides` are `key=value` as on the command line. `resume` continues the run at `out` with
    its own recipe and data; a `source` that is another folder is refused.
    `model` makes a network of your own: (in_channels, num_classes) -> module.

    Raises ConfigError for impossible settings, DataError where the data has errors, RunError where
    `out` is taken, TrainingError where training cannot go on or was interrupted.
    """
    started, out = time.monotonic(), Path(out)
    recipe = resumed_recipe(source, overrides, out) if resume else load_recipe(source, overrides)
    fabric = launch(recipe)
    shown = progress if progress and fabric.is_global_zero else NoProgress()
    prepared: Any = None
    if fabric.is_global_zero and resume:
        prepared = recipe, Run.open(out).folder()
    elif fabric.is_global_zero:
        timer = partial(time_steps, fabric=fabric, model=model)
        footprint = partial(most_pixels, fabric=fabric, model=model)
        prepared = start_run(recipe, out, timer, footprint, started, shown)
    recipe, folder = fabric.broadcast(prepared)
    job, state = set_up(fabric, recipe, folder, Run(out), model, shown, started)
    if resume:
        restore(job, state)
    elif model is None:
        job.say(f"{recipe.model.name} starts {describe_start(recipe.model)}")
    total, done = (steps * job.batch_size for steps in (state.total_steps, state.step))
    job.progress.start("training", total, done=done)
    try:
        with StopSignals() as signals:
            fit(job, state, signals)
    finally:
        job.progress.finish()
    return job.run


def restore(job: Job, state: State) -> None:
    """Go back to the last checkpoint; without one, to the beginning."""
    saved = job.run.last()
    if saved is not None:
        state.load_state_dict(saved)
    if job.fabric.is_global_zero:
        job.run.forget_epochs_after(state.epoch)
    job.say(
        f"{job.run.path} is finished already"
        if state.finished
        else f"resuming {job.run.path} at step {state.step} of {state.total_steps}",
    )


def fit(job: Job, state: State, signals: StopSignals) -> None:
    """The loop: step, and at the end of each epoch look at the validation part."""
    recipe, last_saved = job.recipe, time.monotonic()
    batches = make_batches(job, state)
    state.model.train()
    while not state.finished:
        step_started = time.monotonic()
        batch = job.fabric.to_device(next(batches))
        value = careful_step(job, state, batch)
        state.loss_sum += value
        job.pace.saw_step(time.monotonic() - step_started)
        best = {} if state.best_score == -math.inf else {"best": state.best_score}
        job.progress.advance(job.batch_size, loss=value, **best)
        keep_to_budget(job, state)
        if state.step % recipe.steps_per_epoch() == 0 or state.step >= state.total_steps:
            finish_epoch(job, state)
        interrupted = someone_wants_to_stop(job, signals)
        if (
            state.finished
            or interrupted
            or time.monotonic() - last_saved >= recipe.checkpoint_every
        ):
            save(job, state)
            last_saved = time.monotonic()
        if interrupted and not state.finished:
            raise InterruptionError(
                f"stopped by {signals.received} after step {state.step} of {state.total_steps}, "
                "all saved; go on with: "
                f"delineo train {job.folder.root} --out {job.run.path} --resume"
            )


def train_step(job: Job, state: State, batch: Batch) -> float:
    """One step of the optimiser on one batch; returns the loss.

    Raises FloatingPointError where the loss is not finite, before the weights change.
    """
    # dropout draws from the global generator: seeded per step, a resumed run draws the same
    torch.manual_seed(derive_seed(job.recipe.seed, "step", state.step, job.fabric.global_rank))
    factor = lr_factor(job.recipe.schedule, state.step, state.total_steps, state.plateau)
    for group in state.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    logits = state.model(network_input(batch, job.predictor))
    loss = job.loss_function(logits, batch.target)
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss became {value}")
    job.fabric.backward(loss)
    clip_gradient(job, state)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.average.update_parameters(state.network)
    state.step += 1
    return value


def clip_gradient(job: Job, state: State) -> None:
    """Limit the gradient's norm. Raises FloatingPointError where it is not finite."""
    limit = job.recipe.clip_norm or math.inf
    norm = job.fabric.clip_gradients(
        state.model, state.optimizer, max_norm=limit, error_if_nonfinite=False
    )
    # fp16 meets infinities on purpose: its loss scaler skips such steps
    if job.predictor.precision != "fp16" and norm is not None and not math.isfinite(norm):
        raise FloatingPointError(f"the gradient became {float(norm)}")


def network_input(
    batch: Batch, predictor: Predictor
) -> Float[Tensor, "batch channels height width"]:
    """The batch's images normalised and recoloured, in the layout that convolutions like."""
    images = batch.images.contiguous(memory_format=torch.channels_last)
    images = normalize(images, predictor.mean, predictor.std)
    return recolor(images, batch.brightness, batch.contrast, batch.saturation, batch.hue)


def careful_step(job: Job, state: State, batch: Batch) -> float:
    """train_step, with what goes wrong explained."""
    try:
        when = f"at step {state.step + 1}"
        with single_values_explained(job.recipe), memory_explained(job.recipe, when):
            return train_step(job, state, batch)
    except FloatingPointError as error:
        samples = job.folder.part("train")
        files = ", ".join(str(samples[index].image) for index in batch.indices.tolist())
        kept = job.run.best_file
        best = f"; the best weights so far are kept in {kept}" if kept.exists() else ""
        raise TrainingError(
            f"{error} at step {state.step + 1}{best}. Look at the images of this "
            f"batch: {files}. If they are fine, lower optimizer.lr or set precision=fp32"
        ) from error


def finish_epoch(job: Job, state: State) -> None:
    """Validate, log, keep the weights if they are the best, decide whether to go on."""
    recipe, started = job.recipe, time.monotonic()
    share_statistics(job, state)
    with memory_explained(recipe, f"while validating after step {state.step}"):
        validation = validate(job.predictor, job.validation, job.loss_function, job.fabric)
    job.pace.saw_validation(time.monotonic() - started)
    loss = state.loss_sum / (state.step - state.epoch_first_step)
    score = validation.monitored(recipe.monitor)
    better = score > state.best_score
    state.epoch += 1
    state.plateau.update(recipe.schedule, validation.loss)
    state.epochs_since_best = 0 if better else state.epochs_since_best + 1
    state.best_score = max(score, state.best_score)
    state.collapsed_epochs = state.collapsed_epochs + 1 if validation.collapsed() else 0
    if job.fabric.is_global_zero:
        if better:
            job.run.save_best(state.average.module.state_dict())
        job.run.log_epoch(epoch_record(job, state, validation, loss, better))
    report_epoch(job, state, validation, loss, better)
    tell_pace(job, state)
    state.loss_sum, state.epoch_first_step = 0.0, state.step
    patient = recipe.patience is None or state.epochs_since_best < recipe.patience
    state.finished = state.step >= state.total_steps or not patient


def epoch_record(
    job: Job, state: State, validation: Validation, loss: float, better: bool
) -> dict[str, Any]:
    """What metrics.jsonl holds of an epoch."""
    return {
        "epoch": state.epoch,
        "step": state.step,
        "loss": loss,
        "lr": state.optimizer.param_groups[-1]["lr"],
        "seconds": round(elapsed(job, state), 2),
        "val": validation.to_json(),
        "score": validation.monitored(job.recipe.monitor),
        "best": better,
        "peak_memory_mb": round(peak_memory_mb()),
    }


def share_statistics(job: Job, state: State) -> None:
    """Give all processes the BatchNorm statistics of the first, which are what is saved."""
    if job.fabric.world_size > 1:
        for buffer in state.average.module.buffers():
            torch.distributed.broadcast(buffer, src=0)


def report_epoch(job: Job, state: State, validation: Validation, loss: float, better: bool) -> None:
    """One line for people, and advice where the network has collapsed."""
    epochs = -(-state.total_steps // job.recipe.steps_per_epoch())
    name = job.recipe.monitor
    score = "" if name == "loss" else f"  val {name} {validation.monitored(name):.4f}"
    job.say(
        f"epoch {state.epoch}/{epochs}  loss {loss:.4f}  val loss {validation.loss:.4f}{score}"
        f"{'  best' if better else ''}",
    )
    if state.collapsed_epochs in (COLLAPSE_EPOCHS, 4 * COLLAPSE_EPOCHS):
        job.say(validation.collapse_advice(state.collapsed_epochs))


def keep_to_budget(job: Job, state: State) -> None:
    """Bring the end forward where the machine is slower than planned, and back where that is over.

    The learning rate follows, so the schedule still ends. Rank 0 decides for all.
    """
    budget, steps_per_epoch = job.recipe.budget, job.recipe.steps_per_epoch()
    if budget is None or state.step % CHECK_EVERY:
        return
    most = job.recipe.total_steps() - state.step
    fits = job.pace.steps_within(budget, elapsed(job, state), most, steps_per_epoch)
    fits = job.fabric.broadcast(fits)
    state.total_steps = state.step + fits
    job.progress.expect(state.total_steps * job.batch_size)


def tell_pace(job: Job, state: State) -> None:
    """Where the end has moved far since it was last told; within an epoch it may come and go."""
    left, said = state.total_steps - state.step, state.planned_steps - state.step
    if abs(left - said) <= WORTH_SAYING * job.recipe.total_steps():
        return
    state.planned_steps = state.total_steps
    pace = "slower than planned" if left < said else "quicker again"
    more = f"{left} more steps instead of {said}" if left else f"ended {said} steps early"
    job.say(f"{pace}: {more}, to keep the budget")


def elapsed(job: Job, state: State) -> float:
    """Seconds spent on this training so far, by all processes that took part in turn."""
    return state.seconds + time.monotonic() - job.started


def someone_wants_to_stop(job: Job, signals: StopSignals) -> bool:
    """Whether any process was asked to stop; all processes hear the same answer."""
    if job.fabric.world_size == 1:
        return signals.received is not None
    flag = torch.tensor(float(signals.received is not None), device=job.fabric.device)
    return bool(job.fabric.all_reduce(flag, reduce_op="sum"))


def save(job: Job, state: State) -> None:
    """Write last.pt; the time trained so far goes with it."""
    now = time.monotonic()
    state.seconds += now - job.started
    job.started = now
    if job.fabric.is_global_zero:
        job.run.save_last(state.state_dict())
