"""Which head reads which rows, and which labels it gets: equal to each row alone."""

import copy
import pickle

import pytest
import torch
from torch.utils import _pytree as pytree

from distilbert import InputError
from distilbert.adapters.composition import Average, BatchSplit, Fuse, Parallel, PerRow, Stack
from distilbert.adapters.setup import AdapterSetup
from distilbert.errors import AdapterError
from distilbert.outputs import MultiHeadOutput, SequenceClassifierOutput, TokenClassifierOutput
from heads import (
    CLASSES,
    COLUMNS,
    IDS,
    MASK,
    ROWS,
    STARTS,
    TAGS,
    assert_close,
    needs,
    with_heads,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# Several heads -------------------------------------------------------------------------------

PER_ROW = ["classes", "tags", "spans", "classes"]


@pytest.mark.parametrize(
    "names",
    [
        PER_ROW,
        ["classes", "masks", "masks", "number"],
        ["next", "trees", "shares", "trees"],
        ["tags"] * 4,
    ],
)
def test_each_row_gets_its_own_head(names):
    model = with_heads(*dict.fromkeys(names))
    asked = {"output_hidden_states": True, "output_attentions": True}
    output = model(
        IDS, MASK, head=PerRow(names), **needs("trees" if "trees" in names else ""), **asked
    )
    assert type(output) is MultiHeadOutput
    assert sorted(row for rows in output.rows for row in rows) == [0, 1, 2, 3]
    for one, rows, name in zip(output, output.rows, dict.fromkeys(names), strict=True):
        assert [names[row] for row in rows] == [name] * len(rows)
        assert one.hidden_states[0].shape[0] == len(rows)
        for place, row in enumerate(rows):
            own = {k: v[row : row + 1] for k, v in needs(name).items()}
            alone = model(IDS[row : row + 1], MASK[row : row + 1], head=name, **own, **asked)
            for key, value in alone.items():
                if isinstance(value, tuple):
                    pairs = zip(one[key], value, strict=True)
                else:
                    pairs = [(one[key], value)]
                for mine, expected in pairs:
                    torch.testing.assert_close(mine[place], expected[0], rtol=1e-5, atol=4e-6)


def test_rows_that_follow_each_other_can_be_counted_instead():
    model = with_heads("classes", "tags")
    split = model(IDS, MASK, head=BatchSplit("classes", "tags", batch_sizes=[1, 3]))
    named = model(IDS, MASK, head=PerRow(["classes", "tags", "tags", "tags"]))
    assert split.rows == named.rows == ((0,), (1, 2, 3))
    for one, other in zip(split, named, strict=True):
        assert_close(one, other)


def test_a_row_without_a_head_of_its_own_takes_the_active_one():
    model = with_heads("classes", "tags")
    model.active_head = "classes"
    output = model(IDS, MASK, head=PerRow([None, "tags", None, None]))
    assert output.rows == ((0, 2, 3), (1,))
    model.active_head = None
    with pytest.raises(AdapterError, match=r"row 0 has no head: .* active_head is None; name"):
        model(IDS, MASK, head=PerRow([None, "tags", None, None]))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (PerRow(["classes"]), "PerRow names heads for 1 rows, and the batch has 4"),
        (BatchSplit("classes", "tags", batch_sizes=[1, 1]), "BatchSplit names heads for 2 rows"),
        (Parallel("classes", "tags"), "for 2 copies of the batch, and the active adapters make 1"),
    ],
)
def test_heads_that_do_not_fit_the_batch_are_refused(head, message):
    with pytest.raises(AdapterError, match=message):
        with_heads("classes", "tags")(IDS, MASK, head=head)


def test_several_heads_read_the_same_rows_once():
    model = with_heads("classes", "tags")
    output = model(IDS, MASK, head=["classes", "tags"])
    assert output.rows is None
    assert output.loss is None
    assert len(output) == 2
    assert_close(output[0], model(IDS, MASK, head="classes"))
    assert_close(output[1], model(IDS, MASK, head="tags"))
    plain = model(IDS, MASK, head=["classes", "tags"], return_dict=False)
    assert type(plain) is tuple
    torch.testing.assert_close(plain[0][0][0], output[0].logits)


