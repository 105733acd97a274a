"""Which characters count as what, by the versions of Unicode that published ids come from.

Python's `unicodedata` is of another Unicode version in each Python, so the same text would give
other ids on another Python. The `tokenizers` library mixes three versions, each frozen where it
matters to ids: categories are of Unicode 8, decompositions of Unicode 9, lower case of Unicode 17.
What differs between versions stands here; the tests compare every code point with that library.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator


class Ranges:
    """A set of code points, written as hexadecimal ranges: "41-5A 5F"."""

    def __init__(self, spelled: str) -> None:
        bounds = [part.partition("-") for part in spelled.split()]
        self._first = [int(first, 16) for first, _, _ in bounds]
        self._last = [int(last or first, 16) for first, _, last in bounds]

    def __contains__(self, code: int) -> bool:
        at = bisect_right(self._first, code) - 1
        return at >= 0 and code <= self._last[at]

    def __iter__(self) -> Iterator[int]:
        for first, last in zip(self._first, self._last, strict=True):
            yield from range(first, last + 1)

    def pattern(self, *, below: int = 0x110000) -> str:
        """The code points under `below`, as the inside of a character class of `re`."""
        return "".join(
            f"\\U{first:08x}-\\U{last:08x}"
            for first, last in zip(self._first, self._last, strict=True)
            if last < below
        )


SPACES = Ranges("9-D 20 85 A0 1680 2000-200A 2028-2029 202F 205F 3000")
"""White space by the Unicode property: what words end at. Not U+1C to U+1F, which Python adds."""

SURROGATES = Ranges("D800-DFFF")

REMOVED = Ranges("""
    0000-0008 000B-000C 000E-001F 007F-009F 00AD 0600-0605 061C 06DD 070F 180E 200B-200F
    202A-202E 2060-2064 2066-206F E000-F8FF FEFF FFF9-FFFB FFFD 110BD 1BCA0-1BCA3 1D173-1D17A
    E0001 E0020-E007F F0000-FFFFD 100000-10FFFD
""")
"""What cleaning removes: U+FFFD, controls but for tab and line ends, formats, private use."""

# Unicode 2B820-2CEAF is one block; the library and so the published ids begin it at 2B920.
IDEOGRAPHS = Ranges("3400-4DBF 4E00-9FFF F900-FAFF 20000-2A6DF 2A700-2B81F 2B920-2CEAF 2F800-2FA1F")
"""CJK ideographs: each is a word of its own."""

PUNCTUATION = Ranges("""
    0021-002F 003A-0040 005B-0060 007B-007E 00A1 00A7 00AB 00B6-00B7 00BB 00BF 037E 0387
    055A-055F 0589-058A 05BE 05C0 05C3 05C6 05F3-05F4 0609-060A 060C-060D 061B 061E-061F
    066A-066D 06D4 0700-070D 07F7-07F9 0830-083E 085E 0964-0965 0970 0AF0 0DF4 0E4F 0E5A-0E5B
    0F04-0F12 0F14 0F3A-0F3D 0F85 0FD0-0FD4 0FD9-0FDA 104A-104F 10FB 1360-1368 1400 166D-166E
    169B-169C 16EB-16ED 1735-1736 17D4-17D6 17D8-17DA 1800-180A 1944-1945 1A1E-1A1F 1AA0-1AA6
    1AA8-1AAD 1B5A-1B60 1BFC-1BFF 1C3B-1C3F 1C7E-1C7F 1CC0-1CC7 1CD3 2010-2027 2030-2043
    2045-2051 2053-205E 207D-207E 208D-208E 2308-230B 2329-232A 2768-2775 27C5-27C6 27E6-27EF
    2983-2998 29D8-29DB 29FC-29FD 2CF9-2CFC 2CFE-2CFF 2D70 2E00-2E2E 2E30-2E42 3001-3003
    3008-3011 3014-301F 3030 303D 30A0 30FB A4FE-A4FF A60D-A60F A673 A67E A6F2-A6F7 A874-A877
    A8CE-A8CF A8F8-A8FA A8FC A92E-A92F A95F A9C1-A9CD A9DE-A9DF AA5C-AA5F AADE-AADF AAF0-AAF1
    ABEB FD3E-FD3F FE10-FE19 FE30-FE52 FE54-FE61 FE63 FE68 FE6A-FE6B FF01-FF03 FF05-FF0A
    FF0C-FF0F FF1A-FF1B FF1F-FF20 FF3B-FF3D FF3F FF5B FF5D FF5F-FF65 10100-10102 1039F 103D0
    1056F 10857 1091F 1093F 10A50-10A58 10A7F 10AF0-10AF6 10B39-10B3F 10B99-10B9C 11047-1104D
    110BB-110BC 110BE-110C1 11140-11143 11174-11175 111C5-111C9 111CD 111DB 111DD-111DF
    11238-1123D 112A9 114C6 115C1-115D7 11641-11643 1173C-1173E 12470-12474 16A6E-16A6F 16AF5
    16B37-16B3B 16B44 1BC9F 1DA87-1DA8B
