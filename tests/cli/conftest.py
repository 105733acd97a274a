"""Commands, called in this process. A module says which: `COMMAND = "eval"`."""

import json

import pytest
from typer.testing import CliRunner


@pytest.fixture
def call(request):
    """`call(*arguments)`: the result of the module's command, which must not be a traceback."""
    from distilbert.cli.app import app

    def run(*arguments):
        result = CliRunner().invoke(app, [request.module.COMMAND, *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result

    return run


@pytest.fixture
def records(call):
    """`records(*arguments)`: the JSON lines that it prints."""

    def run(*arguments):
        result = call(*arguments)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    return run


@pytest.fixture
def fails(call):
    """`fails(*arguments)`: the one line that it ends with."""

    def run(*arguments):
        result = call(*arguments)
        assert result.exit_code == 1, result.output
        return " ".join(result.output.split())

    return run
