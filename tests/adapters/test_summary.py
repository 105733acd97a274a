"""What adapters a model has, in numbers."""

import pytest

from adapted import tiny
from comparing import alike, made

MTL = "mtl_lora[r=3,n_up_projection=2]"


def test_a_summary_counts_adapters_and_the_model_without_them():
    model = tiny()
    plain = model.num_parameters()
    made({"a": "seq_bn", "b": "prefix_tuning_flat[prefix_length=2]"}, model)
    made({"c": "seq_bn", "v": "vera[r=2]"}, model)
    model.add_adapter_fusion(["a", "c"])
    model.train_adapter(["v", "b"])
    rows = {row["name"]: row for row in model.adapter_summary(as_dict=True)}
    assert [*rows] == ["a", "b", "c", "v", "Full model"]
    sizes = {"a": 3 * (24 + 1 + 24 + 24), "b": 2 * 3 * 2 * 24}
    for name, size in sizes.items():
        assert rows[name]["#param"] == size
        assert rows[name]["%param"] == pytest.approx(100 * size / plain)
    assert {name: row["architecture"] for name, row in rows.items() if "architecture" in row} == {
        "a": "bottleneck",
        "b": "prefix_tuning",
        "c": "bottleneck",
        "v": "lora",
    }
    assert {n: (r["active"], r["train"]) for n, r in rows.items() if "active" in r} == {
        "a": (False, False),
        "b": (True, True),
        "c": (False, False),
        "v": (True, True),  # though its random matrices never train
    }
    assert rows["Full model"] == {
        "name": "Full model",
        "#param": plain,
        "%param": 100.0,
        "train": False,
    }


def test_a_summary_takes_what_is_shared_off_once():
    model = tiny()
    plain = model.num_parameters()
    alike(MTL, model=model)
    before = model.adapter_summary(as_dict=True)
    model.share_parameters(["a", "b"])
    assert model.adapter_summary(as_dict=True) == before
    assert before[-1]["#param"] == plain


def test_a_summary_is_a_table():
    model = alike("seq_bn", ["first", "second"])
    model.set_active_adapters("second")
    lines = model.adapter_summary().splitlines()
    assert lines[1].split() == ["Name", "Architecture", "#Param", "%Param", "Active", "Train"]
    assert lines[3].split()[:3] == ["first", "bottleneck", "219"]
    assert [line.split()[-2:] for line in lines[3:5]] == [["no", "yes"], ["yes", "yes"]]
    total = f"{model.num_parameters() - 2 * 219:,}"
    assert lines[-2].split() == ["Full", "model", total, "100.000", "yes"]
    assert {len(line) for line in lines[2:]} == {80}
