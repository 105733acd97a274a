"""The published data sets, a row each: what their files are called, their columns and labels."""

from collections.abc import Mapping

from distilbert.data import sources
from distilbert.data.kinds import Columns, Raw
from distilbert.data.sources import Layout, Source


def _judged(row: Raw) -> Raw | None:
    """A row of SNLI, where "-" says that judges did not agree."""
    return None if row.get("gold_label") == "-" else row


def _question(row: Raw) -> Raw:
    """A row of CommonsenseQA: {"question": {"stem", "choices": [{"label", "text"}]}, …}."""
    question = row["question"]
    choices = {choice["label"]: choice["text"] for choice in question["choices"]}
    made = {**row, "text": question["stem"], "choices": list(choices.values())}
    if "answerKey" in row:
        made["answerKey"] = list(choices).index(row["answerKey"])
    return made


_COPA = {
    "cause": "What was the cause of this?",
    "effect": "What happened as a result?",
}


def _cause(row: Raw) -> Raw:
    """A row of COPA, with its question in words."""
    return {**row, "text": f"{row['premise']} {_COPA[row['question']]}"}


def _ending(row: Raw) -> Raw:
    """A row of SWAG: what follows begins with the second sentence."""
    endings = [f"{row['sent2']} {row[f'ending{number}']}" for number in range(4)]
    return {**row, "choices": endings}


def _unbroken(row: Raw) -> Raw:
    """A review with line breaks as such, not as tags."""
    return {**row, "text": row["text"].replace("<br />", "\n")}


def _story(row: Raw) -> Raw:
    return {**row, "text": f"{row['title']} {row['description']}"}


def _files(suffix: str) -> Mapping[str, tuple[str, ...]]:
    """train, dev and test by their usual names."""
    usual = {"train": ("train",), "dev": ("dev", "val", "valid", "validation"), "test": ("test",)}
    return {split: tuple(f"{name}{suffix}" for name in names) for split, names in usual.items()}


def _columns(label: str, *text: str, id: str | None = None) -> Columns:
    return Columns(text, label, id=id)


def _of_classes(name: str, labels: tuple[str, ...], folder: str, *sources: Source) -> Layout:
    return Layout(name, "classification", sources, labels, (folder,))


def _squad(name: str, version: str) -> Layout:
    files = {
        split: (f"{split}-v{version}.json", f"{split}-v{version}.*.json")
        for split in ("train", "dev")
    }
    columns = Columns(("question", "context"), "answers", id="id")
    return Layout(name, "spans", (Source(files, columns, sources.squad),), folders=("squad",))


def _text(name: str, folder: str, *patterns: tuple[str, str, str]) -> Layout:
    """patterns: The names of train, dev and test files."""
    forms = (
        Source(
            {split: (pattern,) for split, pattern in zip(_SPLITS, names, strict=True)},
            Columns(label=None),
            sources.documents,
        )
        for names in patterns
    )
    return Layout(name, "words", tuple(forms), folders=(folder,))


_TSV = _files(".tsv")
_SPLITS = ("train", "dev", "test")
_PAIR = ("sentence1", "sentence2")
_JUDGED_PAIR = _columns("label", *_PAIR, id="index")
_ENTAILED = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_TYPES = ("corporation", "creative-work", "group", "location", "person", "product")
_BIO = ("O", *(f"{part}-{type}" for type in _TYPES for part in "BI"))
_UPOS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)
_TAGS = Columns(("tokens",), "tags")

_GLUE = (
    _of_classes(
        "cola",
        ("unacceptable", "acceptable"),
        "CoLA",
        Source(
            _TSV,
            _columns("label", "sentence"),
            names=("source", "label", "author_mark", "sentence"),
            headed=("test",),
        ),
    ),
    _of_classes(
        "sst2",
        ("negative", "positive"),
        "SST-2",
        Source(_TSV, _columns("label", "sentence")),
    ),
    _of_classes(
        "mrpc",
        ("not_equivalent", "equivalent"),
        "MRPC",
        Source(_TSV, _columns("Quality", "#1 String", "#2 String")),
        Source(_files(".csv"), _columns("label", *_PAIR)),
    ),
    Layout(
        "stsb",
        "regression",
        (Source(_TSV, _columns("score", *_PAIR, id="index")),),
        folders=("STS-B",),
    ),
    _of_classes(
        "qqp",
        ("not_duplicate", "duplicate"),
        "QQP",
        Source(
            _TSV,
            _columns("is_duplicate", "question1", "question2"),
            lenient=True,  # a few rows of the official file are broken
        ),
        Source(
            {"train": ("bimpm_train.tsv", "bimpm_dev.tsv"), "dev": ("bimpm_test.tsv",)},
            _columns("is_duplicate", "question1", "question2"),
            names=("question1", "question2", "is_duplicate"),
        ),
    ),
    _of_classes(
        "mnli",
        _NLI,
        "MNLI",
        Source(
            {
                "train": ("train.tsv",),
                "dev_matched": ("dev_matched.tsv",),
                "dev_mismatched": ("dev_mismatched.tsv",),
                "test_matched": ("test_matched.tsv",),
                "test_mismatched": ("test_mismatched.tsv",),
            },
            _columns("gold_label", *_PAIR, id="index"),
        ),
        Source(
            {
                "dev_matched": ("mnli_matched*.tsv",),
                "dev_mismatched": ("mnli_mismatched*.tsv",),
            },
            _columns("label", "premise", "hypothesis"),
            names=("label", "premise", "hypothesis"),
        ),
    ),
    _of_classes(
        "qnli",
        _ENTAILED,
        "QNLI",
        Source(_TSV, _columns("label", "question", "sentence", id="index")),
    ),
    _of_classes("rte", _ENTAILED, "RTE", Source(_TSV, _JUDGED_PAIR)),
    _of_classes("wnli", ("not_entailment", "entailment"), "WNLI", Source(_TSV, _JUDGED_PAIR)),
)

