"""Damaged and malicious checkpoints: one clear error each, and nothing changed."""

import json
import os
import pickle
import struct
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from checkpoints import SIZES, contents, safetensors_bytes, tiny, write_checkpoint
from distilbert import DistilBertConfig, DistilBertModel
from distilbert.errors import DistilBertError, FileError
from distilbert.files.checkpoint import load_pretrained, save_pretrained


@pytest.fixture
def folder(tmp_path):
    save_pretrained(tiny(DistilBertModel), tmp_path / "model")
    return tmp_path / "model"


def refused(folder, message, kind=FileError, **options):
    before = contents(folder)
    with pytest.raises(kind, match=message) as error:
        load_pretrained(DistilBertModel, folder, **options)
    assert contents(folder) == before
    assert isinstance(error.value, DistilBertError)
    return str(error.value)


def loads_or_names(folder):
    """Whether the folder loads, or the error is one of ours and names it."""
    try:
        load_pretrained(DistilBertModel, folder)
    except DistilBertError as error:
        return str(folder) in str(error)
    return True


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


SAFETENSORS = {
    "empty": b"",
    "shorter than a number": b"abc",
    "a header that is not there": struct.pack("<Q", 100),
    "a header of four exabytes": struct.pack("<Q", 2**62) + b"{}",
    "a header over the limit": struct.pack("<Q", 200_000_000) + b"{}" + b" " * 100,
    "a header that is no JSON": safetensors_bytes(b"{'a'", b""),
    "a header that is an array": safetensors_bytes(b"[]", b""),
    "a header that is not UTF-8": safetensors_bytes(b'{"\xff": 1}', b""),
    "a header that nests": safetensors_bytes(b'{"a":' + b"[" * 9999 + b"]" * 9999 + b"}", b""),
    "overlap": safetensors_bytes({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
    "a hole": safetensors_bytes({"a": entry([2], 4, 12)}, bytes(12)),
    "bytes of nobody": safetensors_bytes({"a": entry([2], 0, 8)}, bytes(12)),
    "a shape that needs more": safetensors_bytes({"a": entry([3], 0, 8)}, bytes(8)),
    "a shape that overflows": safetensors_bytes({"a": entry([2**40, 2**40], 0, 8)}, bytes(8)),
    "a negative shape": safetensors_bytes({"a": entry([-2], 0, 8)}, bytes(8)),
    "offsets beyond the file": safetensors_bytes({"a": entry([2], 0, 8)}, bytes(4)),
    "offsets backwards": safetensors_bytes({"a": entry([2], 8, 0)}, bytes(8)),
    "an unknown dtype": safetensors_bytes({"a": entry([2], 0, 8, "F33")}, bytes(8)),
    "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
}


@pytest.mark.parametrize("what", SAFETENSORS)
def test_a_damaged_safetensors_file_is_refused(folder, what):
    (folder / "model.safetensors").write_bytes(SAFETENSORS[what])
    message = refused(folder, "is not a whole safetensors file")
    assert str(folder / "model.safetensors") in message
    assert "Download or copy it again" in message


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.999])
def test_a_truncated_safetensors_file_is_refused(folder, share):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(folder, "is not a whole safetensors file")


@given(position=st.integers(0, 2000), byte=st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_any_changed_byte_of_a_header_loads_or_is_one_of_our_errors(
    tmp_path_factory, position, byte
):
    folder = tmp_path_factory.mktemp("changed")
    save_pretrained(tiny(DistilBertModel), folder)
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[position] = byte
    path.write_bytes(bytes(data))
    assert loads_or_names(folder)


def test_a_folder_in_place_of_the_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    refused(folder, r"model\.safetensors' is a folder, where a file is needed")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_place_of_the_weights_is_refused_and_not_waited_for(tmp_path):
    (tmp_path / "config.json").write_text(DistilBertConfig(**SIZES).to_json_string())
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(FileError, match="is not a regular file"):
        load_pretrained(DistilBertModel, tmp_path)


def test_missing_files_are_named(tmp_path, folder):
    with pytest.raises(FileError, match="there is no folder"):
        load_pretrained(DistilBertModel, tmp_path / "nowhere")
    with pytest.raises(FileError, match="is a file; give the folder"):
        load_pretrained(DistilBertModel, folder / "model.safetensors")
    (folder / "config.json").unlink()
    refused(folder, r"no config\.json in the folder .* it has model\.safetensors")


def test_a_missing_weights_file_is_named(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, r"no model\.safetensors or pytorch_model\.bin.*it has config\.json")


# Index files -------------------------------------------------------------------------------------


def with_index(folder, content):
    (folder / "model.safetensors").unlink()
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "model.safetensors.index.json").write_text(text)


