"""The command line as a process: what it imports, Ctrl-C, broken pipes, terminals."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

HEAVY = {"torch", "numpy", "tokenizers", "transformers", "safetensors", "huggingface_hub"}


def _start(*arguments, **options):
    # A background job would hand down that Ctrl-C is ignored, hence the signal.
    code = (
        "import runpy, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "runpy.run_module('distilbert', run_name='__main__', alter_sys=True)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def _lines(count):
    return b"the cat sees a dog\n" * count


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["embed", "--help"], ["info", "-h"]]
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\n"
        f"sys.argv = ['distilbert', *{arguments!r}]\n"
        "from distilbert.cli.main import run\n"
        "try:\n"
        "    run()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print(sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert "distilbert" in done.stdout


def test_tokenize_imports_no_torch(tiny_vocab):
    code = (
        "import sys\n"
        f"sys.argv = ['distilbert', 'tokenize', 'a cat', '-m', {str(tiny_vocab.parent)!r}]\n"
        "from distilbert.cli.main import run\n"
        "try:\n"
        "    run()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_ctrl_c_leaves_no_file_and_exits_with_130(tiny_folder, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    folder = tiny_folder("DistilBertModel")
    process = _start("embed", "-m", folder, "--out", out)
    process.stdin.write(_lines(600))
    process.stdin.flush()
    deadline = time.monotonic() + 120
    while not [one for one in tmp_path.iterdir() if one != out and one.stat().st_size]:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said == b"interrupted\n"
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_reader_that_goes_away_ends_the_work_quietly(tiny_folder):
    folder = tiny_folder("DistilBertModel")
    process = _start("embed", "-m", folder, stdout=subprocess.PIPE)
    process.stdin.write(_lines(3000))
    process.stdin.close()
    first = json.loads(process.stdout.readline())
    process.stdout.close()
    assert first["text"] == "the cat sees a dog"
    assert process.wait(timeout=120) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_behind_the_output_is_one_line(tiny_vocab):
    with open("/dev/full", "wb") as full:
        process = _start("tokenize", "a cat", "-m", tiny_vocab.parent, stdout=full)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said == b"error: No space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", ["--help", "--version", "embed --help"])
def test_a_help_that_cannot_be_written_is_one_line(arguments):
    done = _shell(f"{arguments} >/dev/full")
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def _shell(arguments):
    command = f"{shlex.quote(sys.executable)} -m distilbert {arguments}"
    return subprocess.run(command, check=False, shell=True, capture_output=True, text=True)


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("tokenize -m MODEL <&-", 1, "error: there is no text in standard input: nothing to do\n"),
        ("tokenize cat -m MODEL >&-", 1, "error: Bad file descriptor\n"),
        ("tokenize cat -m MODEL --out OUT >&-", 0, ""),
        ("tokenize cat -m MODEL --out OUT <&- >&- 2>&-", 0, ""),
        ("tokenize cat -m nowhere/at/all 2>&-", 1, ""),
        ("--help >&-", 1, "error: Bad file descriptor\n"),
    ],
)
def test_closed_streams_end_in_one_line_or_quietly(tiny_vocab, tmp_path, arguments, code, said):
    out = tmp_path / "out.jsonl"
    names = {"MODEL": tiny_vocab.parent, "OUT": out}
    for name, path in names.items():
        arguments = arguments.replace(name, shlex.quote(str(path)))
    done = _shell(arguments)
    assert (done.returncode, done.stderr, done.stdout) == (code, said, "")
    if str(out) in arguments:
        assert len(out.read_text().splitlines()) == 1


def test_ctrl_c_while_the_commands_are_imported_is_one_line():
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from distilbert.cli.main import run\n"
        "run()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_an_error_is_one_line_without_a_traceback(tmp_path):
    process = _start("embed", "--in", tmp_path / "nowhere.txt", stdout=subprocess.PIPE)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert out == b""
    assert said.startswith(b"error: there is no file")
    assert said.count(b"\n") == 1


def test_a_warning_is_one_line_without_a_place_in_the_code(tiny_folder):
    folder = tiny_folder("DistilBertForMaskedLM")
    process = _start("fill", "[MASK]", "-m", folder, "--target", "Cat", stdout=subprocess.PIPE)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(out)["fills"][0]["token_str"] == "cat"
    assert said == (
        b"warning: the target 'Cat' is not in the vocabulary; its first token 'cat' stands for it\n"
    )


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs terminals as Unix has them")
def test_on_a_terminal_there_is_a_table(tiny_vocab):
    ours, theirs = os.openpty()
    process = _start("tokenize", "a cat", "-m", tiny_vocab.parent, stdout=theirs)
    os.close(theirs)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, b"")
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "[CLS]" in shown
    assert "token" in shown
    assert "{" not in shown


def test_a_package_that_is_run_is_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "distilbert", "--version"], capture_output=True, check=True
    )
    assert done.stdout.startswith(b"distilbert ")
