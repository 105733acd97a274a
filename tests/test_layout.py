"""Padded and packed rows give the same numbers, to rounding, and so do their gradients."""

import pytest
import torch

from distilbert import DistilBertConfig, DistilBertForMaskedLM, DistilBertModel, InputError
from distilbert.flow import Flow
from distilbert.layout import Attend, Insert, Packed, Padded, Prefix

LENGTHS = (5, 5, 2, 7, 1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=50, dim=24, hidden_dim=40, n_layers=2, n_heads=4, initializer_range=0.3
    )
    return DistilBertModel(config).eval()


@pytest.fixture
def rows():
    torch.manual_seed(1)
    return [torch.randint(1, 50, (n,)) for n in LENGTHS]


def padded(rows):
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return ids, Padded(torch.arange(ids.shape[1]) < torch.tensor(LENGTHS)[:, None])


def assert_close(a, b):
    # The same float32 sums in another order, through two layers: a few units in the last place.
    torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6)


def test_packed_rows_answer_as_padded_ones(model, rows):
    ids, layout = padded(rows)
    wide = model.encode(ids, layout).hidden
    tight = model.encode(torch.cat(rows), Packed(LENGTHS)).hidden
    assert_close(tight, wide[layout.real])


def test_packed_rows_have_the_gradients_of_padded_ones(model, rows):
    ids, layout = padded(rows)
    gradients = []
    for hidden in (
        model.encode(ids, layout).hidden[layout.real],
        model.encode(torch.cat(rows), Packed(LENGTHS)).hidden,
    ):
        model.zero_grad()
        (hidden * torch.linspace(-1, 1, 24)).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-5)


def test_a_row_does_not_depend_on_its_batch(model, rows):
    together = model.encode(torch.cat(rows), Packed(LENGTHS)).hidden.split(LENGTHS)
    for row, answer in zip(rows, together, strict=True):
        assert_close(model.encode(row, Packed((len(row),))).hidden, answer)
        assert_close(model(row[None]).last_hidden_state[0], answer)


def test_padding_of_any_content_and_width_changes_nothing(model, rows):
    ids, layout = padded(rows)
    wider = torch.cat([ids, torch.full((5, 3), 9)], 1)
    wider[:, :7][~layout.real] = 11
    real = torch.cat([layout.real, torch.zeros(5, 3).bool()], 1)
    answer = model(wider, real).last_hidden_state[real]
    assert_close(answer, model(ids, layout.real).last_hidden_state[layout.real])


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_the_last_layer_of_chosen_tokens_alone_is_the_same(model, rows, packed):
    ids, layout = (torch.cat(rows), Packed(LENGTHS)) if packed else padded(rows)
    whole = model.encode(ids, layout).hidden
    chosen = ids % 3 == 0  # some rows have none
    if not packed:
        chosen &= layout.real
    read = layout.read(chosen)
    assert 0 in read.counts
    assert max(read.counts) > 1
    assert sum(read.counts) == len(read.index)
    found = model.encode(ids, layout, chosen)
    assert_close(found.hidden, whole[chosen])
    assert found.counts == read.counts
    first = model.encode(ids, layout, "first").hidden
    assert_close(first, layout.first(whole))
    assert first.shape == (5, 24)


def test_choosing_no_token_at_all_gives_none(model, rows):
    ids, layout = torch.cat(rows), Packed(LENGTHS)
    none = torch.zeros_like(ids).bool()
    assert model.encode(ids, layout, none).hidden.shape == (0, 24)


def test_means_are_over_real_tokens_in_both_layouts(rows):
    _, layout = padded(rows)
    x = torch.randn(5, 7, 3)
    expected = torch.stack([x[i, :n].mean(0) for i, n in enumerate(LENGTHS)])
    assert_close(layout.means(x), expected)
    assert_close(Packed(LENGTHS).means(x[layout.real]), expected)
    assert_close(Padded().means(x), x.mean(1))


def test_the_mean_of_a_row_of_padding_alone_is_finite():
    assert not Padded(torch.zeros(1, 4).bool()).means(torch.ones(1, 4, 3)).any()


def test_positions_are_columns_whatever_the_mask():
    left = Padded(torch.tensor([[False, True, True]]))
    assert left.positions(torch.zeros(1, 3, 8)).tolist() == [[0, 1, 2]]
    assert Packed((2, 3)).positions(torch.zeros(5)).tolist() == [0, 1, 0, 1, 2]


