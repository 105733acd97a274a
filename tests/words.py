"""A small vocabulary and texts for tests of tokenizers, of many scripts and with hard cases."""

import gzip
from pathlib import Path

from data import shared

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """
    the quick brown fox jump over lazy dog hello world resume naive cafe in of and to a is was new
    york 1 2 3 . , ! ? ' " ( ) - # don t s ll ve $ % & / : ; @ _ 中 国 東 京 한 und strasse über
    Hello World THE Größe привет мир мама i ı é ß
""".split()  # noqa: SIM905
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = [
    "##s",
    "##ed",
    "##ing",
    "##er",
    "##ly",
    "##ness",
    "##0",
    "##1",
    "##2",
    "##3",
    "##中",
    "##国",
]
PIECES += [piece for letter in LETTERS for piece in (letter, f"##{letter}")]
VOCABULARY = list(dict.fromkeys([*SPECIAL, *WORDS, *PIECES]))

TEXTS = [
    "The quick brown fox jumped over the lazy dog.",
    "Hello, world! Hello WORLD?",
    "",
    " ",
    "\t\n leading and trailing \r\n",
    "résumé naïve café Über straße GRÖSSE İstanbul ıI",
    "中国の東京 is in 한국 привет, мир",
    "don't can't we'll I've rock 'n' roll ' '",
    "unknownwordthatisverylong" * 8,
    "[CLS] a [MASK] in [SEP] the text [UNK][PAD] [mask]",
    "a\u0000b\u200bc\ufffdd\u00ade\ufefff",
    "e\u0301 a\u0308\u0323 ﬁ ① ½ ™",
    "👩‍👩‍👧‍👦 🇩🇪 emoji 😀😀 a😀b",
    "x" * 99 + " " + "x" * 100 + " " + "x" * 101,
    "$5.00 (20%) & more -- #1 @home a_b",
    "the\u3000quick\u00a0brown\u2028fox\x85jump\x1cs",
]


def real_vocabulary(folder: Path) -> Path | None:
    """A vocab.txt of a published checkpoint, unpacked from the data beside the repository."""
    packed = shared("tok/bert-base-uncased-vocab.txt.gz")
    if packed is None:
        return None
    path = folder / "vocab.txt"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path