def test_an_output_of_several_heads_is_counted_indexed_and_iterated_by_head():
    output = with_heads("classes", "number")(
        IDS, MASK, head=PerRow(["classes", "number"] * 2), labels=CLASSES
    )
    assert len(output) == 2
    assert [*output] == [output[0], output[1]] == [*output.head_outputs]
    assert output["loss"] is output.loss
    assert [*output.keys()] == ["loss", "head_outputs", "rows"]
    assert output.to_tuple() == output[:3] == (output.loss, output.head_outputs, output.rows)
    leaves, shape = pytree.tree_flatten(output)
    for again in (
        pickle.loads(pickle.dumps(output)),
        copy.copy(output),
        pytree.tree_unflatten(leaves, shape),
        MultiHeadOutput(dict(output)),
    ):
        assert type(again) is MultiHeadOutput
        assert again.rows == ((0, 2), (1, 3))
        for one, other in zip(again, output, strict=True):
            assert_close(one, other)
    same = with_heads("classes")(IDS, MASK, head=PerRow(["classes"] * 4))
    assert same.logits.shape == (ROWS, 3)
    assert not hasattr(output, "logits")  # of two widths
    with pytest.raises(AttributeError, match="different shapes"):
        output.logits.shape  # noqa: B018


# Labels --------------------------------------------------------------------------------------


def loss_of(model, name, rows, **labels):
    own = {key: value[rows] for key, value in labels.items()}
    return model(IDS[rows], MASK[rows], head=name, **own).loss


def test_a_tensor_of_labels_is_cut_by_row():
    model = with_heads("classes", "number")
    head = PerRow(["classes", "number", "number", "classes"])
    output = model(IDS, MASK, head=head, labels=CLASSES)
    a = loss_of(model, "classes", [0, 3], labels=CLASSES)
    b = loss_of(model, "number", [1, 2], labels=CLASSES.float())
    torch.testing.assert_close([o.loss for o in output], [a, b])
    torch.testing.assert_close(output.loss, a + b)
    output.loss.backward()
    assert model.heads["number"][1].weight.grad.abs().sum() > 0


def test_a_list_of_labels_may_have_a_number_for_one_row_and_tags_for_another():
    model = with_heads("classes", "tags")
    head = PerRow(["classes", "tags", "tags", "classes"])
    labels = [2, TAGS[1], TAGS[2].tolist(), 0]
    output = model(IDS, MASK, head=head, labels=labels)
    a = loss_of(model, "classes", [0, 3], labels=CLASSES)
    b = loss_of(model, "tags", [1, 2], labels=TAGS)
    torch.testing.assert_close([o.loss for o in output], [a, b])
    same = {"classes": CLASSES[[0, 3]], "tags": TAGS[[1, 2]]}
    torch.testing.assert_close(model(IDS, MASK, head=head, labels=same).loss, output.loss)


def test_a_head_without_labels_leaves_no_common_loss():
    model = with_heads("classes", "tags")
    head = PerRow(["classes", "tags", "tags", "classes"])
    for labels in ({"classes": CLASSES[[0, 3]], "tags": None}, [2, None, None, 0]):
        output = model(IDS, MASK, head=head, labels=labels)
        assert output.loss is None
        assert output[1].loss is None
        torch.testing.assert_close(
            output[0].loss, loss_of(model, "classes", [0, 3], labels=CLASSES)
        )


def test_each_head_takes_the_arguments_of_its_task():
    model = with_heads("classes", "spans", "trees")
    places = {"start_positions": torch.tensor([1, 2, 0, 9]), "end_positions": CLASSES}
    words = {"labels_arcs": torch.tensor([[0, 1], [0, -1], [0, -1], [2, 0]])}
    words["labels_rels"] = words["labels_arcs"].clamp(min=0)
    head = PerRow(["classes", "spans", "trees", "spans"])
    output = model(IDS, MASK, head=head, labels=CLASSES, word_starts=STARTS, **places, **words)
    losses = [
        loss_of(model, "classes", [0], labels=CLASSES),
        loss_of(model, "spans", [1, 3], **places),
        loss_of(model, "trees", [2], word_starts=STARTS, **words),
    ]
    torch.testing.assert_close([o.loss for o in output], losses)
    torch.testing.assert_close(output.loss, torch.stack(losses).sum())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            {"labels": torch.tensor([1, 0])},
            r"labels have shape \(2,\); allowed for heads",
        ),
        ({"labels": torch.tensor(1)}, r"labels have shape \(\)"),
        ({"labels": [1, 0]}, "labels has 2 entries; allowed: 4, one for each row"),
        ({"labels": [1, TAGS[1], TAGS[2], None]}, "of head 'classes' make no tensor: 1 of them"),
        ({"labels": [1, TAGS[1], 3, 1]}, "labels of head 'tags' make no tensor"),
        ({"labels": [1, "a", "b", 1]}, "labels of head 'tags' make no tensor"),
        ({"labels": {"x": CLASSES}}, r"an entry for 'x'; allowed: for \['classes', 'tags'\]"),
        ({"start_positions": CLASSES}, "start_positions are given, and no head of this pass takes"),
        ({"colour": 3}, "colour are given, and no head of this pass takes them: 'classes' takes"),
        (
            {"labels": {"classes": CLASSES, "tags": None}},
            r"labels have shape \(4,\); allowed: \(2,\)",
        ),
        (
            {"labels": {"classes": CLASSES[:2]}},
            r"entries for \['classes'\] and none for 'tags', so .* no loss; give one for each",
        ),
        ({"labels": {}}, r"labels has entries for \[\] and none for 'classes'"),
    ],
)
def test_labels_that_no_head_can_use_are_told(labels, message):
    head = PerRow(["classes", "tags", "tags", "classes"])
    with pytest.raises(InputError, match=message):
        with_heads("classes", "tags")(IDS, MASK, head=head, **labels)