def test_head_masks_reach_both_layouts(model, rows):
    ids, layout = padded(rows)
    factors = torch.tensor([[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.0, 2.0]])
    wide = model.encode(ids, Flow(layout, head_mask=factors)).hidden
    tight = model.encode(torch.cat(rows), Flow(Packed(LENGTHS), head_mask=factors)).hidden
    assert_close(tight, wide[layout.real])
    assert (tight - model.encode(torch.cat(rows), Packed(LENGTHS)).hidden).abs().max() > 0.01


def test_dropout_of_attention_drops_in_both_layouts():
    x = torch.randn(2, 5, 8)
    for layout, tokens in ((Padded(), x), (Packed((5, 5)), x.flatten(0, 1))):
        kept, _ = layout.attend(tokens, tokens, tokens, Attend(2))
        dropped, _ = layout.attend(tokens, tokens, tokens, Attend(2, dropout=0.5))
        assert (kept - dropped).abs().max() > 0.01


def test_packed_rows_refuse_attention_probabilities(model, rows):
    with pytest.raises(InputError, match="use padded rows"):
        model.encode(torch.cat(rows), Flow(Packed(LENGTHS), attentions=True))


@pytest.mark.parametrize("lengths", [(), (3, 0), (-1,)])
def test_packed_rows_need_tokens(lengths):
    with pytest.raises(InputError, match="at least 1"):
        Packed(lengths)


def test_gradients_flow_through_chosen_tokens_as_through_all(rows):
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=50, dim=24, hidden_dim=40, n_layers=2, n_heads=4)
    model = DistilBertForMaskedLM(config).eval()
    ids, layout = torch.cat(rows), Packed(LENGTHS)
    chosen = ids % 2 == 0
    gradients = []
    for wanted in (None, chosen):
        model.zero_grad()
        hidden = model.distilbert.encode(ids, layout, wanted).hidden
        logits = model.logits(hidden[chosen] if wanted is None else hidden)
        torch.nn.functional.cross_entropy(logits, ids[chosen]).backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6)


# Rows, columns and what is put into them: every operation against each row by itself ------------


def both(width=3):
    """The same random rows in both layouts: (layout, tokens) each, and the rows by themselves."""
    generator = torch.Generator().manual_seed(2)
    own = [torch.randn(n, width, generator=generator) for n in LENGTHS]
    wide = torch.nn.utils.rnn.pad_sequence(own, batch_first=True, padding_value=9.0)
    real = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    return own, {"padded": (Padded(real), wide), "packed": (Packed(LENGTHS), torch.cat(own))}


def split(layout, x):
    """The real tokens of each row."""
    if isinstance(layout, Packed):
        return [*torch.split(x, list(layout.lengths))]
    real = x.new_ones(x.shape[:2]).bool() if layout.real is None else layout.real
    return [row[mask] for row, mask in zip(x, real, strict=True)]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


LAYOUTS = pytest.mark.parametrize("kind", ["padded", "packed"])


@LAYOUTS
def test_neighbouring_rows_have_layouts_of_their_own(kind):
    own, made = both()
    layout, x = made[kind]
    assert layout.count(x) == 5
    sizes = layout.sizes([2, 3])
    pieces = zip(layout.parts([2, 3]), torch.split(x, sizes), strict=True)
    assert_same([row for part, piece in pieces for row in split(part, piece)], own)
    assert layout.own_sizes([2, 3]) == sizes  # nothing was put in
    assert_same(split(layout.parts([5])[0], x), own)


@LAYOUTS
def test_rows_may_be_picked_and_repeated(kind):
    own, made = both()
    layout, x = made[kind]
    order = [3, 0, 4, 2, 1]
    assert_same(split(layout.picked(order), layout.pick(x, order)), [own[i] for i in order])
    some = [4, 4, 1]
    assert_same(split(layout.picked(some), layout.pick(x, some)), [own[i] for i in some])
    assert_same(split(layout.repeated(3), layout.repeat(x, 3)), own * 3)


@LAYOUTS
def test_values_of_rows_are_spread_over_their_tokens(kind):
    own, made = both()
    layout, x = made[kind]
    values = torch.arange(10.0).view(5, 2)
    found = split(layout, layout.spread(values).expand(*x.shape[:-1], 2))
    assert_same(found, [v.expand(len(row), 2) for v, row in zip(values, own, strict=True)])
    assert_close(layout.means(layout.spread(values).expand(*x.shape[:-1], 2)), values)


