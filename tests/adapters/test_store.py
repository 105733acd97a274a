"""Folders of AdapterHub: written and read."""

import pytest
import torch
from safetensors.torch import load_file

from adapter_folders import FIXED, SLOT, adapter, bottleneck, by_hand, equal, fusion, head, same
from checkpoints import contents
from distilbert.adapters.composition import BatchSplit, Fuse, PerRow, Stack
from distilbert.adapters.configs import (
    SeqBnConfig,
)
from distilbert.adapters.store import (
    StoredAdapter,
    StoredFusion,
    StoredHead,
    read_adapter,
    read_fusion,
    read_head,
    read_setup,
    write_adapter,
    write_fusion,
    write_head,
    write_setup,
)
from distilbert.errors import AdapterError, FileError


@pytest.mark.parametrize("safe", [True, False])
def test_an_adapter_is_read_as_it_was_written(tmp_path, safe):
    paths = write_adapter(tmp_path / "new" / "folder", adapter(head=head()), safe=safe)
    names = ["adapter.safetensors", "model_head.safetensors"]
    if not safe:
        names = ["pytorch_adapter.bin", "pytorch_model_head.bin"]
    assert sorted(path.name for path in paths) == sorted(
        ["adapter_config.json", "head_config.json", *names]
    )
    assert sorted(contents(tmp_path / "new" / "folder")) == sorted(path.name for path in paths)
    found = read_adapter(tmp_path / "new" / "folder")
    equal(found, adapter())
    assert found.head.name == "a"
    assert found.head.config == head().config


def test_keys_are_written_with_the_published_prefix(tmp_path):
    write_adapter(tmp_path, adapter())
    held = load_file(tmp_path / "adapter.safetensors")
    assert {*held} == {f"distilbert.{key}" for key in bottleneck("a")}


def test_keys_of_the_base_class_have_no_prefix_and_are_read_too(tmp_path):
    by_hand(tmp_path, bottleneck("a"))
    same(read_adapter(tmp_path).weights, bottleneck("a"))


def test_a_head_is_read_only_where_it_is_asked_for(tmp_path):
    write_adapter(tmp_path, adapter(head=FIXED))
    assert read_adapter(tmp_path, with_head=False).head is None
    found = read_adapter(tmp_path).head
    assert (found.name, found.config, found.info["num_labels"]) == (None, None, 2)
    same(found.weights, FIXED.weights)


def test_a_fusion_is_read_as_it_was_written(tmp_path):
    write_fusion(tmp_path, fusion())
    equal(read_fusion(tmp_path), fusion())
    assert read_fusion(tmp_path, with_head=True).head is None


def test_a_fusion_takes_its_head_along(tmp_path):
    with_head = StoredFusion(**{**vars(fusion()), "head": head()})
    write_fusion(tmp_path, with_head)
    assert read_fusion(tmp_path).head is None
    assert read_fusion(tmp_path, with_head=True).head.name == "a"


def test_heads_stand_alone_too(tmp_path):
    for stored, folder in ((head(), tmp_path / "flexible"), (FIXED, tmp_path / "fixed")):
        write_head(folder, stored)
        found = read_head(folder)
        assert (found.name, found.config) == (stored.name, stored.config)
        same(found.weights, stored.weights)


def test_a_configuration_can_be_given_for_files_that_do_not_say_all(tmp_path):
    write_adapter(tmp_path, adapter())
    assert read_adapter(tmp_path, config="seq_bn[reduction_factor=4]").config.reduction_factor == 4
    assert read_adapter(tmp_path).config.reduction_factor == 2


def test_either_kind_of_weights_can_be_preferred_and_the_other_is_read_where_it_is_missing(
    tmp_path,
):
    write_adapter(tmp_path, adapter())
    pickled = tmp_path / "pytorch_adapter.bin"
    same(read_adapter(tmp_path, use_safetensors=False).weights, bottleneck("a"))
    torch.save({}, pickled)
    for preferred in (None, True):
        same(read_adapter(tmp_path, use_safetensors=preferred).weights, bottleneck("a"))
    assert read_adapter(tmp_path, use_safetensors=False).weights == {}
    (tmp_path / "adapter.safetensors").unlink()
    assert read_adapter(tmp_path, use_safetensors=True).weights == {}
    pickled.unlink()
    for preferred in (None, True, False):
        with pytest.raises(FileError, match=r"no adapter\.safetensors or pytorch_adapter\.bin"):
            read_adapter(tmp_path, use_safetensors=preferred)


@pytest.mark.parametrize("safe", [True, False])
def test_saving_again_leaves_no_old_weights_behind(tmp_path, safe):
    write_adapter(tmp_path, adapter(head=head()), safe=not safe)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"of PEFT")
    (tmp_path / "mine.txt").write_text("kept")
    other = adapter("b", head=head("b"))
    write_adapter(tmp_path, other, safe=safe)
    suffix = "safetensors" if safe else "bin"
    assert len([name for name in contents(tmp_path) if name.endswith(("bin", "safetensors"))]) == 2
    assert all(name.endswith((suffix, "json", "txt")) for name in contents(tmp_path))
    equal(read_adapter(tmp_path), other)


