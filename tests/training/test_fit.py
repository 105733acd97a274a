"""One loop trains everything: it learns, repeats itself, and goes on where it was killed."""

import multiprocessing
import os
import signal
from dataclasses import replace

import pytest
import torch

from distilbert import DistilBertError, FileError, InputError, processes
from distilbert.adapters import DynamicAdapterFusionConfig
from distilbert.data.kinds import KINDS
from distilbert.training import (
    Begin,
    End,
    Evaluation,
    Recipe,
    Step,
    Supervised,
    checkpoint,
    fit,
)
from problems import PLAIN, batches_of, model_for, weights

FAST = Recipe(epochs=4, learning_rate=5e-3, warmup=0.1)
# Of what has no gradient but rounding (biases of keys), AdamW makes steps, unless epsilon is large.
SMOOTH = Recipe(epochs=4, learning_rate=5e-3, epsilon=1e-3)


def run(kind="classification", recipe=FAST, batches=None, adapter=None, **options):
    """A trained model, its events, and how it ended."""
    settings = options.pop("settings", {})
    model = model_for(kind, **settings)
    if adapter:
        model.add_adapter("a", adapter)
        model.train_adapter("a")
    events = []
    made = batches_of(kind, **(batches or {}))
    objective = options.pop("objective", None)
    end = fit(model, made, objective, recipe, observers=[events.append], **options)
    return model, events, end


def losses(events):
    return [event.loss for event in events if isinstance(event, Step)]