def test_labels_without_a_head_are_refused():
    with pytest.raises(InputError, match=r"labels are given, and no head .* it has none; add"):
        with_heads()(IDS, MASK, labels=CLASSES)


def test_bad_inputs_are_told_as_everywhere():
    model = with_heads("classes")
    with pytest.raises(InputError, match="neither of input_ids and inputs_embeds"):
        model()
    with pytest.raises(InputError, match="input_ids is a list"):
        model([[1, 2]])


# Choices -------------------------------------------------------------------------------------


def test_choices_of_a_row_stay_together():
    model = with_heads("choice", "classes")
    ids, mask = IDS.view(2, 2, COLUMNS), MASK.view(2, 2, COLUMNS)
    labels = torch.tensor([1, 0])
    whole = model(ids, mask, head="choice", labels=labels)
    assert whole.logits.shape == (2, 2)
    assert_close(whole, model(IDS, MASK, head="choice", labels=labels))
    assert_close(whole, model(IDS, MASK, head="choice", labels=[1, 0]))
    embeds = model.get_input_embeddings()(ids)
    assert_close(whole, model(None, mask, inputs_embeds=embeds, head="choice", labels=labels))
    for row in (0, 1):
        alone = model(ids[[row]], mask[[row]], head="choice").logits
        torch.testing.assert_close(alone[0], whole.logits[row], rtol=1e-5, atol=4e-6)


def test_rows_of_choices_may_have_heads_of_their_own():
    model = with_heads("choice")
    model.add_multiple_choice_head("other", layers=1)
    ids, mask = torch.stack([IDS, IDS.roll(1, 0)], 1), torch.stack([MASK, MASK.roll(1, 0)], 1)
    labels = torch.tensor([1, 0, 0, 1])
    names = ["other", "choice", "other", "other"]
    output = model(ids, mask, head=PerRow(names), labels=labels)
    assert output.rows == ((0, 2, 3), (1,))
    for one, rows, name in zip(output, output.rows, ["other", "choice"], strict=True):
        alone = model(ids[[*rows]], mask[[*rows]], head=name, labels=labels[[*rows]])
        assert_close(one, alone)


def test_choices_that_do_not_fit_are_refused():
    model = with_heads("choice", "classes")
    with pytest.raises(InputError, match="an axis of 2 choices, which head 'classes' does not"):
        model(IDS.view(2, 2, COLUMNS), head="classes")
    with pytest.raises(InputError, match="chooses among 2 texts, and the batch has 3 rows"):
        model(IDS[:3], head="choice")
    with pytest.raises(InputError, match="chooses among 2 texts"):
        model(IDS, head=PerRow(["choice", "choice", "classes", "classes"]))
    with pytest.raises(InputError, match=r"attention_mask has shape \(4, 6\), and the batch has"):
        model(IDS.view(2, 2, COLUMNS), MASK, head="choice")


# Adapters ------------------------------------------------------------------------------------


def with_adapters(*names, **settings):
    model = with_heads(*names, **settings)
    for name in names:
        model.add_adapter(name, "seq_bn")
    model.add_adapter("other", "seq_bn")
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "adapters" in name:
                parameter.copy_(torch.randn_like(parameter) / 3)
    return model.eval()


def alone(model, row, adapter, head):
    return model(IDS[[row]], MASK[[row]], adapter_names=adapter, head=head).logits[0]