@LAYOUTS
def test_offsets_count_the_real_tokens_before_and_behind(kind):
    _, made = both()
    layout, x = made[kind]
    before, behind = (split(layout, o[..., None]) for o in layout.offsets(x))
    for n, a, b in zip(LENGTHS, before, behind, strict=True):
        assert a[:, 0].tolist() == [*range(n)]
        assert b[:, 0].tolist() == [*range(n)][::-1]


def test_offsets_pass_over_padding_wherever_it_is():
    before, behind = Padded(torch.tensor([[False, True, True, False, True]])).offsets(
        torch.zeros(1, 5, 2)
    )
    assert before[0, [1, 2, 4]].tolist() == [0, 1, 2]
    assert behind[0, [1, 2, 4]].tolist() == [2, 1, 0]
    assert Padded().offsets(torch.zeros(1, 3, 2))[1].tolist() == [[2, 1, 0]]


@pytest.mark.parametrize("splits", [[3, 4], [3, 99], [3, 1], [1, 1, 1], [7, 1], [10, 2], [4]])
@LAYOUTS
def test_columns_are_cut_apart_and_joined(kind, splits):
    own, made = both()
    layout, x = made[kind]
    pieces, layouts = layout.cut(x, splits), layout.cut_layouts(x, splits)
    assert len(pieces) == len(layouts) == len(splits)
    start = 0
    for i, (piece, inner) in enumerate(zip(pieces, layouts, strict=True)):
        stop = start + splits[i] if i + 1 < len(splits) else 99
        expected = [row[start:stop] for row in own]
        if kind == "packed":  # rows that end before have no part in it
            expected = [row for row in expected if len(row)]
        if inner is None:
            assert piece.shape[0] == 0
            assert not expected
        else:
            assert_same(split(inner, piece), expected)
        start = stop
    assert torch.equal(layout.join(pieces, splits), x)
    assert torch.equal(layout.join([2 * piece for piece in pieces], splits), 2 * x)


FRONT, BEHIND = torch.full((2, 3), 5.0), torch.full((3, 3), 6.0)
INSERTS = {
    "front": [Insert(5, FRONT)],
    "behind": [Insert(5, None, BEHIND)],
    "both": [Insert(5, FRONT, BEHIND)],
    "some rows": [Insert(1), Insert(2, FRONT), Insert(2, FRONT[:1], BEHIND)],
    "nothing": [Insert(5)],
}


def with_vectors(own, inserts):
    """Each row with what comes into it."""
    of_row = [insert for insert in inserts for _ in range(insert.rows)]
    rows = []
    for row, insert in zip(own, of_row, strict=True):
        front, behind = (row[:0] if v is None else v for v in (insert.front, insert.behind))
        rows.append(torch.cat([front, row[:1], behind, row[1:]]))
    return rows


@pytest.mark.parametrize("name", INSERTS)
@LAYOUTS
def test_vectors_are_put_into_rows_and_taken_out_again(kind, name):
    own, made = both()
    layout, x = made[kind]
    more, inner = layout.insert(x, INSERTS[name])
    expected = with_vectors(own, INSERTS[name])
    assert_same(split(inner, more), expected)
    assert torch.equal(inner.own(more, 7), x)
    assert inner.own_sizes([2, 3]) == layout.sizes([2, 3])
    assert_close(inner.means(more), torch.stack([row.mean(0) for row in expected]))


@pytest.mark.parametrize("name", INSERTS)
@LAYOUTS
def test_what_was_put_into_rows_goes_with_them(kind, name):
    own, made = both()
    layout, x = made[kind]
    more, inner = layout.insert(x, INSERTS[name])
    order = [3, 0, 4, 2, 1]
    picked, moved = inner.picked(order), inner.pick(more, order)
    assert_same(split(layout.picked(order), picked.own(moved, 7)), [own[i] for i in order])
    twice = inner.repeated(2)
    assert_same(split(layout.repeated(2), twice.own(inner.repeat(more, 2), 7)), own * 2)
    pieces = torch.split(more, inner.sizes([2, 3]))
    outer = layout.parts([2, 3])
    for part, given, piece, rows in zip(
        inner.parts([2, 3]), outer, pieces, (own[:2], own[2:]), strict=True
    ):
        assert_same(split(given, part.own(piece, 7)), rows)