def test_saving_an_adapter_keeps_a_head_that_was_saved_apart(tmp_path):
    write_head(tmp_path, head())
    write_adapter(tmp_path, adapter())
    assert read_adapter(tmp_path).head.name == "a"


def test_tensors_that_share_memory_are_written_each_in_whole(tmp_path):
    base = torch.randn(8, 8)
    weights = {
        f"{SLOT}.a.adapter_up.weight": base[:, :4],
        f"{SLOT}.a.adapter_down.0.weight": base[:4],
    }
    write_adapter(tmp_path, adapter(weights=weights))
    same(read_adapter(tmp_path).weights, weights)
    assert (tmp_path / "adapter.safetensors").stat().st_size < 1000


# Setups ------------------------------------------------------------------------------------------


def test_a_setup_names_the_folders_of_its_parts(tmp_path):
    setup = BatchSplit(Fuse("a", "b"), Stack("a", "c"), batch_sizes=[1, 2])
    heads = BatchSplit("h", "g", batch_sizes=[1, 2])
    write_setup(tmp_path / "new", setup.to_dict(), heads.to_dict())
    for name in "abc":
        write_adapter(tmp_path / "new" / name, adapter(name))
    write_fusion(tmp_path / "new" / "a,b", fusion())
    write_head(tmp_path / "new" / "h", head("h"))
    found = read_setup(tmp_path / "new")
    assert found.adapter_setup == setup.to_dict()
    assert found.head_setup == heads.to_dict()
    assert (found.adapters, found.fusions, found.heads) == (("a", "b", "c"), ("a,b",), ("h",))
    for name in found.adapters:
        equal(read_adapter(tmp_path / "new", subfolder=name), adapter(name))
    for missing in ("c", "a,b"):
        for path in (tmp_path / "new" / missing).iterdir():
            path.unlink()
        with pytest.raises(FileError, match=f"needs '{missing}', but"):
            read_setup(tmp_path / "new")
        write_adapter(tmp_path / "new" / "c", adapter("c"))


@pytest.mark.parametrize(
    ("heads", "found"),
    [(None, ()), ("h", ("h",)), (["h", "g"], ("h",)), (True, ("",)), (False, ())],
)
def test_a_setup_says_its_heads_in_several_ways(tmp_path, heads, found):
    write_setup(tmp_path, Stack("a").to_dict(), heads)
    write_adapter(tmp_path / "a", adapter())
    write_head(tmp_path / "h", head("h"))
    write_head(tmp_path, FIXED)
    stored = read_setup(tmp_path)
    assert (stored.head_setup, stored.heads) == (heads, found)


# What cannot be written -------------------------------------------------------------------------

UNWRITABLE = {
    "a name that is a path": (adapter("../x"), "names '../x'; allowed"),
    "a key of another adapter": (adapter(weights=bottleneck("b")), "cannot save .* with 'a'"),
    "a key of no adapter": (adapter(weights={"x": torch.ones(1)}), "cannot save 'x' with 'a'"),
    "a key of a head": (
        adapter(weights={"heads.a.1.weight": torch.ones(1)}),
        "cannot save 'heads",
    ),
    "a head's key elsewhere": (
        adapter(head=StoredHead("a", {}, {}, {"heads.b.1.weight": torch.ones(1)})),
        "start with 'heads.a.'",
    ),
    "a head without settings": (adapter(head=StoredHead("a", None, {}, {})), "both, or neither"),
    "information that is no JSON": (
        StoredAdapter("a", SeqBnConfig(), {"x": object()}, bottleneck("a")),
        r"cannot write adapter_config\.json: .*not JSON serializable",
    ),
    "a number that is none": (
        StoredAdapter("a", SeqBnConfig(), {"x": float("nan")}, bottleneck("a")),
        r"cannot write adapter_config\.json",
    ),
}


@pytest.mark.parametrize("what", UNWRITABLE)
def test_what_no_file_can_hold_is_refused_and_nothing_is_written(tmp_path, what):
    stored, message = UNWRITABLE[what]
    write_adapter(tmp_path / "old", adapter(head=head()))
    before = contents(tmp_path / "old")
    for folder in ("old", "new"):
        with pytest.raises(AdapterError, match=message):
            write_adapter(tmp_path / folder, stored)
    assert contents(tmp_path / "old") == before
    assert not (tmp_path / "new").exists()


def test_a_setup_that_cannot_be_read_again_is_not_written(tmp_path):
    for setup, heads in [
        ({"type": "Heap", "children": []}, None),
        (Stack("a/b").to_dict(), None),
        (Fuse("a", "b", name="..").to_dict(), None),
        (Stack("a").to_dict(), "../h"),
        (Stack("a").to_dict(), {"type": "Stack"}),
    ]:
        with pytest.raises(AdapterError):
            write_setup(tmp_path / "new", setup, heads)
    assert not (tmp_path / "new").exists()
    with pytest.raises(AdapterError, match="PerRow"):
        PerRow(["a"]).to_dict()


def test_a_full_disk_leaves_the_old_files(tmp_path, monkeypatch):
    write_adapter(tmp_path, adapter(head=head()))
    before = contents(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distilbert.files.shards.save_file", full)
    with pytest.raises(FileError, match="No space left"):
        write_adapter(tmp_path, adapter("b"))
    assert contents(tmp_path) == before
