"""Hub ids, against a small hub on this machine and against caches filled by hand."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from distilbert.errors import FileError
from distilbert.files.hub import Repository

COMMIT = "a" * 40
OTHER = "b" * 40
FILES = {
    "config.json": b'{"model_type": "distilbert"}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "sub/config.json": b'{"inner": true}',
}


class FakeHub(BaseHTTPRequestHandler):
    """Answers as a hub with one public, one private, one gated and one broken repository."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        self.server.seen.append((self.command, self.path))
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        token = self.headers.get("Authorization")
        if repository == "me/gated":
            return self.refuse(403, "GatedRepo")
        if repository == "me/broken":
            return self.refuse(503, "")
        if repository != "me/public" and not (
            repository == "me/private" and token == "Bearer hf_x"
        ):
            return self.refuse(401, "RepoNotFound")
        if revision not in {"main", "v2", COMMIT, OTHER}:
            return self.refuse(404, "RevisionNotFound")
        commit = OTHER if revision in {"v2", OTHER} else COMMIT
        if name not in FILES:
            return self.refuse(404, "EntryNotFound", commit)
        content = FILES[name] + revision.encode() * (revision in {"v2", OTHER})
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hash(content) & 0xFFFFFFFF:08x}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return self.wfile.write(content) if body else None

    def refuse(self, status, code, commit=""):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.daemon_threads = True
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def find(cache, *calls, endpoint="http://127.0.0.1:9", offline=False, **options):
    """Ask for files in a fresh process, as huggingface_hub reads its settings when imported.

    Each call is a name of a file; the answers are file contents, None, or the text of an error.
    """
    code = (
        "import json, sys\nfrom distilbert.files.find import locate\n"
        "from distilbert.errors import FileError\n"
        "name, calls, options = json.loads(sys.argv[1])\nout = []\n"
        "try:\n    source = locate(name, **options)\n"
        "    for call in calls:\n        path = source.path(call)\n"
        "        out.append(None if path is None else path.read_text())\n"
        "except FileError as error:\n    out.append('FileError: ' + str(error))\n"
        "print(json.dumps(out))"
    )
    name = options.pop("name", "me/public")
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_HOME": str(cache), "HF_ENDPOINT": endpoint, "NO_PROXY": "127.0.0.1"}
    env |= {"HF_HUB_OFFLINE": "1" if offline else "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([name, calls, options])],
        check=False,
        capture_output=True,
        text=True,
        env=env,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def url(hub):
    return f"http://127.0.0.1:{hub.server_port}"


def fill(home, name="me/public", commit=COMMIT, reference="main", files=FILES):
    """A hub cache as huggingface_hub lays it out."""
    root = home / "hub" / f"models--{name.replace('/', '--')}"
    for file, content in files.items():
        path = root / "snapshots" / commit / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / reference).write_text(commit)
    return root


def text(name):
    return FILES[name].decode()


def test_files_come_from_the_hub_and_the_second_time_from_the_cache(hub, tmp_path):
    assert find(tmp_path, "config.json", "no.txt", endpoint=url(hub)) == [text("config.json"), None]
    assert [path for method, path in hub.seen if method == "GET"] == [
        f"/me/public/resolve/{COMMIT}/config.json"
    ]
    hub.seen.clear()
    assert find(tmp_path, "config.json", "no.txt", endpoint=url(hub)) == [text("config.json"), None]
    assert not [path for method, path in hub.seen if method == "GET"]
    assert find(tmp_path, "config.json", offline=True) == [text("config.json")]
    assert find(tmp_path, "config.json") == [text("config.json")]  # a hub that does not answer


def test_all_files_are_of_the_commit_that_the_revision_was_at_first(hub, tmp_path):
    find(tmp_path, "config.json", "vocab.txt", endpoint=url(hub), revision="v2")
    fetched = [path for method, path in hub.seen if method == "GET"]
    assert fetched == [
        f"/me/public/resolve/{OTHER}/{name}" for name in ("config.json", "vocab.txt")
    ]


def test_revisions_do_not_mix_in_the_cache(hub, tmp_path):
    find(tmp_path, "config.json", endpoint=url(hub))
    find(tmp_path, "config.json", endpoint=url(hub), revision="v2")
    assert find(tmp_path, "config.json", offline=True) == [text("config.json")]
    (second,) = find(tmp_path, "config.json", offline=True, revision="v2")
    assert second == text("config.json") + OTHER


def test_a_subfolder_of_a_repository_is_looked_into(hub, tmp_path):
    assert find(tmp_path, "config.json", endpoint=url(hub), subfolder="sub") == [
        text("sub/config.json")
    ]


def test_a_token_opens_a_private_repository(hub, tmp_path):
    private = {"name": "me/private", "endpoint": url(hub)}
    assert find(tmp_path, "config.json", token="hf_x", **private) == [text("config.json")]
    (refused,) = find(tmp_path / "empty", "config.json", **private)
    assert "has no repository of this name, or shows it only with a `token`" in refused


def test_a_gated_repository_says_so(hub, tmp_path):
    (refused,) = find(tmp_path, "config.json", name="me/gated", endpoint=url(hub))
    assert "accepted its terms" in refused


