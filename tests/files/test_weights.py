import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from checkpoints import contents, safetensors_bytes
from distilbert.errors import FileError, InputError
from distilbert.files.find import Folder
from distilbert.files.shards import obsolete, parse_size, write_weights
from distilbert.files.weights import open_weights, with_variant

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4), "c": torch.zeros(2)}


def source(folder):
    return Folder(str(folder), folder)


def same(found, wanted=TENSORS):
    return found.keys() == wanted.keys() and all(torch.equal(found[k], wanted[k]) for k in wanted)


# Reading -----------------------------------------------------------------------------------------


def test_safetensors_are_preferred_then_their_shards_then_pickles(tmp_path):
    marks = {
        "pytorch_model-00001-of-00001.bin": 4.0,
        "pytorch_model.bin": 3.0,
        "model-00001-of-00001.safetensors": 2.0,
        "model.safetensors": 1.0,
    }
    indexes = {4.0: "pytorch_model.bin.index.json", 2.0: "model.safetensors.index.json"}
    for name, mark in marks.items():
        tensors = {"mark": torch.tensor([mark])}
        if name.endswith(".bin"):
            torch.save(tensors, tmp_path / name)
        else:
            save_file(tensors, tmp_path / name)
        if mark in indexes:
            (tmp_path / indexes[mark]).write_text(json.dumps({"weight_map": {"mark": name}}))
        assert open_weights(source(tmp_path))["mark"].item() == mark
    assert open_weights(source(tmp_path), use_safetensors=False)["mark"].item() == 3.0
    (tmp_path / "model.safetensors").unlink()
    assert open_weights(source(tmp_path), use_safetensors=True)["mark"].item() == 2.0


def test_a_variant_is_a_part_of_every_name(tmp_path):
    assert (
        with_variant("model.safetensors.index.json", "fp16") == "model.safetensors.index.fp16.json"
    )
    save_file(TENSORS, tmp_path / "model.fp16.safetensors")
    assert same(open_weights(source(tmp_path), variant="fp16"))
    with pytest.raises(FileError, match=r"no model\.safetensors or pytorch_model\.bin, .*fp16"):
        open_weights(source(tmp_path))


def test_weights_of_another_kind_are_named_with_what_to_do(tmp_path):
    with pytest.raises(FileError, match=r"no model\.safetensors .*check the name"):
        open_weights(source(tmp_path))
    (tmp_path / "tf_model.h5").write_bytes(b"x")
    with pytest.raises(FileError, match=r"it has tf_model\.h5, of another framework: convert"):
        open_weights(source(tmp_path))
    torch.save(TENSORS, tmp_path / "pytorch_model.bin")
    with pytest.raises(FileError, match=r"it has pytorch_model\.bin: load that"):
        open_weights(source(tmp_path), use_safetensors=True)