def assert_same(a, b, exactly=True):
    assert weights(a).keys() == weights(b).keys()
    for name, value in weights(a).items():
        other = weights(b)[name]
        if exactly:
            assert torch.equal(value, other), name
        else:  # sums of float32 in another order, through a dozen updates of AdamW
            torch.testing.assert_close(value, other, rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_problem_is_learnt(kind):
    recipe = Recipe(epochs=12, learning_rate=5e-3)
    _, events, _ = run(kind, recipe, settings=PLAIN)
    found = losses(events)
    assert len(found) == 36
    goal = 0.97 if kind in ("words", "choice") else 0.7
    assert sum(found[-3:]) < goal * sum(found[:3])


def test_what_is_not_to_be_trained_stays():
    before = model_for("classification")
    before.add_adapter("a", "seq_bn")
    model, events, _ = run(adapter="seq_bn")
    changed = {n for n, p in weights(model).items() if not torch.equal(p, weights(before).get(n))}
    assert changed
    assert all(".a." in name or "classifier" in name for name in changed)
    assert events[0] == Begin(
        0, 12, sum(p.numel() for p in model.parameters() if p.requires_grad), model.num_parameters()
    )


def test_a_run_repeats_itself_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    made = [run()[0] for _ in range(2)]
    torch.manual_seed(5)
    fit(made[0], batches_of("classification"), recipe=Recipe(steps=1))
    assert torch.equal(torch.rand(3), expected)
    assert_same(run()[0], made[1])
    other = run(recipe=Recipe(epochs=4, learning_rate=5e-3, warmup=0.1, seed=7))[0]
    assert not torch.equal(other.classifier.weight, made[1].classifier.weight)


@pytest.mark.parametrize("kind", ["classification", "tags", "words", "spans", "choice"])
def test_batches_cut_into_parts_give_the_same_weights(kind):
    """By the token budget, or by several batches to an update: each part by what it scores."""
    whole = run(kind, SMOOTH, settings=PLAIN)[0]
    parts = run(kind, SMOOTH, batches={"token_budget": 30}, settings=PLAIN)[0]
    assert_same(whole, parts, exactly=False)


def test_several_batches_make_one_update():
    recipe = replace(SMOOTH, accumulate=3)
    model, events, _ = run(recipe=recipe, batches={"batch_size": 8}, settings=PLAIN)
    assert [event.step for event in events if isinstance(event, Step)] == [1, 2, 3, 4]
    whole = run(recipe=SMOOTH, batches={"batch_size": 24}, settings=PLAIN)
    assert_same(model, whole[0], exactly=False)


def test_gradient_checkpointing_changes_nothing_but_memory():
    recipe = Recipe(steps=3, gradient_checkpointing=True)
    model, _, _ = run(recipe=recipe)
    assert_same(model, run(recipe=Recipe(steps=3))[0], exactly=False)
    assert model.base_model.transformer.checkpointing is None


def test_products_may_be_rounded_to_bfloat16():
    exact, rounded = (run(recipe=Recipe(steps=4, precision=p))[0] for p in ("float32", "bfloat16"))
    assert rounded.classifier.weight.dtype == torch.float32
    assert not torch.equal(exact.classifier.weight, rounded.classifier.weight)
    torch.testing.assert_close(
        exact.classifier.weight, rounded.classifier.weight, rtol=0, atol=1e-3
    )


def test_gradients_are_clipped():
    _, events, _ = run(recipe=Recipe(steps=1, clip=None, learning_rate=1e-3))
    norm = events[1].norm
    _, clipped, _ = run(recipe=Recipe(steps=1, clip=norm / 10, learning_rate=1e-3))
    assert clipped[1].norm == pytest.approx(norm)
    assert norm > 0


# Evaluation --------------------------------------------------------------------------------------


def evaluating(scores):
    """Gives these scores one after the other, and keeps the weights that they are of."""
    seen, given = [], iter(scores)

    def evaluate():
        model = evaluate.model
        assert not model.training
        seen.append(model.classifier.weight.detach().clone())
        torch.rand(100)  # an evaluation may draw numbers
        return {"accuracy": next(given)}

    evaluate.seen = seen
    return evaluate


def evaluated(scores, **options):
    evaluate = evaluating(scores)
    model = model_for("classification")
    evaluate.model = model
    events = []
    recipe = Recipe(**{"epochs": len(scores), "learning_rate": 5e-3, **options})
    end = fit(
        model,
        batches_of("classification"),
        None,
        recipe,
        evaluate=evaluate,
        observers=[events.append],
    )
    return model, evaluate.seen, events, end


def test_the_best_weights_are_given_back():
    model, seen, events, end = evaluated([0.2, 0.9, 0.5])
    assert torch.equal(model.classifier.weight, seen[1])
    assert [e.better for e in events if isinstance(e, Evaluation)] == [True, True, False]
    assert (end.step, end.stopped, end.best.step) == (9, False, 6)
    assert end.best.scores == {"accuracy": 0.9}
    assert not torch.equal(seen[1], seen[2])


def test_the_last_weights_may_be_kept_and_lower_scores_be_better():
    model, seen, _, end = evaluated([0.9, 0.2, 0.5], keep_best=False)
    assert torch.equal(model.classifier.weight, seen[2])
    assert end.best.step == 3
    assert evaluated([0.9, 0.2, 0.5], lower_is_better=True)[3].best.step == 6


def test_a_run_stops_when_nothing_becomes_better():
    _, seen, _, end = evaluated([0.5, 0.4, 0.5, 0.9], patience=2)
    assert len(seen) == 3
    assert (end.step, end.stopped) == (9, True)


def test_evaluations_come_every_so_many_updates_and_at_the_end():
    _, _, events, _ = evaluated([0.1] * 5, steps=9, evaluate_every=2, patience=None)
    assert [e.step for e in events if isinstance(e, Evaluation)] == [2, 4, 6, 8, 9]
    assert isinstance(events[-1], End)


def test_evaluations_do_not_change_what_is_learnt():
    model, _, _, _ = evaluated([0.1, 0.2, 0.3, 0.4], warmup=0.1)
    assert_same(model, run()[0])


def test_a_score_that_nobody_gives_is_told():
    with pytest.raises(InputError, match=r"no score 'f1'.*gives accuracy"):
        evaluated([0.5], metric="f1")


def test_a_loss_that_is_no_number_ends_the_run():
    with pytest.raises(DistilBertError, match="loss of update 1 is nan; lower learning_rate"):
        fit_broken(float("nan"))


def fit_broken(value):
    model = model_for("classification")
    model.classifier.bias.data.fill_(value)
    fit(model, batches_of("classification"))


# Going on ----------------------------------------------------------------------------------------


def killing(at):
    """An observer that ends the process at an event of this kind, and how many came before."""
    kind, count = at

    def observe(event):
        nonlocal count
        if isinstance(event, kind):
            count -= 1
            if count < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return observe


class StopError(Exception):
    pass


def stopping(at):
    """An observer that breaks a run off after this update."""

    def observe(event):
        if isinstance(event, Step) and event.step == at:
            raise StopError

    return observe


def scored(model):
    return {"accuracy": float(model.classifier.weight.sum())}


LONG = Recipe(epochs=3, learning_rate=5e-3, checkpoint_every=1, evaluate_every=2)


def train_in(folder, adapter, observers=(), recipe=LONG):
    model = model_for("classification")
    if adapter:
        model.add_adapter("a", adapter)
        model.train_adapter("a")
    batches = batches_of("classification")
    end = fit(
        model,
        batches,
        recipe=recipe,
        evaluate=lambda: scored(model),
        folder=folder,
        resume=True,
        observers=observers,
    )
    return model, end


def torn(folder, adapter, name):
    """Trains, and dies in the middle of the third file of this name."""
    save, count = torch.save, 0

    def half(what, path):
        nonlocal count
        count += name in str(path) or name in os.path.basename(path)
        save(what, path)
        if count == 3:
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half
    train_in(folder, adapter)


def dying(target, *arguments):
    """Runs in a process of its own, which is killed."""
    child = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


def watched(folder, adapter, at):
    train_in(folder, adapter, [killing(at)])


@pytest.mark.parametrize("adapter", [None, "lora[dropout=0.1]"])
@pytest.mark.parametrize(
    "at", [(Begin, 0), (Step, 0), (Step, 4), (Evaluation, 0), (Evaluation, 3), (End, 0)]
)
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, adapter, at):
    expected, end = train_in(tmp_path / "whole", adapter)
    dying(watched, tmp_path / "killed", adapter, at)
    model, again = train_in(tmp_path / "killed", adapter)
    assert_same(model, expected)
    assert (again.step, again.best.scores) == (end.step, end.best.scores)