def test_a_revision_that_does_not_exist_is_named(hub, tmp_path):
    (refused,) = find(tmp_path, "config.json", revision="v9", endpoint=url(hub))
    assert "'me/public' has no revision 'v9'" in refused


def test_a_hub_that_is_broken_gives_way_to_the_cache(hub, tmp_path):
    start = time.monotonic()
    (refused,) = find(tmp_path, "config.json", name="me/broken", endpoint=url(hub))
    assert "status 503" in refused
    fill(tmp_path, "me/broken")
    assert find(tmp_path, "config.json", name="me/broken", endpoint=url(hub)) == [
        text("config.json")
    ]
    assert time.monotonic() - start < 20  # not the minute of retries of huggingface_hub


def test_a_hub_that_never_answers_is_given_up_after_the_time_out(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, says nothing
        code = (
            "import sys\nfrom distilbert.files.hub import Repository\n"
            "from distilbert.errors import FileError\n"
            "try: Repository('me/public', timeout=0.5).path('config.json')\n"
            "except FileError as error: print(error)"
        )
        env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        env |= {"HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
        env["HF_ENDPOINT"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env=env,
            timeout=20,
        )
    assert "the hub did not answer" in done.stdout
    assert "timed out" in done.stdout.lower()


def test_force_download_fetches_again(hub, tmp_path):
    find(tmp_path, "config.json", endpoint=url(hub))
    hub.seen.clear()
    find(tmp_path, "config.json", endpoint=url(hub), force_download=True)
    assert [path for method, path in hub.seen if method == "GET"]


@pytest.mark.parametrize("how", [{"local_files_only": True}, {"offline": True}])
def test_force_download_without_a_network_is_refused(tmp_path, how):
    fill(tmp_path)
    (refused,) = find(tmp_path, "config.json", force_download=True, **how)
    assert "Leave out force_download" in refused


def test_a_cache_filled_by_hand_needs_no_hub(hub, tmp_path):
    fill(tmp_path)
    for how in ({"local_files_only": True}, {"offline": True}):
        answer = find(tmp_path, "config.json", "no.txt", endpoint=url(hub), **how)
        assert answer == [text("config.json"), None]
    assert hub.seen == []


def test_a_commit_in_the_cache_is_not_asked_for(hub, tmp_path):
    fill(tmp_path)
    assert find(tmp_path, "config.json", endpoint=url(hub), revision=COMMIT) == [
        text("config.json")
    ]
    assert hub.seen == []


def test_another_cache_folder_can_be_named(hub, tmp_path):
    find(tmp_path / "home", "config.json", endpoint=url(hub), cache_dir=str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "models--me--public" / "refs" / "main").read_text() == COMMIT
    assert not (tmp_path / "home" / "hub").exists()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"offline": True}, "HF_HUB_OFFLINE is set"),
        ({"local_files_only": True}, "local_files_only=True"),
        ({}, r"the hub did not answer \(.*refused"),
    ],
)
def test_where_nothing_is_cached_the_error_says_why_and_what_to_do(tmp_path, how, reason):
    (refused,) = find(tmp_path, "config.json", **how)
    assert refused.startswith("FileError: cannot load 'me/public': there is no such folder here")
    assert re.search(reason, refused)
    assert "try again where there is a network" in refused


@pytest.mark.parametrize("right", [True, False])
def test_a_backbone_comes_from_the_hub_if_its_bytes_are_the_known_ones(hub, tmp_path, right):
    known = FILES["vocab.txt"] if right else b"[PAD]\n[BAD]\n"
    files = {"vocab.txt": (len(known), hashlib.sha256(known).hexdigest())}
    code = (
        "import json, sys\nfrom distilbert.files import backbones\n"
        "from distilbert.errors import FileError\n"
        "files = json.loads(sys.argv[1])\n"
        "entry = backbones.Backbone('', 'me/public', 'no-such-model==1', '', files)\n"
        "backbones.BACKBONES = {'small': entry}\n"
        "try: print((backbones.fetch('small') / 'vocab.txt').read_text())\n"
        "except FileError as error: print(error)"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": url(hub), "NO_PROXY": "127.0.0.1"}
    env |= {"DISTILBERT_HOME": str(tmp_path / "home"), "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(files)],
        check=True,
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
    )
    if right:
        assert done.stdout.strip() == text("vocab.txt").strip()
        assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [
            ".small.lock",
            "small",
        ]
        assert not (tmp_path / "hub" / "hub").exists()  # no second copy in the cache of the hub
    else:
        assert "vocab.txt as delivered is not the known file: sha256" in done.stdout
        assert "pip could not download no-such-model==1" in done.stdout


def test_a_required_file_that_the_repository_lacks_is_named(tmp_path):
    fill(tmp_path, files={"config.json": b"{}"})
    source = Repository("me/public", cache_dir=tmp_path / "hub", local_files_only=True)
    with pytest.raises(
        FileError, match=r"no vocab\.txt in the hub repository 'me/public' .*config"
    ):
        source.require("vocab.txt")


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd"])
def test_a_name_that_leads_out_of_the_repository_is_refused(tmp_path, name):
    fill(tmp_path)
    source = Repository("me/public", cache_dir=tmp_path / "hub", local_files_only=True)
    with pytest.raises(FileError, match="not the name of a file inside"):
        source.path(name)
