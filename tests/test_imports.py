"""Imports are late where a user waits for them, and point one way everywhere."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import distilbert

SOURCE = Path(distilbert.__file__).parent
HEAVY = (
    "torch",
    "tokenizers",
    "transformers",
    "huggingface_hub",
    "safetensors",
    "numpy",
    "pyarrow",
)

# Each room may import those before it, and itself.
ROOMS = (
    ("errors",),
    ("adapters.foreign",),
    (
        "files.atomic",
        "files.sources",
        "files.foreign",
        "files.backbones",
        "files.hub",
        "files.find",
    ),
    ("settings", "config", "outputs", "layout", "activations", "processes", "products"),
    ("text",),
    ("data",),
    (
        *("adapters.blocks", "adapters.composition", "adapters.site", "adapters.configs"),
        "adapters.setup",
    ),
    ("adapters.naming",),
    ("adapters.plan",),
    ("flow",),
    ("adapters.build", "adapters.methods"),
    ("adapters.stored",),
    ("files",),
    ("adapters",),
    ("model",),
    ("engine",),
    ("training", "evaluation"),
    ("zoo",),
    ("pipelines",),
    ("cli",),
)


FACE_NAMES = {"__version__"}  # what the package itself holds


def room(module: str) -> int:
    """The number of the most exactly named room of a module, below the package's name."""
    found = [
        (len(name), number)
        for number, names in enumerate(ROOMS)
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    assert found, f"{module} stands in no room; give it one in this table"
    return max(found)[1]


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively; name the package"
            for alias in node.names:
                if node.module == "distilbert":
                    found.add(f"distilbert.{distilbert._HOMES.get(alias.name, alias.name)}")
                elif (node.module or "").startswith("distilbert."):
                    full = f"{node.module}.{alias.name}"
                    is_module = (SOURCE.parent / f"{full.replace('.', '/')}.py").exists()
                    found.add(full if is_module else node.module)
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("distilbert.")}
    return {name.removeprefix("distilbert.") for name in found}


FACES = {  # they only name what stands elsewhere
    SOURCE / "__init__.py",
    SOURCE / "__main__.py",
    SOURCE / "adapters" / "__init__.py",
}
FILES = [p for p in SOURCE.rglob("*.py") if p not in FACES]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_one_way(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    module = ".".join(parts).removesuffix(".__init__")
    for other in imports(path) - FACE_NAMES:
        assert room(other) <= room(module), f"{module} imports {other}, which stands above it"


def test_files_are_short_enough_to_be_one_idea():
    long = {p.name: n for p in FILES if (n := len(p.read_text(encoding="utf-8").split("\n"))) > 450}
    assert not long


def run(code: str, *options: str) -> str:
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import distilbert", HEAVY),
        ("import distilbert; distilbert.DistilBertConfig()", HEAVY),
        ("import distilbert; dir(distilbert); distilbert.DistilBertError", HEAVY),
        (
            "import distilbert; distilbert.DistilBertTokenizer",
            ("torch", "transformers", "tokenizers"),
        ),
        ("import distilbert; distilbert.DistilBertTokenizerFast", ("torch", "transformers")),
        (
            "import distilbert; distilbert.DistilBertModel",
            ("transformers", "tokenizers", "pyarrow"),
        ),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code, heavy):
    loaded = run(f"{code}\nimport sys; print(*sys.modules)").split()
    assert "distilbert" in loaded
    assert not set(loaded) & set(heavy)


def test_every_public_name_is_there_and_documented():
    assert set(distilbert.__all__) <= set(dir(distilbert))
    for name in distilbert.__all__:
        assert getattr(distilbert, name).__doc__, name
    names = run("from distilbert import *\nprint(*sorted(n for n in dir() if n[0] != '_'))").split()
    assert names == sorted(distilbert.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'DistilBertForNothing'"):
        distilbert.DistilBertForNothing  # noqa: B018


def test_what_a_type_checker_sees_is_what_is_there():
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.asname: f"{node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert seen == {name: f"distilbert.{home}" for name, home in distilbert._HOMES.items()}
