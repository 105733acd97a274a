"""Words in columns, documents and SQuAD's questions are rows like those of tables."""

import pytest

from distilbert.data.forms import conll_rows, document_rows, squad_rows
from distilbert.errors import FileError


def file(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    return path


def sentences(path, **options):
    return [
        (row.values["tokens"], row.values.get("tags"), int(row.where.rpartition(" ")[2]))
        for row in conll_rows(path, **options)
    ]


def test_sentences_are_parted_by_empty_lines_and_documents(tmp_path):
    path = file(
        tmp_path,
        "-DOCSTART- -X- O\n\nAnna NN B-PER\nruns VB O\n\n\n"
        "Paris NN B-LOC\n-DOCSTART- -X- O\nso RB O",
    )
    assert sentences(path) == [
        (["Anna", "runs"], ["B-PER", "O"], 3),
        (["Paris"], ["B-LOC"], 7),
        (["so"], ["O"], 9),
    ]


def test_columns_are_chosen_by_number(tmp_path):
    path = file(tmp_path, "1\tAnna\tPER\tx\n2\truns\tO\ty\n")
    assert sentences(path, word=1, tag=2) == [(["Anna", "runs"], ["PER", "O"], 1)]
    assert sentences(path, word=-3, tag=None) == [(["Anna", "runs"], None, 1)]


def test_a_comment_has_no_columns_and_a_number_sign_is_a_word(tmp_path):
    tabs = file(tmp_path, "# an id of some words\n#\tSYM\nnew york\tX\n")
    assert sentences(tabs) == [(["#", "new york"], ["SYM", "X"], 2)]
    spaces = file(tmp_path, "# id 7 of it\n# O\nAnna B\n\n#tag O\n")
    assert sentences(spaces) == [(["#", "Anna"], ["O", "B"], 2), (["#tag"], ["O"], 5)]


def test_a_word_may_hold_any_character_but_what_parts_columns(tmp_path):
    path = file(tmp_path, "a\u00a0b\x85 O\r\n\u2028 O\r\n")
    assert sentences(path) == [(["a\u00a0b\x85", "\u2028"], ["O", "O"], 1)]


def test_ranges_and_empty_nodes_of_conllu_are_no_words(tmp_path):
    rest = "\t_" * 6
    lines = ["1-2\tdon't\t_\t_", "1\tdo\t_\tAUX", "2\tn't\t_\tPART", "2.1\tgo\t_\tVERB"]
    path = file(tmp_path, "# sent_id = 1\n" + "".join(f"{line}{rest}\n" for line in lines))
    assert sentences(path, word=1, tag=3) == [(["do", "n't"], ["AUX", "PART"], 3)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a O\nb\n", {}, r"a\.txt, line 2: 1 columns, where the first word has 2"),
        ("a\tO\n\tO\n", {}, r"a\.txt, line 2: an empty word or tag"),
        ("a O\n", {"tag": 2}, r"a\.txt has no column 2, only 2 \(0 to 1, or .* tag= in .*--tag on"),
        ("a\nb\n", {}, r"column 0 would be both word and tag, of 1; .* --tag on .* has both"),
        ("a O\n", {"word": 1}, r"column 1 would be both word and tag, of 2"),
    ],
)
def test_bad_columns_are_an_error_with_file_and_line(tmp_path, text, options, message):
    with pytest.raises(FileError, match=message):
        sentences(file(tmp_path, text), **options)


def test_documents_end_with_empty_lines(tmp_path):
    path = file(tmp_path, "\nTitle\r\nOne.\n \nOther\u2028one.\n")
    found = [(row.values["text"], row.where.rpartition(" ")[2]) for row in document_rows(path)]
    assert found == [(["Title", "One."], "2"), (["Other\u2028one."], "5")]


def squad(**asked):
    question = {"id": "q1", "question": "Who?", "answers": [], **asked}
    return {"data": [{"paragraphs": [{"context": "Anna.", "qas": [question]}]}]}


def test_questions_of_squad_are_rows():
    answer = {"text": "Anna", "answer_start": 0}
    ((values, where),) = squad_rows(squad(answers=[answer]), "a.json")
    assert values == {"id": "q1", "question": "Who?", "context": "Anna.", "answers": [answer]}
    assert where == "a.json, question 'q1'"


def test_a_question_that_is_impossible_has_no_answers():
    answer = {"text": "Anna", "answer_start": 0}
    ((values, _),) = squad_rows(squad(answers=[answer], is_impossible=True), "a.json")
    assert values["answers"] == []


def test_squad_that_lacks_a_part_is_an_error_with_its_question():
    with pytest.raises(FileError, match=r"a\.json, question 'q1': 'answers' is missing"):
        list(squad_rows(squad(answers=None), "a.json"))
    with pytest.raises(FileError, match=r"a\.json is not SQuAD JSON"):
        list(squad_rows({"data": [{"context": "x"}]}, "a.json"))
