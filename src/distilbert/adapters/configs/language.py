"""The short-name language: `name[setting=value,…]`, and `|` between the members of a union."""

import ast
import re
from typing import Any

from distilbert.errors import AdapterError

_LONGEST = 10_000  # characters: the parser is no place for whole files
_WORDS = {"true": True, "false": False, "none": None, "null": None}
_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|.", re.DOTALL)


def parse(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The names that a text holds, each with its settings.

    Values are literals of Python, or true, false, none and null. Raises AdapterError for others.

    >>> parse("lora[r=16,attn_matrices=['q','k']]|seq_bn")
    [('lora', {'r': 16, 'attn_matrices': ['q', 'k']}), ('seq_bn', {})]
    """
    if len(text) > _LONGEST:
        raise AdapterError(f"{text!r:.100}… has over {_LONGEST:,} characters; it is no short name")
    return [_part(part.strip(), text) for part in _parts(text)]


def _parts(text: str) -> list[str]:
    """The text cut at each | that stands outside brackets and quotes."""
    parts, depth = [""], 0
    for token in _TOKEN.findall(text):
        depth += (token in ("[", "{", "(")) - (token in ("]", "}", ")"))
        if token == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _part(part: str, text: str) -> tuple[str, dict[str, Any]]:
    name, bracket, rest = part.partition("[")
    name = name.strip()
    if not name or "]" in name or (bracket and not rest.endswith("]")):
        raise AdapterError(
            f"{text!r:.200} cannot be read at {part!r:.100}; allowed: 'name', "
            "'name[setting=value,…]', and such joined by |"
        )
    return name, _settings(rest[:-1], text) if bracket else {}


def _settings(body: str, text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        call = ast.parse(f"_({body})", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError("write each setting as name=value")
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg in found:
                raise ValueError("write each setting once, as name=value")
            found[keyword.arg] = ast.literal_eval(_Words().visit(keyword.value))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise AdapterError(
            f"[{body:.100}] in {text!r:.200} cannot be read: {reason}; allowed: name=value, with "
            "commas between, each value a number, true, false, None, 'text', a [list] or a {map}"
        ) from None
    return found


class _Words(ast.NodeTransformer):
    """Puts the values for the words of JSON; says what other bare words lack."""

    def visit_Name(self, node: ast.Name) -> ast.Constant:
        if node.id not in _WORDS:
            raise ValueError(f"{node.id} is no value; text stands in quotes, as {node.id!r}")
        return ast.copy_location(ast.Constant(_WORDS[node.id]), node)