""")
"""What is a word of its own: ASCII punctuation and symbols, and the punctuation of Unicode 8."""

MARKS = Ranges("""
    0300-036F 0483-0487 0591-05BD 05BF 05C1-05C2 05C4-05C5 05C7 0610-061A 064B-065F 0670
    06D6-06DC 06DF-06E4 06E7-06E8 06EA-06ED 0711 0730-074A 07A6-07B0 07EB-07F3 0816-0819
    081B-0823 0825-0827 0829-082D 0859-085B 08E3-0902 093A 093C 0941-0948 094D 0951-0957
    0962-0963 0981 09BC 09C1-09C4 09CD 09E2-09E3 0A01-0A02 0A3C 0A41-0A42 0A47-0A48 0A4B-0A4D
    0A51 0A70-0A71 0A75 0A81-0A82 0ABC 0AC1-0AC5 0AC7-0AC8 0ACD 0AE2-0AE3 0B01 0B3C 0B3F
    0B41-0B44 0B4D 0B56 0B62-0B63 0B82 0BC0 0BCD 0C00 0C3E-0C40 0C46-0C48 0C4A-0C4D 0C55-0C56
    0C62-0C63 0C81 0CBC 0CBF 0CC6 0CCC-0CCD 0CE2-0CE3 0D01 0D41-0D44 0D4D 0D62-0D63 0DCA
    0DD2-0DD4 0DD6 0E31 0E34-0E3A 0E47-0E4E 0EB1 0EB4-0EB9 0EBB-0EBC 0EC8-0ECD 0F18-0F19 0F35
    0F37 0F39 0F71-0F7E 0F80-0F84 0F86-0F87 0F8D-0F97 0F99-0FBC 0FC6 102D-1030 1032-1037
    1039-103A 103D-103E 1058-1059 105E-1060 1071-1074 1082 1085-1086 108D 109D 135D-135F
    1712-1714 1732-1734 1752-1753 1772-1773 17B4-17B5 17B7-17BD 17C6 17C9-17D3 17DD 180B-180D
    18A9 1920-1922 1927-1928 1932 1939-193B 1A17-1A18 1A1B 1A56 1A58-1A5E 1A60 1A62 1A65-1A6C
    1A73-1A7C 1A7F 1AB0-1ABD 1B00-1B03 1B34 1B36-1B3A 1B3C 1B42 1B6B-1B73 1B80-1B81 1BA2-1BA5
    1BA8-1BA9 1BAB-1BAD 1BE6 1BE8-1BE9 1BED 1BEF-1BF1 1C2C-1C33 1C36-1C37 1CD0-1CD2 1CD4-1CE0
    1CE2-1CE8 1CED 1CF4 1CF8-1CF9 1DC0-1DF5 1DFC-1DFF 20D0-20DC 20E1 20E5-20F0 2CEF-2CF1 2D7F
    2DE0-2DFF 302A-302D 3099-309A A66F A674-A67D A69E-A69F A6F0-A6F1 A802 A806 A80B A825-A826
    A8C4 A8E0-A8F1 A926-A92D A947-A951 A980-A982 A9B3 A9B6-A9B9 A9BC A9E5 AA29-AA2E AA31-AA32
    AA35-AA36 AA43 AA4C AA7C AAB0 AAB2-AAB4 AAB7-AAB8 AABE-AABF AAC1 AAEC-AAED AAF6 ABE5 ABE8
    ABED FB1E FE00-FE0F FE20-FE2F 101FD 102E0 10376-1037A 10A01-10A03 10A05-10A06 10A0C-10A0F
    10A38-10A3A 10A3F 10AE5-10AE6 11001 11038-11046 1107F-11081 110B3-110B6 110B9-110BA
    11100-11102 11127-1112B 1112D-11134 11173 11180-11181 111B6-111BE 111CA-111CC 1122F-11231
    11234 11236-11237 112DF 112E3-112EA 11300-11301 1133C 11340 11366-1136C 11370-11374
    114B3-114B8 114BA 114BF-114C0 114C2-114C3 115B2-115B5 115BC-115BD 115BF-115C0 115DC-115DD
    11633-1163A 1163D 1163F-11640 116AB 116AD 116B0-116B5 116B7 1171D-1171F 11722-11725
    11727-1172B 16AF0-16AF4 16B30-16B36 16F8F-16F92 1BC9D-1BC9E 1D167-1D169 1D17B-1D182
    1D185-1D18B 1D1AA-1D1AD 1D242-1D244 1DA00-1DA36 1DA3B-1DA6C 1DA75 1DA84 1DA9B-1DA9F
    1DAA1-1DAAF 1E8D0-1E8D6 E0100-E01EF