def test_rows_take_the_heads_that_are_called_as_their_adapters():
    model = with_adapters("classes", "tags")
    model.active_head = "classes"
    rows = ["tags", None, "other", Stack("other", "tags")]
    output = model(IDS, MASK, adapter_names=PerRow(rows))
    assert output.rows == ((0, 3), (1, 2))
    for one, numbers, head in zip(output, output.rows, ["tags", "classes"], strict=True):
        for place, row in enumerate(numbers):
            expected = alone(model, row, rows[row] or [], head)
            torch.testing.assert_close(one.logits[place], expected, rtol=1e-5, atol=4e-6)


def test_a_head_that_is_named_holds_whatever_the_adapters_are_called():
    model = with_adapters("classes", "tags")
    rows = PerRow(["tags", None, "other", "classes"])
    output = model(IDS, MASK, adapter_names=rows, head="classes")
    assert type(output) is SequenceClassifierOutput
    for row, adapter in enumerate(rows):
        expected = alone(model, row, adapter or [], "classes")
        torch.testing.assert_close(output.logits[row], expected, rtol=1e-5, atol=4e-6)


def test_one_head_of_all_rows_gives_its_own_output():
    model = with_adapters("classes", "tags")
    for rows in (PerRow(["classes"] * ROWS), "classes", ["other", "classes"]):
        assert type(model(IDS, MASK, adapter_names=rows)) is SequenceClassifierOutput
    model.active_head = "tags"
    assert type(model(IDS, MASK, adapter_names=PerRow(["other"] * 4))) is TokenClassifierOutput


def test_a_fusion_has_no_head_of_its_own():
    model = with_adapters("classes", "tags")
    model.add_adapter_fusion(["classes", "tags"])
    model.active_head = "classes"
    fused = model(IDS, MASK, adapter_names=Fuse("classes", "tags"))
    assert type(fused) is SequenceClassifierOutput


def test_copies_of_the_batch_each_have_a_head():
    model = with_adapters("classes", "tags")
    labels = {"classes": CLASSES, "tags": TAGS}
    output = model(IDS, MASK, adapter_names=Parallel("classes", "tags"), labels=labels)
    assert output.rows == ((0, 1, 2, 3), (0, 1, 2, 3))
    for one, name in zip(output, labels, strict=True):
        expected = model(IDS, MASK, adapter_names=name, head=name, labels=labels[name])
        assert_close(one, expected)
    both = model(
        IDS, MASK, adapter_names=Parallel("classes", "other"), head="classes", labels=CLASSES
    )
    for one, adapter in zip(both, ("classes", "other"), strict=True):
        assert_close(one, model(IDS, MASK, adapter_names=adapter, head="classes", labels=CLASSES))
    named = model(
        IDS,
        MASK,
        adapter_names=Parallel("other", "other"),
        head=Parallel("classes", "tags"),
        labels=labels,
    )
    assert_close(named[1], model(IDS, MASK, adapter_names="other", head="tags", labels=TAGS))


def test_as_many_heads_as_copies_read_a_copy_each():
    model = with_adapters("classes", "tags")
    both = Parallel("other", "other")
    expected = model(IDS, MASK, adapter_names=both, head=Parallel("classes", "tags"))
    asked = model(IDS, MASK, adapter_names=both, head=["classes", "tags"])
    model.active_head = ["classes", "tags"]
    assert expected.rows == ((0, 1, 2, 3), (0, 1, 2, 3))
    for output in (asked, model(IDS, MASK, adapter_names=both)):
        assert output.rows == expected.rows
        for one, other in zip(output, expected, strict=True):
            assert_close(one, other)
    three = Parallel("other", "classes", "tags")
    with pytest.raises(AdapterError, match=r"'tags'\] are 2 heads, .* make 3 copies of the batch"):
        model(IDS, MASK, adapter_names=three, head=["classes", "tags"])
    one = model(IDS, MASK, adapter_names=both, head=["tags"])
    assert [type(each) for each in one] == [TokenClassifierOutput] * 2


@pytest.mark.parametrize(
    ("setup", "active"),
    [
        (Parallel("classes", "tags"), ["classes", "tags"]),
        (Stack("other", Parallel("classes", Stack("other", "tags"))), ["classes", "tags"]),
        (Parallel("classes"), "classes"),
        (Parallel("classes", "other"), "shares"),
        (
            BatchSplit("classes", Average("other", "tags"), batch_sizes=[1, 3]),
            BatchSplit("classes", "tags", batch_sizes=[1, 3]),
        ),
        (BatchSplit("classes", "other", batch_sizes=[1, 3]), "shares"),
        (Average("classes", "tags"), "shares"),
        (PerRow(["classes", "tags"] * 2), "shares"),
    ],
    ids=repr,
)
def test_activating_a_composition_activates_the_heads_of_its_parts_where_all_are_there(
    setup, active
):
    model = with_adapters("classes", "tags")
    model.add_classification_head("shares")
    model.set_active_adapters(setup)
    assert model.active_head == active
    output = model(IDS, MASK)
    if isinstance(active, list):
        assert [type(one) for one in output] == [SequenceClassifierOutput, TokenClassifierOutput]
        with pytest.raises(AdapterError, match=r"active_head is \['classes', 'tags'\]; name one"):
            model.get_labels()
    assert model.get_labels("classes") == ["LABEL_0", "LABEL_1", "LABEL_2"]


