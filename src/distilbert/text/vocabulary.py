"""A WordPiece vocabulary: from token to id and back, read from and written to `vocab.txt`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

from distilbert.errors import FileError, TokenizerError
from distilbert.files.atomic import writing


class Vocabulary(Mapping[str, int]):
    """A frozen mapping from token to id; `token(id)` goes back.

    tokens: in the order of their ids, or a mapping to ids that are all different.
    unk: the token that stands for every word that has no pieces; it must be there.
    source: what messages call it, the file's path for instance.
    Raises TokenizerError for no tokens, a token or an id twice, a lone surrogate, or no `unk`.
    """

    def __init__(
        self,
        tokens: Sequence[str] | Mapping[str, int],
        *,
        unk: str = "[UNK]",
        source: str = "the vocabulary",
    ) -> None:
        if isinstance(tokens, (str, bytes)) or not isinstance(tokens, (Mapping, Sequence)):
            raise TokenizerError(
                f"{source} has to be a list of tokens, or a mapping from token to id, "
                f"not {repr(tokens)[:60]}"
            )
        if not tokens:
            raise TokenizerError(
                f"{source} is empty; it needs one token per entry, {unk!r} among them"
            )
        for token in tokens:
            if not isinstance(token, str):
                raise TokenizerError(f"{source}: {token!r} is no token; tokens are strings")
        if isinstance(tokens, Mapping):
            for token, id in tokens.items():
                if type(id) is not int or not 0 <= id < 2**32:
                    raise TokenizerError(
                        f"{source}: {token!r} has {repr(id)[:40]} for an id; ids are whole "
                        "numbers, 0 or more and below 2**32"
                    )
            self._ids = dict(tokens)
        else:
            self._ids = {token: id for id, token in enumerate(tokens)}
            if len(self._ids) != len(tokens):
                raise _token_twice(tokens, source)
        _refuse_surrogates(self._ids, source)
        self._tokens = {id: token for token, id in self._ids.items()}
        if len(self._tokens) != len(self._ids):
            raise _id_twice(self._ids, source)
        if unk not in self._ids:
            raise TokenizerError(
                f"{source} has no unknown token {unk!r}; add it, or name the right one as unk_token"
            )
        self.unk = unk
        self.unk_id = self._ids[unk]

    @classmethod
    def read(cls, path: str | PathLike[str], *, unk: str = "[UNK]") -> Vocabulary:
        """Read a `vocab.txt`: UTF-8, one token per line, ids are line numbers counted from 0.

        Lines end with a line feed, a carriage return, or both, and with nothing else: a token may
        hold U+2028 and its like. A blank line is the token "" and keeps its id.
        Raises FileError if there is no such file, TokenizerError if what it holds cannot work.
        """
        path = Path(path)
        text = _decode(_content(path), path)
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if not lines[-1]:
            lines.pop()  # the end of the last line, not a blank line
        return cls(lines, unk=unk, source=str(path))

    def write(self, path: str | PathLike[str]) -> None:
        """Write a `vocab.txt`, atomically. Raises TokenizerError if lines cannot express it."""
        ordered = sorted(self._ids.items(), key=lambda item: item[1])
        for line, (token, id) in enumerate(ordered):
            if id != line:
                raise TokenizerError(
                    f"the vocabulary has no token of id {line}, so {path} cannot hold it: "
                    "lines are numbered without gaps; save a tokenizer.json instead"
                )
            if "\n" in token or "\r" in token:
                raise TokenizerError(
                    f"token {token!r} (id {id}) holds a line end, so {path} cannot hold it: "
                    "save a tokenizer.json instead"
                )
        with writing(Path(path)) as temporary:
            content = "".join(f"{token}\n" for token, _ in ordered)
            temporary.write_bytes(content.encode())

    def token(self, id: int) -> str | None:
        """The token of an id, None if no token has it."""
        return self._tokens.get(id)

    def __getitem__(self, token: str) -> int:
        return self._ids[token]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, unk={self.unk!r})"


def _is_no_path(path: Path) -> bool:
    """Whether no system takes this for a path: it holds a zero or a lone surrogate."""
    try:
        return b"\0" in os.fsencode(path)
    except UnicodeEncodeError:
        return True


def _content(path: Path) -> bytes:
    if _is_no_path(path):
        raise FileError(f"{str(path)!r} can be no path of a file")
    if path.is_dir():
        raise FileError(f"{path} is a folder, not a vocabulary file; name the vocab.txt inside it")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileError(f"no vocabulary file at {path}; give the path of a vocab.txt") from error
    except OSError as error:
        raise FileError(f"the vocabulary {path} cannot be read: {error.strerror}") from error


def _decode(content: bytes, path: Path) -> str:
    """The text of a vocabulary file, without the byte order mark that some editors put first."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TokenizerError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; "
            "a vocabulary is UTF-8 text with one token per line"
        ) from error


def _refuse_surrogates(ids: Mapping[str, int], source: str) -> None:
    try:
        "".join(ids).encode()
    except UnicodeEncodeError:
        for token, id in ids.items():
            if any("\ud800" <= char <= "\udfff" for char in token):
                raise TokenizerError(
                    f"{source}: token {token!a} (id {id}) holds a lone surrogate, which no text "
                    "may hold; replace it"
                ) from None
        raise


def _token_twice(tokens: Sequence[str], source: str) -> TokenizerError:
    first: dict[str, int] = {}
    for line, token in enumerate(tokens, start=1):
        if token in first:
            return TokenizerError(
                f"{source}: {token!r} stands in line {first[token]} and again in line {line}; "
                "each token may stand once, because its line is its id"
            )
        first[token] = line
    raise AssertionError("called for tokens that are all different")


def _id_twice(ids: Mapping[str, int], source: str) -> TokenizerError:
    first: dict[int, str] = {}
    for token, id in ids.items():
        if id in first:
            return TokenizerError(
                f"{source}: {first[id]!r} and {token!r} both have id {id}; each needs its own"
            )
        first[id] = token
    raise AssertionError("called for ids that are all different")