""")
"""Nonspacing marks (Mn) of Unicode 8: the accents that are stripped."""

ORDERED = Ranges("""
    8D4-8E1 1B44 1BAA 1BF2-1BF3 1DFB 302E-302F A953 A9C0 111C0 11235 1134D 11442 11446 116B6 11C3F
    1D165-1D166 1D16D-1D172 1E000-1E006 1E008-1E018 1E01B-1E021 1E023-1E024 1E026-1E02A 1E944-1E94A
""")
"""Marks that are not stripped, though canonical ordering moves them: the spacing ones (Mc) with a
combining class, and the nonspacing ones that came with Unicode 9."""

REORDERING = Ranges("""
    8D4-8E1 1B44 1BAA 1BF2-1BF3 1DFB 302E-302F A953 A9C0 111C0 11235 1134D 11442 11446 116B6 11C3F
    1D15E-1D166 1D16D-1D172 1D1BB-1D1C0 1E000-1E006 1E008-1E018 1E01B-1E021 1E023-1E024 1E026-1E02A
    1E944-1E94A
""")
"""`ORDERED`, and the notes of music that decompose into some of them."""

_UNDIVIDED = Ranges("""
    105C9 105E4 11383 11385 1138E 11391 113C5 113C7-113C8 11938 16121-16128 16D68-16D6A