@pytest.mark.parametrize("name", ["checkpoint", "best"])
def test_a_run_killed_while_it_writes_goes_on_from_what_was_whole(tmp_path, name):
    expected, _ = train_in(tmp_path / "whole", None)
    dying(torn, tmp_path / "killed", None, name)
    assert_same(train_in(tmp_path / "killed", None)[0], expected)
    assert {p.name for p in (tmp_path / "killed").iterdir()} == {"checkpoint.pt", "best.pt"}


def test_fusions_go_on_as_sharp_as_they_were(tmp_path):
    def made():
        model = model_for("classification")
        for name in ("a", "b"):
            model.add_adapter(name, "seq_bn[init_weights='mam_adapter']")
        model.add_adapter_fusion(["a", "b"], DynamicAdapterFusionConfig(temperature=True))
        model.train_adapter_fusion([["a", "b"]])
        return model

    straight, halved = made(), made()
    fit(straight, batches_of("classification"), recipe=Recipe(steps=4, checkpoint_every=2))

    recipe = Recipe(steps=4, checkpoint_every=2)
    with pytest.raises(StopError):
        fit(
            halved,
            batches_of("classification"),
            recipe=recipe,
            folder=tmp_path,
            observers=[stopping(at=3)],
        )
    halved = made()
    fit(halved, batches_of("classification"), recipe=recipe, folder=tmp_path, resume=True)
    assert_same(straight, halved)
    heat = [
        [m.temperature for m in x.modules() if hasattr(m, "temperature")]
        for x in (straight, halved)
    ]
    assert heat[0] == heat[1]
    assert heat[0][0] < 50.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": Recipe(epochs=3, learning_rate=1e-3)}, "another recipe.*learning_rate': 0.005"),
        ({"adapter": "lora[alpha=64]"}, "another adapters.*'alpha': 8"),
        ({"adapter": "seq_bn"}, "another adapters"),
        ({"batches": {"seed": 1}}, "another batches"),
        ({"objective": Supervised(label_smoothing=0.1)}, "another objective.*label_smoothing=0.0"),
        ({"alike": {"dev data": "b"}}, r"another dev data.*\(it had a\)"),
        ({"settings": {"initializer_range": 0.1}}, "another model"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change, message):
    first = {"recipe": LONG, "adapter": "lora", "alike": {"dev data": "a"}, "folder": tmp_path}
    model, _, _ = run(**first)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=message):
        run(**{**first, **change}, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert_same(run(**first, resume=True)[0], model)


def test_a_full_disk_is_told_and_the_last_checkpoint_kept(tmp_path, monkeypatch):
    run(recipe=LONG, folder=tmp_path)
    before = (tmp_path / checkpoint.LAST).read_bytes()

    def full(what, path):
        path.write_bytes(b"half")
        raise RuntimeError(
            "[enforce fail at inline_container.cc:672] . unexpected pos 1 vs 2\nmore"
        )

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(FileError, match=r"checkpoint.pt.*unexpected pos 1 vs 2"):
        run(recipe=LONG, folder=tmp_path)
    assert (tmp_path / checkpoint.LAST).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.LAST]


