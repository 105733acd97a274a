"""The program in docs/from-adapters.md runs with either package's import lines."""

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "from-adapters.md"


@pytest.mark.filterwarnings("ignore")  # of the other package
def test_the_program_is_the_same_but_for_its_import_lines():
    text = PAGE.read_text(encoding="utf-8")
    before = re.search(r"```py\n(.*?)```", text, re.DOTALL)[1]
    after, body = re.search(r"```python\n(.*?)\n\n(.*?)```", text, re.DOTALL).groups()
    assert len(before.splitlines()) == len(after.splitlines())
    names = {}
    exec(before, names)
    test = doctest.DocTestParser().get_doctest(body, names, PAGE.name, str(PAGE), 0)
    told = []
    doctest.DocTestRunner().run(test, out=told.append, clear_globs=False)
    assert not told, "".join(told)
    assert type(test.globs["model"]).__module__.startswith("adapters.")