""")
"""What has a canonical decomposition since Unicode 13 or 16, and so has none here."""

_YOUNG_CAPITALS = (
    # first, last, distance to the lower case: pairs younger than Unicode 13, with which Python 3.10
    # comes; every second code point where the distance is 1
    (0x1C89, 0x1C89, 1),  # Cyrillic
    (0x2C2F, 0x2C2F, 0x30),  # Glagolitic
    (0xA7C0, 0xA7C0, 1),  # Latin
    (0xA7CB, 0xA7CB, 0x264 - 0xA7CB),
    (0xA7CC, 0xA7DA, 1),
    (0xA7DC, 0xA7DC, 0x19B - 0xA7DC),
    (0x10570, 0x1057A, 0x27),  # Vithkuqi
    (0x1057C, 0x1058A, 0x27),
    (0x1058C, 0x10592, 0x27),
    (0x10594, 0x10595, 0x27),
    (0x10D50, 0x10D65, 0x20),  # Garay
    (0x16EA0, 0x16EB8, 0x1B),  # Beria Erfe
)

_LOWERED = {
    chr(code): chr(code + distance)
    for first, last, distance in _YOUNG_CAPITALS
    for code in range(first, last + 1, 2 if distance == 1 else 1)
}

_CIRCLED_LETTERS = Ranges("24B6-24E9 1F130-1F149 1F150-1F169 1F170-1F189")

_YOUNG_WORD_CHARACTERS = Ranges("""
    0870-0887 0889-088E 0897-089F 08B5 08C8-08D2 0C3C 0C5D 0CDD 0CF3 0ECE 170D 1715 171F 180F
    1AC1-1ACE 1B4C 1C89-1C8A 1DFA 2C2F 2C5F 9FFD-9FFF A7C0-A7C1 A7CB-A7CD A7D0-A7D1 A7D3
    A7D5-A7DC A7F2-A7F4 10570-1057A 1057C-1058A 1058C-10592 10594-10595 10597-105A1 105A3-105B1
    105B3-105B9 105BB-105BC 105C0-105F3 10780-10785 10787-107B0 107B2-107BA 10D40-10D65
    10D69-10D6D 10D6F-10D85 10EC2-10EC4 10EFC-10EFF 10F70-10F85 11070-11075 110C2 1123F-11241
    11380-11389 1138B 1138E 11390-113B5 113B7-113C0 113C2 113C5 113C7-113CA 113CC-113D3
    113E1-113E2 116D0-116E3 11740-11746 11AB0-11ABF 11BC0-11BE0 11BF0-11BF9 11F00-11F10
    11F12-11F3A 11F3E-11F42 11F50-11F5A 12F90-12FF0 1342F 13440-13455 13460-143FA 16100-16139
    16A70-16ABE 16AC0-16AC9 16D40-16D6C 16D70-16D79 18CFF 1AFF0-1AFF3 1AFF5-1AFFB 1AFFD-1AFFE
    1B11F-1B122 1B132 1B155 1CCF0-1CCF9 1CF00-1CF2D 1CF30-1CF46 1DF00-1DF1E 1DF25-1DF2A
    1E030-1E06D 1E08F 1E290-1E2AE 1E4D0-1E4F9 1E5D0-1E5FA 1E7E0-1E7E6 1E7E8-1E7EB 1E7ED-1E7EE
    1E7F0-1E7FE 2A6DE-2A6DF 2B735-2B739 2EBF0-2EE5D 31350-323AF
""")
"""Letters, digits and marks that came with Unicode 14, 15 and 16."""


def lower(char: str) -> str:
    """The lower case of one character, which may be two characters. Never a final sigma."""
    return _LOWERED.get(char) or char.lower()


def decomposed(char: str) -> str:
    """The canonical decomposition (NFD) of one character, as of Unicode 9."""
    return char if ord(char) in _UNDIVIDED else unicodedata.normalize("NFD", char)


def order(char: str) -> int:
    """The canonical combining class, as of Unicode 9, of a character that NFD leaves alone."""
    code = ord(char)
    return unicodedata.combining(char) if code in MARKS or code in ORDERED else 0


def in_word(char: str) -> bool:
    r"""Whether a letter, mark, digit or connector, as `\w` has them by Unicode 16."""
    category = unicodedata.category(char)
    code = ord(char)
    return (
        category[0] in "LM"
        or category in ("Nd", "Nl", "Pc")
        or char in "\u200c\u200d"  # the joiners
        or code in _CIRCLED_LETTERS
        or code in _YOUNG_WORD_CHARACTERS
    )