def test_best_weights_that_someone_took_away_are_not_spoken_of(tmp_path):
    with pytest.raises(StopError):
        train_in(tmp_path, None, [stopping(at=5)])
    (tmp_path / checkpoint.BEST).unlink()
    _, end = train_in(tmp_path, None)
    assert end.best.step > 5


def test_float16_is_refused_where_it_is_slow():
    with pytest.raises(InputError, match="use bfloat16 or float32"):
        run(recipe=Recipe(steps=1, precision="float16"))


def test_each_process_on_gpus_has_one_of_its_own(monkeypatch):
    assert processes.own_device("cuda") == "cuda"
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert processes.own_device("cuda") == "cuda:1"
    assert processes.own_device("cpu") == "cpu"


def test_a_damaged_checkpoint_is_told_and_a_new_run_overwrites_it(tmp_path):
    run(recipe=LONG, folder=tmp_path)
    path = tmp_path / checkpoint.LAST
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FileError, match="no checkpoint that can be read"):
        run(recipe=LONG, folder=tmp_path, resume=True)
    run(recipe=LONG, folder=tmp_path)
    assert run(recipe=LONG, folder=tmp_path, resume=True)[2].step == 9


# Several processes -------------------------------------------------------------------------------


def one_of(number, count, place, kind, adapter, recipe, batches):
    """One of several processes that train a model together; the first saves it."""
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{place}/meet", rank=number, world_size=count
    )
    model, events, _ = run(kind, recipe, batches, adapter, settings=PLAIN)
    told = processes.gathered([f"{number}"] * (3 - number))
    assert told == ["0", "1", "0", "1", "0"]
    assert bool(events) == (number == 0)
    if number == 0:
        torch.save((model.state_dict(), losses(events)), f"{place}/model")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("kind", "adapter", "batches"),
    [
        ("classification", None, {"batch_size": 8, "count": 25}),  # the last batch has one row
        ("tags", "seq_bn", {"batch_size": 7, "token_budget": 30}),
    ],
)
def test_several_processes_train_as_one(tmp_path, kind, adapter, batches):
    recipe = replace(SMOOTH, epochs=2.0)
    alone, events, _ = run(kind, recipe, batches, adapter, settings=PLAIN)
    context = multiprocessing.get_context("fork")
    made = [
        context.Process(target=one_of, args=(n, 2, str(tmp_path), kind, adapter, recipe, batches))
        for n in range(2)
    ]
    for process in made:
        process.start()
    for process in made:
        process.join(60)
        assert process.exitcode == 0
    state, found = torch.load(tmp_path / "model")
    assert found == pytest.approx(losses(events), rel=1e-4)
    together = model_for(kind, **PLAIN)
    if adapter:
        together.add_adapter("a", adapter)
    together.load_state_dict(state)
    assert_same(alone, together, exactly=False)
