"""`fit`: the one loop of training."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from distilbert import processes
from distilbert.errors import DistilBertError, InputError
from distilbert.model.pretrained import DistilBertPreTrainedModel
from distilbert.training import checkpoint
from distilbert.training.batches import Batch, Batches
from distilbert.training.checkpoint import State
from distilbert.training.events import Begin, End, Evaluation, Event, Observer, Step
from distilbert.training.objectives import Loss, Objective, Supervised
from distilbert.training.optim import optimizer, trained
from distilbert.training.recipe import Recipe

Evaluate = Callable[[], Mapping[str, float]]


def fit(
    model: DistilBertPreTrainedModel,
    batches: Batches,
    objective: Objective | None = None,
    recipe: Recipe | None = None,
    *,
    evaluate: Evaluate | None = None,
    folder: Path | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    alike: Mapping[str, str] | None = None,
) -> End:
    """Trains what has `requires_grad`, in place, and says how it ended.

    Every update draws its dropout from a seed of its own, so a run repeats, and one that was
    killed goes on to the same weights, bit for bit on one device. Under `torchrun`, with
    `torch.distributed` set up, each process takes its share of every batch.

    Args:
        model: A class with a task; of a model with named heads, `model.as_fixed(head_name)`.
        batches: What it is trained on.
        objective: What is made smaller; left out, the loss of the model's task.
        recipe: How; left out, `Recipe()`.
        evaluate: Scores of the model as it is, by name; the first, or `recipe.metric`, says which
            weights are best. Every process calls it.
        folder: Where checkpoints go; None writes none.
        resume: Go on from the checkpoint in `folder`, if there is one.
        observers: Who is told of each event; see `distilbert.training.events`.
        alike: What else a run that goes on must have as it had it, by name, such as a hash of the
            data that `evaluate` looks at.

    Raises:
        InputError: Model, batches, objective and recipe do not fit each other, nothing is to be
            trained, or the checkpoint is of another run.
        FileError: A checkpoint cannot be read or written.
        DistilBertError: The loss is not a number any more.
    """
    return _Run(
        model,
        batches,
        Supervised() if objective is None else objective,
        Recipe() if recipe is None else recipe,
        evaluate,
        None if folder is None else Path(folder),
        observers,
        alike or {},
    ).run(resume=resume)


class _Loss(nn.Module):
    """The objective as a module, which is what several processes share gradients of."""

    def __init__(self, model: DistilBertPreTrainedModel, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss: Loss = self.objective(self.model, batch)
        return loss.total, dict(loss.parts)


class _Run:
    """One run of `fit`."""

    def __init__(
        self,
        model: DistilBertPreTrainedModel,
        batches: Batches,
        objective: Objective,
        recipe: Recipe,
        evaluate: Evaluate | None,
        folder: Path | None,
        observers: Sequence[Observer],
        alike: Mapping[str, str],
    ) -> None:
        self.model, self.batches, self.objective, self.recipe = model, batches, objective, recipe
        self.evaluate, self.folder, self.alike = evaluate, folder, alike
        self.observers = observers if processes.number() == 0 else ()
        self.trained = trained(model)
        self.optimizer = optimizer(model, recipe)
        self.device = model.device
        if recipe.precision == "float16" and self.device.type == "cpu":
            raise InputError(
                "float16 is for devices that multiply it fast, and the model is on the CPU; use "
                "bfloat16 or float32"
            )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "float16")
        self.steps = recipe.count(len(batches))
        self.best_weights: dict[str, Tensor] | None = None

    def run(self, *, resume: bool) -> End:
        known = checkpoint.identity(self.model, self.batches, self.objective, self.recipe)
        known |= self.alike
        state = State()
        if self.folder is not None and processes.number() == 0:
            checkpoint.tidy(self.folder)
        if resume and self.folder is not None:
            state = checkpoint.load(self.folder, self.model, self.optimizer, known, self.scaler)
            if state.best is not None:
                self.best_weights = checkpoint.load_best(self.folder, state.best["step"])
                if self.best_weights is None and self.recipe.keep_best:
                    state.best, state.bad = None, 0  # someone took them away
        total = sum(p.numel() for p in self.model.parameters())
        count = sum(p.numel() for p in self.trained.values())
        self._tell(Begin(state.step, self.steps, count, total))
        with self._training() as loss:
            for step, epoch, numbers in self._updates(state.step):
                if self._is_over(state):
                    break
                self._tell(self._update(loss, step, epoch, numbers))
                state.step = step + 1
                evaluated = self._evaluate(state) if self._is_due(step) else False
                self._keep(state, known, evaluated=evaluated)
        best = None if state.best is None else Evaluation(**state.best)
        if best is not None and self.recipe.keep_best and self.best_weights is not None:
            checkpoint.give_weights(self.model, self.best_weights)
        end = End(state.step, state.step < self.steps, best)
        self._tell(end)
        return end

    @contextmanager
    def _training(self) -> Iterator[nn.Module]:
        """The model set up to be trained, and as it was before when that is over."""
        model, checkpointing = self.model, self.model.base_model.transformer.checkpointing
        was_training = model.training
        module: nn.Module = _Loss(model, self.objective)
        devices = [self.device] if self.device.type == "cuda" else []
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices))
            if processes.count() > 1:
                idle = self._leaves_some_idle(module)
                module = DistributedDataParallel(module, find_unused_parameters=idle)
            try:
                if self.recipe.gradient_checkpointing:
                    model.gradient_checkpointing_enable()
                model.train()
                yield module
            finally:
                self.optimizer.zero_grad()
                model.base_model.transformer.checkpointing = checkpointing
                model.train(was_training)

    def _leaves_some_idle(self, module: nn.Module) -> bool:
        """Whether an update gives some parameters no gradient: one small step shows it.

        Such as those of adapters in layers that are skipped. Processes must look out for them.
        """
        if getattr(self.objective, "adapter_drop", 0):
            return True
        self.model.eval()
        total, _ = module(self.batches.smallest().to(self.device))
        total.backward()
        idle = any(p.grad is None for p in self.trained.values())
        self.optimizer.zero_grad()
        return idle

    def _updates(self, start: int) -> Iterator[tuple[int, int, list[int]]]:
        """Number, epoch and features of each update that is left."""
        each = self.recipe.updates(len(self.batches))
        size, order = self.recipe.accumulate, []
        for step in range(start, self.steps):
            epoch, at = divmod(step, each)
            if step == start or at == 0:
                order = self.batches.epoch(epoch)
            chosen = order[at * size : (at + 1) * size]
            yield step, epoch, [number for batch in chosen for number in batch]

    def _update(self, loss: nn.Module, step: int, epoch: int, numbers: list[int]) -> Step:
        """One update of the weights, by all processes together."""
        began = time.perf_counter()
        torch.manual_seed(_seed(self.recipe.seed, step, processes.number()))
        own = processes.share(numbers)
        idle = not own  # fewer features than processes: it takes part, with a weight of nothing
        parts = [*self.batches.parts(own or numbers[:1], epoch)]
        weights = [0.0 if idle else self.objective.weight(part) for part in parts]
        tokens = 0 if idle else sum(len(part.ids) for part in parts)
        seen = processes.summed(torch.tensor([sum(weights), tokens], dtype=torch.float64))
        whole = float(seen[0]) or 1.0
        told: dict[str, Tensor] = {"loss": torch.zeros((), dtype=torch.float64)}
        for i, (part, weight) in enumerate(zip(parts, weights, strict=True)):
            last = i == len(parts) - 1
            alone = isinstance(loss, DistributedDataParallel) and not last
            with loss.no_sync() if alone else nullcontext():  # type: ignore[operator]
                with self._autocast():
                    total, named = loss(part.to(self.device))
                share = weight / whole
                # processes have the mean of their gradients, and each has a part of the sum
                self.scaler.scale(total * (share * processes.count())).backward()
            for name, value in {"loss": total.detach(), **named}.items():
                told[name] = told.get(name, 0.0) + value.double().cpu() * share
        values = processes.summed(torch.stack([*told.values()])).tolist()
        shown = dict(zip(told, values, strict=True))
        self._check(shown["loss"], step)
        rate = self.recipe.rate(step, self.steps)
        norm = self._step(rate)
        seconds = time.perf_counter() - began
        each = self.recipe.updates(len(self.batches))
        loss_ = shown.pop("loss")
        done = (step + 1) / each
        return Step(step + 1, self.steps, done, loss_, rate, norm, int(seen[1]), seconds, shown)

    def _autocast(self) -> Any:
        if self.recipe.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.recipe.precision))

    def _step(self, rate: float) -> float:
        """Clips, steps, and forgets the gradients. Gives their length before clipping."""
        self.scaler.unscale_(self.optimizer)
        longest = math.inf if self.recipe.clip is None else self.recipe.clip
        norm = nn.utils.clip_grad_norm_(self.trained.values(), longest)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return float(norm)

    def _check(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise DistilBertError(
                f"the loss of update {step + 1} is {loss}; lower learning_rate "
                f"({self.recipe.learning_rate}), clip more, or look for damaged weights or targets"
            )

    # Evaluation and checkpoints ---------------------------------------------------------------

    def _is_due(self, step: int) -> bool:
        """Whether the model is evaluated after this update."""
        every = self.recipe.evaluate_every or self.recipe.updates(len(self.batches))
        return self.evaluate is not None and ((step + 1) % every == 0 or step + 1 == self.steps)

    def _is_over(self, state: State) -> bool:
        return self.recipe.patience is not None and state.bad >= self.recipe.patience

    def _evaluate(self, state: State) -> bool:
        """Evaluates, and remembers the weights if they are the best so far."""
        assert self.evaluate is not None
        began = time.perf_counter()
        self.model.eval()
        try:
            with torch.no_grad():
                scores = {name: float(score) for name, score in self.evaluate().items()}
        finally:
            self.model.train()
        better = self._is_better(scores, state)
        seconds = time.perf_counter() - began
        epoch = state.step / self.recipe.updates(len(self.batches))
        found = Evaluation(state.step, epoch, scores, better, seconds)
        state.bad = 0 if better else state.bad + 1
        if better:
            state.best = {**vars(found), "scores": scores}
            if self.recipe.keep_best:
                self.best_weights = checkpoint.weights_of(self.model)
        self._tell(found)
        return True

    def _is_better(self, scores: Mapping[str, float], state: State) -> bool:
        name = self.recipe.metric or next(iter(scores), "")
        if name not in scores:
            raise InputError(
                f"no score {name!r} says which weights are best; the evaluation gives "
                f"{', '.join(scores) or 'none'}"
            )
        if math.isnan(scores[name]):
            return False
        if state.best is None:
            return True
        before: float = state.best["scores"][name]
        return scores[name] < before if self.recipe.lower_is_better else scores[name] > before

    def _keep(self, state: State, known: Mapping[str, str], *, evaluated: bool) -> None:
        """Writes a checkpoint where one is due, the best weights before what speaks of them."""
        if self.folder is None or processes.number():
            return
        if evaluated and state.bad == 0 and self.best_weights is not None:
            checkpoint.save_best(self.folder, state.step, self.best_weights)
        every = self.recipe.checkpoint_every
        due = (
            self._ends_epoch(state.step) or evaluated if every is None else state.step % every == 0
        )
        if due or state.step == self.steps:
            scaler = self.scaler.state_dict()
            checkpoint.save(self.folder, state, self.model, self.optimizer, known, scaler)

    def _ends_epoch(self, step: int) -> bool:
        return step % self.recipe.updates(len(self.batches)) == 0

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)


def _seed(seed: int, step: int, process: int) -> int:
    """Of one update in one process, unlike that of any other."""
    mixed = hashlib.blake2b(f"{seed}/{step}/{process}".encode(), digest_size=8)
    return int.from_bytes(mixed.digest(), "little") >> 1