def test_mapped_tensors_can_be_written_without_changing_the_file(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    before = contents(tmp_path)
    weights = open_weights(source(tmp_path))
    weights["b"].add_(1)
    assert weights["b"].tolist() == [2.0] * 4
    assert contents(tmp_path) == before
    assert weights.apart("b").tolist() == [1.0] * 4


def test_mapped_tensors_outlive_the_file(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    weights = open_weights(source(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    assert same(weights)


def test_a_header_of_odd_length_gives_whole_numbers_at_word_boundaries(tmp_path):
    body = torch.tensor([1.0, 2.0, 3.0]).numpy().tobytes()
    header = b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'
    header += b" " * ((3 - len(header)) % 8)
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(header, body))
    tensor = open_weights(source(tmp_path))["a"]
    assert tensor.data_ptr() % 4 == 0
    assert tensor.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_of_both_formats_are_read(tmp_path, zipped):
    torch.save(TENSORS, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert same(open_weights(source(tmp_path)))


def test_parameters_in_a_pickle_become_plain_tensors(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(keep_vars=True), tmp_path / "pytorch_model.bin")
    assert not any(tensor.requires_grad for tensor in open_weights(source(tmp_path)).values())


# Writing -----------------------------------------------------------------------------------------


def write(folder, stage_name=".stage", **options):
    stage = folder / stage_name
    stage.mkdir()
    names = write_weights(options.pop("tensors", TENSORS), stage, folder, **options)
    for name in names:
        (stage / name).rename(folder / name)
    stage.rmdir()
    return names


def test_small_weights_are_one_file_that_says_its_format(tmp_path):
    assert write(tmp_path) == ["model.safetensors"]
    header = (tmp_path / "model.safetensors").read_bytes()
    assert b'"__metadata__":{"format":"pt"}' in header
    assert same(load_file(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("safetensors", [True, False])
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_are_cut_in_order_and_read_back(tmp_path, safetensors, variant):
    names = write(tmp_path, safetensors=safetensors, variant=variant, max_shard_size=24)
    assert len(names) == 3
    index = json.loads((tmp_path / names[-1]).read_text())
    assert index["metadata"]["total_size"] == 24 + 16 + 8
    assert {key: names.index(shard) for key, shard in index["weight_map"].items()} == {
        "a": 0,
        "b": 1,
        "c": 1,
    }
    assert same(open_weights(source(tmp_path), variant=variant))


def test_a_tensor_larger_than_a_shard_has_one_to_itself(tmp_path):
    assert len(write(tmp_path, max_shard_size=1)) == 4


def test_shards_never_take_the_names_of_older_shards(tmp_path):
    first = write(tmp_path, max_shard_size=24)
    old = contents(tmp_path)
    second = write(
        tmp_path, tensors={key: value + 1 for key, value in TENSORS.items()}, max_shard_size=24
    )
    assert not {*first[:-1]} & {*second[:-1]}
    assert all((tmp_path / name).read_bytes() == old[name] for name in first[:-1])
    assert same(open_weights(source(tmp_path)), {k: v + 1 for k, v in TENSORS.items()})
    assert obsolete(tmp_path, second, safetensors=True, variant=None) == first[:-1]


def test_what_would_be_loaded_instead_of_new_weights_is_obsolete_and_nothing_else(tmp_path):
    for name in (
        "model.safetensors",
        "model.fp16.safetensors",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "model-of-mine.safetensors",
        "config.json",
    ):
        (tmp_path / name).write_bytes(b"")

    def names(**options):
        found = obsolete(tmp_path, options.pop("written"), variant=None, **options)
        return {*found}

    sharded = {"model-00001-of-00002.safetensors", "model.safetensors.index.json"}
    assert names(written=["model.safetensors"], safetensors=True) == sharded
    assert names(written=["pytorch_model.bin"], safetensors=False) == {
        *sharded,
        "model.safetensors",
    }


def test_views_and_shared_memory_are_written_as_what_they_show(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"row": base[1], "column": base[:, 1], "whole": base, "again": base}
    for safetensors in (True, False):
        write(tmp_path, tensors=tensors, safetensors=safetensors)
        assert same(open_weights(source(tmp_path), use_safetensors=safetensors), tensors)
    assert (tmp_path / "pytorch_model.bin").stat().st_size < 5000


def test_weights_without_values_are_refused(tmp_path):
    with pytest.raises(FileError, match=r"cannot save 'a'.*device 'meta'"):
        write(tmp_path, tensors={"a": torch.empty(2, device="meta")})


@pytest.mark.parametrize(
    ("size", "number"),
    [(7, 7), ("7B", 7), ("5KB", 5000), ("2 GB", 2 * 10**9), ("1.5MiB", 1572864), ("1gib", 2**30)],
)
def test_sizes_are_read_with_their_units(size, number):
    assert parse_size(size) == number


@pytest.mark.parametrize("size", ["", "GB", "5", "5 XB", "-1GB", 0, -1, True, None, 1.5, "0MB"])
def test_sizes_that_mean_nothing_are_refused(size):
    with pytest.raises(InputError, match="max_shard_size is"):
        parse_size(size)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_that_may_not_be_read_are_told_so_and_not_called_damaged(
    tmp_path, monkeypatch, name
):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / name).write_bytes(b"x")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileError, match=r"cannot read .*: Permission denied; get the"):
        open_weights(source(tmp_path))
