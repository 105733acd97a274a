from typing import Any

import pytest

from distilbert.errors import TokenizerError
from distilbert.text.template import Frame, Template, read_template, write_template

IDS = {"[CLS]": 2, "[SEP]": 3, "<s>": 7}
NAMES = {id: token for token, id in IDS.items()}


def test_bert_puts_one_token_before_and_one_after_each_text() -> None:
    template = Template.bert(2, 3)
    assert template.single.ids([5, 6], None) == [2, 5, 6, 3]
    assert template.pair.ids([5, 6], [8]) == [2, 5, 6, 3, 8, 3]
    assert template.pair.type_ids(2, 1) == [0, 0, 0, 0, 1, 1]
    assert template.single.type_ids(2, 0) == [0, 0, 0, 0]
    assert (template.single.size, template.pair.size) == (2, 3)


def test_without_special_tokens_the_second_text_still_has_type_1() -> None:
    assert Template.bare().pair.ids([5], [6]) == [5, 6]
    assert Template.bare().pair.type_ids(1, 1) == [0, 1]


@pytest.mark.parametrize(
    "template",
    [
        Template.bert(2, 3),
        Template(
            Frame([7, 2], [], [3, 7], (1, 0, 0, 0, 1)), Frame([7], [3, 3], [2], (0, 1, 1, 0, 2))
        ),
        Template.bare(),
    ],
)
def test_what_is_written_is_read_back(template: Template) -> None:
    written = write_template(template, NAMES.get)
    assert read_template(written, IDS.get) == template


def test_the_older_form_is_read_too() -> None:
    processor = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    assert read_template(processor, IDS.get) == Template.bert(2, 3)


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        ({"type": "RobertaProcessing"}, "'RobertaProcessing'"),
        ({"type": "BertProcessing"}, "damaged"),
        ({"type": "BertProcessing", "sep": ["[X]", 1], "cls": ["[CLS]", 2]}, r"'\[X\]'"),
        ({"type": "TemplateProcessing", "single": 5, "pair": []}, "damaged"),
        (
            {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "B", "type_id": 0}}],
                "pair": [],
                "special_tokens": {},
            },
            "order",
        ),
    ],
)
def test_a_post_processor_that_cannot_be_followed_is_an_error(
    processor: dict[str, Any], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        read_template(processor, IDS.get)