@pytest.mark.parametrize(
    "shard",
    [
        "../x.safetensors",
        "/etc/passwd",
        "a/../../x",
        "below/x.safetensors",
        "..\\x",
        "C:x",
        "..",
        ".",
        "",
        "x\0y",
        None,
        7,
        ["x"],
    ],
)
def test_an_index_that_names_a_path_is_refused(folder, shard):
    save_file({"a": torch.ones(1)}, folder.parent / "x.safetensors")  # it exists, all the same
    with_index(folder, {"weight_map": {"embeddings.LayerNorm.weight": shard}})
    refused(folder, "a shard is a file beside its index, never a path")


def test_an_index_that_names_a_missing_shard_is_refused(folder):
    with_index(folder, {"weight_map": {"a": "model-00001-of-00002.safetensors"}})
    refused(folder, r"names the shard 'model-00001-of-00002\.safetensors', which is not in")


def test_an_index_that_promises_a_key_that_no_shard_holds_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "model.safetensors").write_bytes(b"")
    with_index(folder, {"weight_map": {"not.there": "one.safetensors"}})
    refused(folder, r"says that 'not\.there' is in 'one\.safetensors', which does not hold it")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds a JSON array"),
        ("{}", "has no 'weight_map'"),
        ('{"weight_map": {}}', "has no 'weight_map'"),
        ('{"weight_map": ["a"]}', "has no 'weight_map'"),
        ('{"weight_map": {"a": "x", "a": "y"}}', "key 'a' stands twice"),
        ("not json", "is not JSON"),
    ],
)
def test_an_index_that_is_no_index_is_refused(folder, content, message):
    with_index(folder, content)
    refused(folder, message)


def test_a_damaged_shard_is_named(folder):
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    data = (folder / "one.safetensors").read_bytes()
    (folder / "one.safetensors").write_bytes(data[:-1])
    (folder / "model.safetensors").write_bytes(b"")
    with_index(folder, {"weight_map": {"embeddings.LayerNorm.weight": "one.safetensors"}})
    refused(folder, r"one\.safetensors' .* is not a whole safetensors file")


# Pickles -----------------------------------------------------------------------------------------


