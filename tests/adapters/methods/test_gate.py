"""Gates: one number for each row and adapter, the mean over the row's real tokens."""

import pytest
import torch

from adapted import batch
from distilbert.adapters.methods.gate import Gate
from distilbert.flow import Flow
from distilbert.layout import Packed, Padded
from effects import with_adapter

LENGTHS = (4, 2)
REAL = torch.arange(4) < torch.tensor(LENGTHS)[:, None]


def test_a_gate_is_the_mean_of_what_it_says_of_the_real_tokens():
    torch.manual_seed(0)
    gate, x = Gate(8, 2), torch.randn(2, 4, 8)
    found = gate(x, Flow(Padded(REAL)))
    each = torch.nn.functional.linear(x, gate.weight, gate.bias).sigmoid()
    torch.testing.assert_close(found, torch.stack([each[0].mean(0), each[1, :2].mean(0)]))
    torch.testing.assert_close(gate(x[REAL], Flow(Packed(LENGTHS))), found)


def test_gates_are_told_only_where_they_are_asked_for():
    gate, values = Gate(8), torch.rand(2, 1)
    assert gate.notes(values, "a", Flow(Padded())) == ()
    (note,) = gate.notes(values.requires_grad_(), "a", Flow(Padded(), gates=True))
    assert (note.kind, note.name) == ("gates", "a")
    assert not note.values.requires_grad


@pytest.mark.diverges("adapters 1.3.0: the mean is over padding too")
@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("seq_bn[use_gating=True]", {"output_adapter": 1}),
        ("double_seq_bn[use_gating=True]", {"mh_adapter": 1, "output_adapter": 1}),
        ("prefix_tuning[use_gating=True]", {"self": 1}),
        ("prefix_tuning[use_gating=True,shared_gating=False]", {"self": 2}),
        ("unipelt", {"selfattn_lora": 2, "self": 1, "output_adapter": 1}),
    ],
)
def test_a_model_tells_the_gates_of_each_row_layer_and_place(text, places):
    model = with_adapter(text).eval()
    ids, mask = batch()
    asked = {"output_adapter_gating_scores": True}
    found = model(ids, mask, **asked).adapter_gating_scores
    assert found.keys() == {"a"}
    assert found["a"].keys() == {0, 1, 2}
    for row, length in enumerate(mask.sum(1).tolist()):
        alone = model(ids[row : row + 1, :length], **asked).adapter_gating_scores
        for layer in range(3):
            gates = found["a"][layer]
            assert {place: gate.shape[1] for place, gate in gates.items()} == places
            for place, gate in gates.items():
                assert gate.shape[0] == len(ids)
                assert ((gate > 0) & (gate < 1)).all()
                torch.testing.assert_close(gate[row], alone["a"][layer][place][0])


def test_a_model_tells_no_gates_that_nobody_asked_for():
    model = with_adapter("seq_bn[use_gating=True]").eval()
    assert "adapter_gating_scores" not in model(*batch())


def test_a_shut_gate_lets_nothing_of_the_adapter_through():
    model = with_adapter("par_bn[use_gating=True]").eval()
    ids, mask = batch()
    plain = model(ids, mask, adapter_names=[]).last_hidden_state
    opened = model(ids, mask).last_hidden_state
    for places in model.get_adapter("a").values():
        for module in places.values():
            torch.nn.init.constant_(module.gate.bias, -200.0)
    torch.testing.assert_close(model(ids, mask).last_hidden_state, plain)
    assert not torch.allclose(opened, plain, atol=1e-3)
