"""Where special tokens stand around texts: `[CLS] A [SEP]`, `[CLS] A [SEP] B [SEP]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from distilbert.errors import TokenizerError


class Frame(NamedTuple):
    """The ids that stand around one text, or around two; and the type ids of everything."""

    before: list[int]
    between: list[int]
    """Empty for one text."""
    after: list[int]
    types: tuple[int, int, int, int, int] = (0, 0, 0, 1, 1)
    """Type id of: before, first text, between, second text, after."""

    @property
    def size(self) -> int:
        """How many special tokens there are."""
        return len(self.before) + len(self.between) + len(self.after)

    def ids(self, first: list[int], second: list[int] | None) -> list[int]:
        """The whole row, of self.size + len(first) + len(second) ids."""
        if second is None:
            return [*self.before, *first, *self.after]
        return [*self.before, *first, *self.between, *second, *self.after]

    def type_ids(self, first: int, second: int) -> list[int]:
        """The type ids of a row whose texts have `first` and `second` ids."""
        sizes = (len(self.before), first, len(self.between), second, len(self.after))
        return [type for type, size in zip(self.types, sizes, strict=True) for _ in range(size)]


_ONE = (0, 0, 0, 0, 0)  # type ids of a row of one text


class Template(NamedTuple):
    """The frames of rows of one text and of two."""

    single: Frame
    pair: Frame

    @classmethod
    def bert(cls, cls_id: int, sep_id: int) -> Template:
        """`[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`."""
        return cls(Frame([cls_id], [], [sep_id], _ONE), Frame([cls_id], [sep_id], [sep_id]))

    @classmethod
    def bare(cls) -> Template:
        """No special tokens at all."""
        return cls(Frame([], [], [], _ONE), Frame([], [], []))

    def frame(self, pair: bool) -> Frame:
        return self.pair if pair else self.single


def read_template(
    processor: Mapping[str, Any] | None, token_id: Callable[[str], int | None]
) -> Template:
    """The template of a tokenizer.json's "post_processor".

    Raises TokenizerError if it is of a kind that cannot be read, or names tokens that are not
    in the vocabulary.
    """
    if processor is None:
        return Template.bare()
    try:
        kind = processor.get("type")
        if kind == "BertProcessing":
            sep, head = str(processor["sep"][0]), str(processor["cls"][0])
            return Template.bert(_known(head, token_id), _known(sep, token_id))
        if kind == "TemplateProcessing":
            return Template(
                _frame(processor["single"], processor, token_id, ["A"]),
                _frame(processor["pair"], processor, token_id, ["A", "B"]),
            )
    except TokenizerError:
        raise  # it is a ValueError too
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise TokenizerError(
            f"the post_processor of this tokenizer.json is damaged: {error!r}"
        ) from error
    raise TokenizerError(
        f"this tokenizer.json has a post_processor of type {kind!r}; DistilBERT's are "
        "'TemplateProcessing' and 'BertProcessing'"
    )


def write_template(
    template: Template, id_token: Callable[[int], str | None]
) -> dict[str, Any] | None:
    """The "post_processor" of a tokenizer.json: the inverse of `read_template`."""
    if not template.single.size and not template.pair.size:
        return None
    ids = {id for frame in template for part in frame[:3] for id in part}
    names = {id: str(id_token(id)) for id in ids}
    return {
        "type": "TemplateProcessing",
        "single": _pieces(template.single, names, ["A"]),
        "pair": _pieces(template.pair, names, ["A", "B"]),
        "special_tokens": {
            name: {"id": name, "ids": [id], "tokens": [name]}
            for id, name in sorted(names.items(), key=lambda item: item[1])
        },
    }


def _frame(
    pieces: Sequence[Mapping[str, Any]],
    processor: Mapping[str, Any],
    token_id: Callable[[str], int | None],
    texts: list[str],
) -> Frame:
    parts: list[list[int]] = [[] for _ in range(len(texts) + 1)]
    types: list[int] = [0] * 5
    seen: list[str] = []
    for piece in pieces:
        ((kind, value),) = piece.items()
        if kind == "Sequence":
            seen.append(value["id"])
            types[2 * len(seen) - 1] = value["type_id"]
        else:
            tokens = processor["special_tokens"][value["id"]]["tokens"]
            place = len(seen)
            parts[place].extend(_known(token, token_id) for token in tokens)
            types[4 if place == len(texts) else 2 * place] = value["type_id"]
        if len(seen) > len(texts):
            break
    if seen != texts:
        raise TokenizerError(
            f"the post_processor of this tokenizer.json puts the texts in the order {seen}; "
            f"each of {texts} has to stand in it once, in this order"
        )
    between = parts[1] if len(texts) == 2 else []
    one, two, three, four, five = types
    return Frame(parts[0], between, parts[-1], (one, two, three, four, five))


def _pieces(frame: Frame, names: Mapping[int, str], texts: list[str]) -> list[dict[str, Any]]:
    parts = [frame.before, *([frame.between] if len(texts) == 2 else []), frame.after]
    types = [frame.types[0], *([frame.types[2]] if len(texts) == 2 else []), frame.types[4]]
    found: list[dict[str, Any]] = []
    for place, (part, type) in enumerate(zip(parts, types, strict=True)):
        found += [{"SpecialToken": {"id": names[id], "type_id": type}} for id in part]
        if place < len(texts):
            found.append({"Sequence": {"id": texts[place], "type_id": frame.types[2 * place + 1]}})
    return found


def _known(token: str, token_id: Callable[[str], int | None]) -> int:
    id = token_id(token)
    if id is None:
        raise TokenizerError(
            f"the post_processor names the token {token!r}, which the vocabulary does not have"
        )
    return id