_CLASSES = (
    _of_classes(
        "snli",
        _NLI,
        "snli",
        Source(
            {split: (f"snli_{split}.tsv",) for split in _SPLITS},
            _columns("label", "premise", "hypothesis"),
            names=("premise", "hypothesis", "label"),
        ),
        Source(
            {split: (f"snli_1.0_{split}.jsonl",) for split in _SPLITS},
            _columns("gold_label", *_PAIR),
            prepare=_judged,
        ),
        Source(
            {split: (f"snli_1.0_{split}.txt",) for split in _SPLITS},
            _columns("gold_label", *_PAIR),
            prepare=_judged,
            form="tsv",
        ),
    ),
    _of_classes(
        "trec",
        ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
        "trec",
        Source(_TSV, _columns("coarse", "question")),
    ),
    _of_classes("trec_fine", (), "trec", Source(_TSV, _columns("fine", "question"))),
    _of_classes("banking77", (), "banking77", Source(_files(".csv"), _columns("category", "text"))),
    _of_classes(
        "clinc150",
        (),
        "clinc150",
        Source(
            {
                "train": ("train_val.json", "data_full.json"),
                "dev": ("train_val.json", "data_full.json"),
                "test": ("data_full.json",),
            },
            reader=sources.clinc,
        ),
    ),
    _of_classes(
        "emotion",
        ("sadness", "joy", "love", "anger", "fear", "surprise"),
        "emotion",
        Source(_TSV),
    ),
    _of_classes(
        "imdb",
        ("negative", "positive"),
        "imdb",
        Source(
            dict.fromkeys(("train", "dev"), ("fastai_sample.csv", "texts.csv")),
            prepare=_unbroken,
            part=("is_valid", {"train": "False", "dev": "True"}),
        ),
        Source(_files(".csv"), prepare=_unbroken),
    ),
    _of_classes(
        "ag_news",
        ("World", "Sports", "Business", "Sci/Tech"),
        "ag_news",
        Source(
            {"train": ("train_sample10k.tsv", "train.tsv"), "dev": ("dev.tsv",)},
            _columns("label", "description"),
        ),
        Source(
            {"train": ("train.csv",), "test": ("test.csv",)},
            reads=("title", "description"),
            prepare=_story,
            names=("label", "title", "description"),
            first=1,
        ),
    ),
)

_CHOICES = (
    Layout(
        "commonsenseqa",
        "choice",
        (
            Source(
                {
                    "train": ("train.jsonl", "train_rand_split.jsonl"),
                    "dev": ("dev.jsonl", "dev_rand_split.jsonl"),
                    "test": ("test.jsonl", "test_rand_split_no_answers.jsonl"),
                },
                Columns(label="answerKey", choices=("choices",), id="id"),
                reads=("question",),
                prepare=_question,
            ),
        ),
        folders=("commonsenseqa",),
    ),
    Layout(
        "copa",
        "choice",
        (
            Source(
                _files(".jsonl"),
                Columns(choices=("choice1", "choice2"), id="idx"),
                reads=("premise", "question", "choice1", "choice2"),
                prepare=_cause,
            ),
        ),
        folders=("copa",),
    ),
    Layout(
        "swag",
        "choice",
        tuple(
            Source(
                _files(suffix),
                Columns(("sent1",), choices=("choices",)),
                reads=("sent1", "sent2", "ending0", "ending1", "ending2", "ending3"),
                prepare=_ending,
            )
            for suffix in (".csv", ".json", ".jsonl")
        ),
        folders=("swag",),
    ),
)

_WORDS = (
    Layout(
        "wnut17",
        "tags",
        (
            Source(
                {
                    "train": ("train.tsv", "wnut17train.conll"),
                    "dev": ("dev.tsv", "emerging.dev.conll"),
                    "test": ("test.tsv", "emerging.test.annotated"),
                },
                _TAGS,
                sources.conll,
            ),
        ),
        _BIO,
        ("wnut17",),
    ),
    Layout(
        "conll",
        "tags",
        (
            Source(
                {
                    "train": ("train.*", "eng.train", "*train*.conll"),
                    "dev": ("dev.*", "valid.*", "eng.testa", "*dev*.conll"),
                    "test": ("test.*", "eng.testb", "*test*.conll"),
                },
                _TAGS,
                sources.conll,
            ),
        ),
    ),
    Layout(
        "ud_ewt",
        "tags",
        (
            Source(_TSV, _TAGS, sources.conll, places=(0, 1)),
            Source(
                {split: (f"en_ewt-ud-{split}.conllu",) for split in _SPLITS},
                _TAGS,
                sources.conll,
                places=(1, 3),
            ),
        ),
        _UPOS,
        ("ud_ewt",),
    ),
    _squad("squad", "1.1"),
    _squad("squad_v2", "2.0"),
    _text("wiki", "mlm", ("wiki_train*.txt", "wiki_valid*.txt", "wiki_test*.txt")),
    _text(
        "gutenberg", "mlm", ("gutenberg_train*.txt", "gutenberg_valid*.txt", "gutenberg_test*.txt")
    ),
    _text(
        "wikitext2",
        "mlm",
        ("wikitext2_train.txt", "wikitext2_valid.txt", "wikitext2_test.txt"),
        ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
    ),
    _text("text", "text", ("train*.txt", "valid*.txt", "test*.txt")),
)

PUBLISHED = (*_GLUE, *_CLASSES, *_CHOICES, *_WORDS)
