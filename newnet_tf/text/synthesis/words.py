"""Words as they stand on signs: common and invented words, numbers, prices, times, codes."""

from collections.abc import Sequence

import numpy as np

COMMON_WORDS = (
    "the and for with from this open closed exit entrance push pull stop way street road "
    "avenue park parking sale off price free new hot cold fresh food cafe coffee tea bar "
    "grill pizza bakery bread market shop store mall center station bus taxi train metro "
    "airport gate platform ticket tickets office bank money change hotel hostel rooms school "
    "museum theater cinema music dance fitness gym health care clinic doctor dentist pharmacy "
    "optical beauty salon hair nails spa fashion shoes bags watch jewelry gold silver phone "
    "mobile repair service services rental cars auto tires wash fuel gas electric power water "
    "fire alarm emergency danger caution warning notice private no smoking entry only please "
    "keep clear door lift stairs toilet toilets men women ladies gents staff public level "
    "floor building tower house square garden lane drive court north south east west left "
    "right up down here now today tomorrow daily week weekend monday tuesday friday saturday "
    "sunday hours january march june july august november special offer discount save more "
    "less best quality original classic natural organic juice milk ice cream fish meat "
    "chicken beef rice noodles soup salad burger kitchen restaurant dining delivery takeaway "
    "self wine beer world city national international express central royal grand united "
    "global digital smart home family kids baby toys books news paper print copy photo camera "
    "video games sport sports bike cycle travel tours holiday beach island river mountain "
    "green blue red black white star sun moon light life love happy welcome thank you enjoy "
    "call info information help customer reception meeting room conference lounge terminal "
    "departure arrival customs baggage security police hospital university college library"
)
COMMON = COMMON_WORDS.split()
CONSONANTS = (
    "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gr pl pr qu sh sl sp st str th tr"
)
ONSETS = CONSONANTS.split()
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "io", "oa", "oo", "ou", "y"]
CODAS = [
    "",
    "",
    "",
    "n",
    "r",
    "s",
    "t",
    "l",
    "m",
    "d",
    "ck",
    "ng",
    "nd",
    "st",
    "x",
    "ss",
    "rt",
    "ll",
]
CURRENCIES = "$$$€£¥"
DIGITS, CAPITALS = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CASES = ("lower", "title", "upper")
NUMBER_SHARE = 0.2  # of words: numbers, prices, codes
COMMON_SHARE = 0.55  # of the others: words of `COMMON`; the rest is invented


class WordGenerator:
    """Words that look like those on signs, menus and labels, drawn from a random generator.

    Args:
        words: sequence of str, one's own words, written as they are or in capitals. Default: ().

        word_list_prob: float in [0, 1], how often a word is one of these. Default: 0.5.

    Example:
        >>> WordGenerator().line(np.random.default_rng(0), 3)
        ["Grill", "$4.90", "Station"]
    """

    def __init__(self, words: Sequence[str] = (), word_list_prob: float = 0.5):
        self._words = tuple(part for word in words for part in word.split())
        self._prob = word_list_prob if self._words else 0.0

    def line(self, random: np.random.Generator, count: int) -> list[str]:
        """Returns `count` words in the same case."""
        case = CASES[random.choice(3, p=(0.25, 0.35, 0.4))]
        return [self.word(random, case) for _ in range(count)]

    def word(self, random: np.random.Generator, case: str = "lower") -> str:
        """Returns a word.

        Args:
            random: NumPy `Generator`.

            case: `"lower"` (default), `"title"` or `"upper"`.
        """
        if random.random() < self._prob:
            word = self._words[random.integers(len(self._words))]
            return word.upper() if case == "upper" else word
        if random.random() < NUMBER_SHARE:
            return number(random)
        if random.random() < COMMON_SHARE:
            word = COMMON[random.integers(len(COMMON))]
        else:
            word = invented(random)
        word = getattr(word, case)()
        draw = random.random()
        if draw < 0.02:
            word += "'S" if case == "upper" else "'s"
        elif draw < 0.08:
            word += ".,:!?-"[random.integers(6)]
        return word


def invented(random: np.random.Generator) -> str:
    """Returns a word of one to four syllables that exists in no language."""
    parts = []
    for _ in range(random.choice((1, 2, 3, 4), p=(0.3, 0.4, 0.22, 0.08))):
        sounds = ONSETS, VOWELS, CODAS
        parts += [options[random.integers(len(options))] for options in sounds]
    return "".join(parts)


def number(random: np.random.Generator) -> str:
    """Returns a number, price, time, percentage, phone number or code."""

    def digits(least: int, most: int) -> str:
        return "".join(DIGITS[i] for i in random.integers(0, 10, random.integers(least, most + 1)))

    def capitals(least: int, most: int) -> str:
        count = random.integers(least, most + 1)
        return "".join(CAPITALS[i] for i in random.integers(0, 26, count))

    kind = random.integers(9)
    if kind <= 1:
        return digits(1, 4)
    if kind == 2:
        return f"{CURRENCIES[random.integers(len(CURRENCIES))]}{random.integers(1, 200)}"
    if kind == 3:
        return f"{random.integers(0, 100)}.{digits(2, 2)}"
    if kind == 4:
        return f"{random.integers(0, 24)}:{random.integers(0, 60):02d}"
    if kind == 5:
        return f"{random.integers(1, 100)}%"
    if kind == 6:
        return f"{digits(3, 4)}-{digits(3, 4)}"
    if kind == 7:
        return f"{capitals(1, 3)}{random.choice(('', '-', ' ')).strip()}{digits(1, 3)}"
    return f"#{random.integers(1, 100):02d}-{random.integers(1, 100):02d}"