@pytest.mark.parametrize("name", INSERTS)
@LAYOUTS
def test_tokens_are_chosen_among_those_of_the_caller(kind, name):
    own, made = both()
    layout, x = made[kind]
    more, inner = layout.insert(x, INSERTS[name])
    chosen = x[..., 0] > 0
    if kind == "padded":
        chosen &= layout.real
    read = inner.read(chosen, more)
    expected = [row[row[:, 0] > 0] for row in own]
    assert read.counts == tuple(map(len, expected))
    assert 0 in read.counts
    assert torch.equal(read.take(more), torch.cat(expected))
    rows = with_vectors(own, INSERTS[name])
    first = inner.read_first(more)  # what stands first, put in or not
    assert first.counts == (1,) * 5
    assert torch.equal(first.take(more), torch.stack([row[0] for row in rows]))
    assert torch.equal(inner.first(more), first.take(more))


def test_rows_with_no_padding_need_no_mask_when_all_get_equally_many_vectors():
    x = torch.randn(2, 4, 3)
    assert Padded().insert(x, [Insert(1, FRONT), Insert(1, None, FRONT)])[1].real is None
    uneven = Padded().insert(x, [Insert(1, FRONT), Insert(1)])[1].real
    assert uneven.sum(1).tolist() == [6, 4]


# Prefixes ----------------------------------------------------------------------------------------


def prefixes(width=8):
    """Of each row: none, one that rows share, one of another length, one of each row's own."""
    generator = torch.Generator().manual_seed(4)

    def draw(rows, length):
        return torch.randn(2, rows, length, width, generator=generator)

    return [Prefix(1), Prefix(2, *draw(1, 3)), Prefix(2, *draw(2, 2))]


def attended(q, k, v, prefix, row):
    """Attention of one row of two heads, written out."""
    if prefix.keys is not None:
        row = row if len(prefix.keys) > 1 else 0
        k, v = torch.cat([prefix.keys[row], k]), torch.cat([prefix.values[row], v])
    heads = [torch.tensor_split(x, 2, -1) for x in (q, k, v)]
    said = [(a @ b.T / a.shape[-1] ** 0.5).softmax(-1) @ c for a, b, c in zip(*heads, strict=True)]
    return torch.cat(said, -1)


@pytest.mark.parametrize("reading", [False, True])
@LAYOUTS
def test_rows_attend_to_prefixes_of_their_own(kind, reading):
    own, made = both(24)
    layout, x = made[kind]
    given = prefixes()
    of_row = [(prefix, row) for prefix in given for row in range(prefix.rows)]
    q, k, v = x.chunk(3, -1)
    read = None
    if reading:
        chosen = x[..., 0] > 0
        read = layout.read(chosen if kind == "packed" else chosen & layout.real)
        q = read.take(q)
    context, _ = layout.attend(q, k, v, Attend(2), read, given)
    expected = []
    for row, (prefix, number) in zip(own, of_row, strict=True):
        said = attended(*row.chunk(3, -1), prefix, number)
        expected.append(said[row[:, 0] > 0] if reading else said)
    found = context if reading else torch.cat(split(layout, context))
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_probabilities_have_columns_for_the_longest_prefix():
    _, made = both(24)
    layout, x = made["padded"]
    given = prefixes()
    q, k, v = x.chunk(3, -1)
    context, shown = layout.attend(q, k, v, Attend(2, probabilities=True), None, given)
    assert shown.shape == (5, 2, 7, 3 + 7)
    torch.testing.assert_close(shown.sum(-1), torch.ones(5, 2, 7))
    assert not shown[0, ..., :3].any()  # it has no prefix
    assert not shown[3:, ..., :1].any()  # theirs is shorter
    assert shown[1:3, ..., :3].all()
    real = layout.real
    assert not shown[..., 3:][~real[:, None, None].expand_as(shown[..., 3:])].any()
    plain, _ = layout.attend(q, k, v, Attend(2), None, given)
    torch.testing.assert_close(context[real], plain[real], rtol=1e-4, atol=1e-5)


def test_a_head_mask_reaches_prefixes_too():
    _, made = both(24)
    factors = torch.tensor([0.0, 2.0])
    given = prefixes()
    for layout, x in made.values():
        q, k, v = x.chunk(3, -1)
        plain, _ = layout.attend(q, k, v, Attend(2), None, given)
        masked, _ = layout.attend(q, k, v, Attend(2, head_mask=factors), None, given)
        for a, b in zip(split(layout, masked), split(layout, plain), strict=True):
            torch.testing.assert_close(a, b * factors.repeat_interleave(4), rtol=1e-4, atol=1e-5)