class Touch:
    """Unpickled without care, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def with_pickle(folder, write):
    (folder / "model.safetensors").unlink()
    write(folder / "pytorch_model.bin")


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(folder, tmp_path):
    for old in (True, False):
        path = tmp_path / f"touched{old}"
        target = folder / "pytorch_model.bin"
        (folder / "model.safetensors").unlink(missing_ok=True)
        torch.save({"a": Touch(path)}, target, _use_new_zipfile_serialization=not old)
        refused(folder, "is not a file of plain tensors")
        assert not path.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_bare_pickle_that_would_run_code_is_refused_and_runs_none(folder, tmp_path):
    path = tmp_path / "touched"
    with_pickle(folder, lambda target: target.write_bytes(pickle.dumps(Touch(path))))
    refused(folder, "is not a file of plain tensors")
    assert not path.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.ones(1)], "holds a list; a state dict"),
        (torch.ones(1), "holds a Tensor; a state dict"),
        ({"a": 1}, "holds a int under 'a'"),
        ({"state_dict": {"a": torch.ones(1)}}, "under 'state_dict'"),
        ({3: torch.ones(1)}, "under 3"),
        ({"a": torch.ones(2, 2).to_sparse()}, "holds a special tensor under 'a'"),
        (tiny(DistilBertModel).embeddings, "is not a file of plain tensors"),
    ],
)
def test_a_pickle_of_anything_but_plain_tensors_is_refused(folder, value, message):
    with_pickle(folder, lambda target: torch.save(value, target))
    refused(folder, message)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x02}q\x00.", b"PK\x03\x04", b"text\n", b"c"])
def test_a_pickle_that_is_none_is_refused(folder, data):
    with_pickle(folder, lambda target: target.write_bytes(data))
    refused(folder, r"pytorch_model\.bin")


def test_a_zip_that_is_no_checkpoint_is_refused(folder):
    def write(target):
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("x", "y")

    with_pickle(folder, write)
    refused(folder, "is not a file of plain tensors")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_pickle_is_refused(folder, share, zipped):
    def write(target):
        state = tiny(DistilBertModel).state_dict()
        torch.save(state, target, _use_new_zipfile_serialization=zipped)
        target.write_bytes(target.read_bytes()[: int(target.stat().st_size * share)])

    with_pickle(folder, write)
    refused(folder, "is not a file of plain tensors")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_changed_byte_of_a_pickle_loads_or_is_one_of_our_errors(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("changed")
    (folder / "config.json").write_text(DistilBertConfig(**SIZES).to_json_string())
    torch.save(
        tiny(DistilBertModel).state_dict(),
        folder / "pytorch_model.bin",
        _use_new_zipfile_serialization=False,
    )
    raw = bytearray((folder / "pytorch_model.bin").read_bytes())
    raw[data.draw(st.integers(0, min(3000, len(raw) - 1)))] = data.draw(st.integers(0, 255))
    (folder / "pytorch_model.bin").write_bytes(bytes(raw))
    assert loads_or_names(folder)


# Values and kinds --------------------------------------------------------------------------------


def change(folder, key, value):
    state = tiny(DistilBertModel).state_dict() | {key: value}
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "model.safetensors")


def test_wrong_shapes_are_named_with_both_and_the_remedy(folder):
    change(folder, "embeddings.word_embeddings.weight", torch.ones(60, 8))
    message = refused(
        folder,
        r"embeddings\.word_embeddings\.weight has shape \[60, 8\] in the checkpoint and \[50, 8\]",
    )
    assert "pass ignore_mismatched_sizes=True" in message


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_numbers_are_refused(folder, dtype):
    change(folder, "transformer.layer.0.ffn.lin1.weight", torch.ones(16, 8).to(dtype))
    refused(folder, f"lin1.weight' holds {str(dtype).removeprefix('torch.')} values")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_numbers_are_reported_and_logged(folder, value, caplog):
    key = "transformer.layer.0.ffn.lin1.weight"
    tensor = torch.ones(16, 8)
    tensor[3, 5] = value
    change(folder, key, tensor)
    _, report = load_pretrained(DistilBertModel, folder)
    assert report.not_finite == [key]
    assert not report.complete
    report.log()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{key} is not finite (NaN or infinity)" in caplog.text


def test_finite_values_whose_sum_is_not_are_not_reported(folder):
    change(folder, "transformer.layer.0.ffn.lin1.weight", torch.full((16, 8), 3e38))
    _, report = load_pretrained(DistilBertModel, folder)
    assert report.not_finite == []


def test_values_too_large_for_the_wanted_dtype_are_reported(folder):
    change(folder, "transformer.layer.0.ffn.lin1.weight", torch.full((16, 8), 1e6))
    _, report = load_pretrained(DistilBertModel, folder, dtype="float16")
    assert report.not_finite == ["transformer.layer.0.ffn.lin1.weight"]


def test_weights_of_no_kin_are_refused(tmp_path):
    write_checkpoint(
        tmp_path, {"model.0.weight": torch.ones(2)}, {"model_type": "distilbert", **SIZES}
    )
    refused(tmp_path, r"no weight of .* belongs to a DistilBertModel: it holds model\.0\.weight")


@pytest.mark.parametrize("kind", ["roberta", "gpt2", "", 3, None, ["distilbert"]])
def test_a_folder_of_another_kind_of_model_is_refused(folder, kind):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": kind}))
    refused(folder, "model_type", kind=DistilBertError)


@pytest.mark.parametrize("content", [b"[]", b"", b'{"a": "\xff"}'])
def test_a_configuration_that_is_no_object_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    refused(folder, r"config\.json")
