"""Zips of adapters, here and at a URL, and the hub."""

import os
import struct
import threading
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_folders import adapter, equal, head, same, zipped
from distilbert.adapters.composition import Stack
from distilbert.adapters.store import (
    read_adapter,
    read_head,
    read_setup,
    write_adapter,
    write_setup,
)
from distilbert.errors import DistilBertError, FileError


@pytest.mark.parametrize("below", ["", "sst/", "out/of/"])
def test_a_zip_is_read_and_its_unpacked_files_go_away(tmp_path, below, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    write_adapter(tmp_path / "a", adapter(head=head()))
    (tmp_path / "a" / "README.md").write_text("not unpacked")
    found = read_adapter(zipped(tmp_path / "a", tmp_path / "a.zip", below))
    assert [*temporary.iterdir()] == []
    equal(found, adapter())
    same(found.head.weights, read_head(tmp_path / "a").weights)


def test_a_zip_of_a_setup_has_subfolders(tmp_path):
    write_setup(tmp_path / "s", Stack("a", "b").to_dict())
    for name in "ab":
        write_adapter(tmp_path / "s" / name, adapter(name))
    path = zipped(tmp_path / "s", tmp_path / "s.ZIP", below="wrapped/")
    assert read_setup(path).adapters == ("a", "b")
    equal(read_adapter(path, subfolder="b"), adapter("b"))
    equal(read_adapter(path, subfolder="wrapped/b"), adapter("b"))
    with pytest.raises(FileError, match=r"no adapter_config\.json in the archive"):
        read_adapter(path)
    with pytest.raises(FileError, match="has no subfolder 'c'"):
        read_adapter(path, subfolder="c")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves /a.zip, /moved → /a.zip, /short (less than it says), /away → ftp; on this machine."""
    write_adapter(tmp_path / "a", adapter())
    data = zipped(tmp_path / "a", tmp_path / "a.zip").read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            places = {"/moved": "/a.zip", "/away": "ftp://127.0.0.1/a.zip", "/file": "file:///x"}
            if self.path in places:
                self.send_response(302)
                self.send_header("Location", places[self.path])
                self.end_headers()
            elif self.path in {"/a.zip", "/short"}:
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data if self.path == "/a.zip" else data[:-9])
            else:
                self.send_error(404)

        def log_message(self, *_):
            pass

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["/a.zip", "/moved"])
def test_a_zip_at_a_url_is_fetched(server, path):
    equal(read_adapter(server + path), adapter())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none.zip", "could not fetch 'http://127.*404"),
        ("/short", "could not fetch .*bytes came"),
        ("/away", "could not fetch"),
        ("/file", "could not fetch"),
    ],
)
def test_what_cannot_be_fetched_whole_and_from_the_web_is_refused(server, path, message):
    with pytest.raises(FileError, match=message):
        read_adapter(server + path)


def test_what_is_too_large_or_too_slow_is_not_fetched(server, monkeypatch):
    with monkeypatch.context() as slow:
        slow.setattr("distilbert.adapters.archive._LONGEST", -1.0)
        with pytest.raises(FileError, match="did not come within"):
            read_adapter(f"{server}/a.zip")
    monkeypatch.setattr("distilbert.adapters.archive.LARGEST", 100)
    with pytest.raises(FileError, match="more than 100 bytes"):
        read_adapter(f"{server}/a.zip")


def test_nothing_is_fetched_where_no_network_may_be_used(server, monkeypatch):
    with pytest.raises(FileError, match=r"cannot fetch .*local_files_only"):
        read_adapter(f"{server}/a.zip", local_files_only=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileError, match=r"cannot fetch .*HF_HUB_OFFLINE"):
        read_adapter(f"{server}/a.zip")


def test_a_hub_repository_is_read_from_its_cache(tmp_path):
    snapshot = tmp_path / "models--me--sst" / "snapshots" / ("a" * 40)
    write_adapter(snapshot / "inner", adapter(head=head()))
    (tmp_path / "models--me--sst" / "refs").mkdir()
    (tmp_path / "models--me--sst" / "refs" / "main").write_text("a" * 40)
    options = {"cache_dir": tmp_path, "local_files_only": True, "subfolder": "inner"}
    found = read_adapter("me/sst", **options)
    equal(found, adapter())
    assert found.head.name == "a"


# Hostile -----------------------------------------------------------------------------------------


def hostile_zip(path, *entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def entry(name, mode=0o100644):
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name  # the class would tidy it
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    "name",
    [
        "../adapter_config.json",
        "a/../../adapter_config.json",
        "/adapter_config.json",
        "..\\adapter_config.json",
        "C:adapter_config.json",
        "../README.md",
    ],
)
def test_a_name_that_leads_out_of_a_zip_is_refused(tmp_path, name):
    path = hostile_zip(tmp_path / "a.zip", (entry(name), "{}"))
    refused_zip(path, "is not the name of a file inside the archive")
    assert [*tmp_path.iterdir()] == [path]


def test_a_name_with_a_hidden_end_is_refused(tmp_path):
    path = hostile_zip(tmp_path / "a.zip", ("adapter_config.json+x", "{}"))
    path.write_bytes(path.read_bytes().replace(b"json+x", b"json\0x"))
    refused_zip(path, "is not the name of a file inside the archive")


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = hostile_zip(tmp_path / "a.zip", (entry("adapter_config.json", 0o120777), "/etc/passwd"))
    refused_zip(path, "'adapter_config.json' in the archive .* is a link")


def refused_zip(path, message):
    with pytest.raises(FileError, match=message) as error:
        read_adapter(path)
    assert str(path) in str(error.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(tmp_path):
    twice = [("adapter_config.json", "{}"), ("./adapter_config.json", "{}")]
    refused_zip(hostile_zip(tmp_path / "a.zip", *twice), "holds two files of one name")
    same = [("adapter_config.json", "{}")] * 2
    refused_zip(hostile_zip(tmp_path / "b.zip", *same), "holds two files of one name")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("distilbert.adapters.archive.LARGEST", 10**6)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("adapter_config.json", "adapter.safetensors"):
            archive.writestr(name, b"0" * 600_000)
    assert (tmp_path / "a.zip").stat().st_size < 5000
    refused_zip(tmp_path / "a.zip", "holds more than 1,000,000 bytes")


def test_a_zip_of_too_many_files_is_not_unpacked(tmp_path):
    entries = [(f"{number}.txt", "") for number in range(2001)]
    refused_zip(hostile_zip(tmp_path / "a.zip", *entries), "has 2,001 entries")


def test_what_is_not_known_or_lies_too_deep_is_not_unpacked(tmp_path):
    entries = [("a/b/c/d/adapter_config.json", "{}"), ("run.py", ""), (".", "")]
    refused_zip(
        hostile_zip(tmp_path / "a.zip", *entries),
        r"no adapter_config\.json in the archive .* no files that are known here",
    )


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"text", b"PK\x05\x06" + bytes(18)])
def test_a_zip_that_is_none_is_refused(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    refused_zip(tmp_path / "a.zip", "is not a zip that can be read|no adapter_config")


def test_an_encrypted_zip_is_refused(tmp_path):
    path = hostile_zip(tmp_path / "a.zip", ("adapter_config.json", "{}"))
    raw = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", raw, raw.index(signature) + flags, 1)
    path.write_bytes(bytes(raw))
    refused_zip(path, "is not a zip that can be read.*encrypted")


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_any_changed_byte_of_a_zip_is_read_or_is_one_of_our_errors(
    tmp_path_factory, position, byte
):
    folder = tmp_path_factory.mktemp("zip")
    write_adapter(folder / "a", adapter())
    path = zipped(folder / "a", folder / "a.zip")
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] = byte
    path.write_bytes(bytes(raw))
    with suppress(DistilBertError):
        equal(read_adapter(path), adapter())
