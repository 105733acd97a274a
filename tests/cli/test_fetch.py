import hashlib

import pytest
import typer
from typer.testing import CliRunner

from distilbert.cli import fetch as command
from distilbert.errors import FileError
from distilbert.files import backbones
from distilbert.files.backbones import Backbone

CONTENT = b"[PAD]\n"


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The command alone, with a backbone `small` of one file that lies in the cache."""
    files = {"vocab.txt": (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())}
    table = {"small": Backbone("a stand-in", "me/small", "small==1", "small", files)}
    monkeypatch.setattr(backbones, "BACKBONES", table)
    monkeypatch.setattr(command, "BACKBONES", table)
    monkeypatch.setattr(command, "_NAMES", "small")
    monkeypatch.setenv("DISTILBERT_HOME", str(tmp_path))
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "vocab.txt").write_bytes(CONTENT)
    app = typer.Typer()
    app.command()(command.fetch_command)
    return app


def test_the_folder_stands_alone_on_standard_output_and_the_rest_beside_it(app, tmp_path):
    done = CliRunner().invoke(app, ["small"])
    assert done.exit_code == 0
    assert done.stdout == f"{tmp_path / 'small'}\n"
    assert "small: a stand-in" in done.stderr
    assert "1 files, 0.0 MB, every sha256 as recorded" in done.stderr


def test_a_damaged_file_is_noticed_although_its_size_is_right(app, tmp_path, monkeypatch):
    asked = []

    def deliver(name, backbone, wanted, to, say):
        asked.extend(wanted)
        say("fetching again")
        (to / "vocab.txt").write_bytes(CONTENT)

    monkeypatch.setattr(backbones, "_deliver", deliver)
    CliRunner().invoke(app, ["small"])
    (tmp_path / "small" / "vocab.txt").write_bytes(b"[BAD]\n")
    done = CliRunner().invoke(app, ["small"])
    assert asked == ["vocab.txt"]
    assert "fetching again" in done.stderr
    assert (tmp_path / "small" / "vocab.txt").read_bytes() == CONTENT


def test_an_unknown_name_is_one_of_our_errors(app):
    done = CliRunner().invoke(app, ["large"])
    assert isinstance(done.exception, FileError)
    assert "no backbone 'large'; there are: small" in str(done.exception)