def test_copies_whose_adapter_is_no_single_one_take_the_head_of_its_last():
    model = with_adapters("classes", "tags")
    setup = Parallel(Average("other", "classes"), "tags")
    model.set_active_adapters(setup)
    output = model(IDS, MASK)
    expected = model(IDS, MASK, adapter_names=setup, head=["classes", "tags"])
    for one, other in zip(output, expected, strict=True):
        assert_close(one, other)


def test_choices_take_the_adapter_and_the_head_of_their_row():
    model = with_adapters("choice")
    model.add_multiple_choice_head("other", layers=1)
    ids, mask = torch.stack([IDS, IDS.roll(1, 0)], 1), torch.stack([MASK, MASK.roll(1, 0)], 1)
    rows = ["other", "choice", "choice", "other"]
    output = model(ids, mask, adapter_names=PerRow(rows))
    assert output.rows == ((0, 3), (1, 2))
    for one, numbers, name in zip(output, output.rows, ["other", "choice"], strict=True):
        expected = model(ids[[*numbers]], mask[[*numbers]], adapter_names=name, head=name)
        assert_close(one, expected)


def test_a_setup_names_heads_for_all_calls_inside_it():
    model = with_adapters("classes", "tags")
    with AdapterSetup("classes", head_setup="tags"):
        assert_close(model(IDS, MASK), model(IDS, MASK, adapter_names="classes", head="tags"))
        assert type(model(IDS, MASK, head="classes")) is SequenceClassifierOutput
    model.active_head = "tags"
    with AdapterSetup("classes"):
        assert type(model(IDS, MASK)) is SequenceClassifierOutput
    assert type(model(IDS, MASK)) is TokenClassifierOutput


def test_activating_adapters_activates_their_head_until_another_is_set():
    model = with_adapters("classes", "tags")
    model.set_active_adapters(["other", "classes"])
    assert model.active_head == "classes"
    assert model.config.num_labels == 3
    model.active_head = "tags"
    assert type(model(IDS, MASK)) is TokenClassifierOutput
    assert type(model(IDS, MASK, adapter_names="classes")) is SequenceClassifierOutput
    model.set_active_adapters("other")
    assert model.active_head == "tags"
    model.set_active_adapters(None)
    assert model.active_head == "tags"


def test_gates_are_told_once_for_the_whole_batch():
    model = with_adapters("classes", "tags")
    model.add_adapter("gated", "seq_bn[use_gating=True]")
    asked = {"output_adapter_gating_scores": True}
    output = model(IDS, MASK, adapter_names=PerRow(["gated", None, "gated", None]), **asked)
    assert "gated" in output.adapter_gating_scores
    several = model(IDS, MASK, adapter_names="gated", head=["classes", "tags"], **asked)
    assert "gated" in several.adapter_gating_scores
    assert several[0].adapter_gating_scores is None
    bare = model(IDS, MASK, adapter_names="gated", head=[], **asked)
    assert "gated" in bare.adapter_gating_scores


def test_invertible_adapters_are_taken_back_row_by_row_before_words():
    model = with_adapters("masks", "classes")
    for name in ("one", "two"):
        model.add_adapter(name, "seq_bn_inv")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "invertible" in name:
                parameter.copy_(torch.randn_like(parameter) / 3)
    rows = ["one", "two", None, "one"]
    heads = ["masks", "masks", "masks", "classes"]
    output = model(IDS, MASK, adapter_names=PerRow(rows), head=PerRow(heads))
    for one, numbers, head in zip(output, output.rows, ["masks", "classes"], strict=True):
        for place, row in enumerate(numbers):
            expected = alone(model, row, rows[row] or [], head)
            torch.testing.assert_close(one.logits[place], expected, rtol=1e-4, atol=1e-5)
    model.set_active_adapters("one")
    whole = model(IDS, MASK, head="masks").logits
    torch.testing.assert_close(whole[3], alone(model, 3, "one", "masks"), rtol=1e-4, atol=1e-5)
    assert (whole[3] - alone(model, 3, "classes", "masks")).abs().max() > 0.01
