"""Make curator/filter/languages.yaml, or see how well such a table tells prose in a language from prose in others.

python -m benchmarks.language_rules FOLDER make       # FOLDER holds lingua_sentences and udhr2_paragraphs .tsv.gz
python -m benchmarks.language_rules FOLDER evaluate
"""

from __future__ import annotations

import argparse
import copy
import gzip
import random
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import yaml

from benchmarks.report import table as markdown
from curator.filter import languages
from curator.filter.languages import LanguageQuality
from curator.kernels import letter_units
from curator.kernels.arrow import flatten
from curator.kernels.unicode import PUNCTUATION_CHARACTERS
from curator.kernels.word_counts import STOP_WORDS
from curator.run.batches import first_reasons

HEAD = """\
# Stop words and limits by language, for LanguageQuality. Made by `python -m benchmarks.language_rules`, not by hand.
#
# From: 37,000 sentences of 75 languages, the test data of Lingua (github.com/pemistahl/lingua-py), of the Leipzig
# Corpora Collection (Goldhahn et al. 2012, CC BY); for lo, km and my the Universal Declaration of Human Rights.
# Stop words: as Penedo et al. 2025 (arXiv:2506.20920) the words that are 0.8 % of all or more, at least the eight
# most frequent, and, which is ours, as many (64 at most) as make up a tenth of all words; of zh and ja the most
# frequent letters; of th, lo, km and my well-known function words, by frequency; of en the eight of Rae et al. 2021
# (arXiv:2112.11446, A.1.1), whose limits en has too. All composed (NFC), as FixUnicode leaves texts.
# Limits: those of en times the signal's mean here by that in en. That of alpha words is never stricter than in en.
# words_for_english: letters of a paragraph of the Declaration by words of one in English, which say the same.
"""
MIN_FREQUENCY, FEWEST, MOST_LETTERS = 0.008, 8, 16
COVERAGE = 0.1  # ours: of eight words of Korean or Zulu most texts do not hold two
ALIASES = {"no": "nb"}  # lid.176 calls Bokmål no
UNSPACED = {"zh": "cmn_hans", "ja": "jpn", "th": "tha", "lo": "lao", "km": "khm", "my": "mya"}  # code of udhr2
FUNCTION_WORDS = {
    "th": "ที่ และ ของ ใน เป็น การ มี ได้ ให้ ไม่ จะ ว่า กับ จาก นี้ โดย",
    "lo": "ແລະ ຂອງ ໃນ ທີ່ ເປັນ ການ ມີ ໄດ້ ໃຫ້ ບໍ່ ຈະ ວ່າ ກັບ ຈາກ ນີ້ ໂດຍ",
    "km": "និង ក្នុង នៃ ជា ដែល បាន មាន ការ នេះ នោះ ដោយ ឬ ពី ទៅ របស់ ត្រូវ",
    "my": "သည် များ နှင့် ကို ၏ တွင် မှ ၍ သော မည် ရန် ဖြစ် အတွက် ရှိ လည်း မ",
}
MIN_MEAN, MAX_MEAN, MIN_ALPHA = 3.0, 10.0, 0.8  # Rae et al. 2021, A.1.1
UDHR = {
    "afr": "af", "arb": "ar", "azj_latn": "az", "bel": "be", "bul": "bg", "ben": "bn", "bos_latn": "bs", "cat": "ca",
    "ces": "cs", "cym": "cy", "dan": "da", "deu": "de", "ell_monotonic": "el", "eng": "en", "epo": "eo", "spa": "es",
    "est": "et", "eus": "eu", "pes_1": "fa", "fin": "fi", "fra": "fr", "gle": "ga", "guj": "gu", "heb": "he",
    "hin": "hi", "hrv": "hr", "hun": "hu", "hye": "hy", "ind": "id", "isl": "is", "ita": "it", "jpn": "ja",
    "kat": "ka", "kaz": "kk", "khm": "km", "kor": "ko", "lao": "lo", "lat": "la", "lug": "lg", "lit": "lt",
    "lav": "lv", "mri": "mi", "mkd": "mk", "khk": "mn", "mar": "mr", "mya": "my", "nob": "nb", "nld": "nl",
    "nno": "nn", "pan": "pa", "pol": "pl", "por_PT": "pt", "ron": "ro", "rus": "ru", "slk": "sk", "slv": "sl",
    "sna": "sn", "som": "so", "als": "sq", "srp_cyrl": "sr", "sot": "st", "swe": "sv", "swh": "sw", "tam": "ta",
    "tha": "th", "tgl": "tl", "tsn": "tn", "tur": "tr", "tso_MZ": "ts", "ukr": "uk", "urd": "ur", "vie": "vi",
    "xho": "xh", "yor": "yo", "cmn_hans": "zh", "zul": "zu",
}  # fmt: skip
WORDS = 60  # of English, or as much in other units: a document of the evaluation has that many at least


def texts(path: Path) -> dict[str, list[str]]:
    """Return the texts of each language code of a file of code, tab, text."""
    found: dict[str, list[str]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            code, text = unicodedata.normalize("NFC", line.rstrip("\n")).split("\t", 1)
            found.setdefault(code, []).append(text)
    return found


def units(lines: list[str]) -> list[str]:
    """Return the words of all texts, in unspaced scripts the letters, as the filter counts them."""
    _, data = letter_units.apart(*flatten(pa.array([*lines, ""], pa.large_string())))
    return data.tobytes().decode().split() if len(lines) else []


def rules(sentences: dict[str, list[str]], declaration: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Return the table: the rules of each language that there are sentences of, and of `default`."""
    sentences = {**{code: declaration[UNSPACED[code]] for code in ("lo", "km", "my")}, **sentences}
    english = measured(units(sentences["en"]))
    made: dict[str, dict[str, Any]] = {languages.UNKNOWN: {}}
    for code, lines in sorted(sentences.items()):
        words = units(lines)
        length, alpha = measured(words)
        made[code] = {"min_alpha_words": round(MIN_ALPHA * min(1, alpha / english[1]), 3)}
        if code in UNSPACED:
            per_paragraph = [len(units(declaration[c])) / len(declaration[c]) for c in (UNSPACED[code], "eng")]
            made[code]["words_for_english"] = round(per_paragraph[0] / per_paragraph[1], 1)
            made[code]["stop_words"] = letters_or_function_words(code, words, "\n".join(lines))
            made[code]["stop_words_inside"] = True
        else:
            made[code]["min_mean_word_length"] = round(MIN_MEAN * length / english[0], 1)
            made[code]["max_mean_word_length"] = round(MAX_MEAN * length / english[0], 1)
            made[code]["stop_words"] = [*STOP_WORDS] if code == "en" else most_frequent(words)
    return dict(sorted({**made, **{alias: copy.deepcopy(made[code]) for alias, code in ALIASES.items()}}.items()))


def measured(words: list[str]) -> tuple[float, float]:
    """Return the mean length of the words that are no symbols, and the share of those with a letter."""
    lengths = [len(word) for word in words if set(word) - PUNCTUATION_CHARACTERS]
    return sum(lengths) / len(lengths), sum(any(map(str.isalpha, word)) for word in words) / len(words)


def most_frequent(words: list[str]) -> list[str]:
    """Return the stop words: the frequent words of letters, as they are written within sentences."""
    counts = Counter(words)
    usual = [w for w, _ in sorted(counts.items(), key=lambda c: (-c[1], c[0])) if w == w.lower() and _is_word(w)]
    kept: list[str] = []
    for word in usual[: languages.MOST_WORDS]:
        covered = sum(counts[one] for one in kept) >= COVERAGE * len(words)
        if counts[word] < MIN_FREQUENCY * len(words) and len(kept) >= FEWEST and covered:
            break
        kept.append(word)
    return kept


def _is_word(word: str) -> bool:
    return any(map(str.isalpha, word)) and not set(word) & PUNCTUATION_CHARACTERS


def letters_or_function_words(code: str, words: list[str], text: str) -> list[str]:
    """Return the stop words of a language that does not put its words apart."""
    if code in FUNCTION_WORDS:
        return sorted(FUNCTION_WORDS[code].split(), key=lambda word: (-text.count(word), word))
    kinds = letter_units.kinds()
    counts = Counter(word[0] for word in words if kinds[ord(word[0])] == letter_units.UNIT)
    return [letter for letter, _ in sorted(counts.items(), key=lambda c: (-c[1], c[0]))][:MOST_LETTERS]


def as_yaml(made: dict[str, dict[str, Any]]) -> str:
    return HEAD + yaml.safe_dump(made, allow_unicode=True, sort_keys=False, default_flow_style=None, width=118)


def documents(lines: list[str], factor: float) -> Iterator[str]:
    """Join texts, in their order, to documents of at least WORDS words; what is left over is none."""
    joined: list[str] = []
    for line in lines:
        joined.append(line)
        if len(units(joined)) >= WORDS * factor:
            yield "\n".join(joined)
            joined = []


def evaluate(of: dict[str, list[str]], made: dict[str, dict[str, Any]], seed: int = 1) -> pd.DataFrame:
    """Judge the documents of each language by its own rules and, as if named wrongly, by those of five others."""
    choose = random.Random(seed)
    rows = []
    for code, lines in sorted(of.items()):
        others = [other for other in sorted(of) if other != code]
        for document in documents(lines, made[code].get("words_for_english", 1.0)):
            rows.append((code, code, document))
            rows += [(code, other, document) for other in choose.sample(others, 5)]
    frame = pd.DataFrame(rows, columns=["language", "lang", "text"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.yaml"
        path.write_text(as_yaml(made))
        stage = LanguageQuality(table=str(path))
        signals = stage.measure(frame)
        frame["reason"] = ""
        for reason, mask in first_reasons(stage.reject(signals)).items():
            frame.loc[mask.to_numpy(bool), "reason"] = reason
    return frame


def shares(name: str, frame: pd.DataFrame) -> list[str]:
    """Return a row of the result: how many documents, and which share passes by own and by others' rules."""
    own = frame[frame["language"] == frame["lang"]]
    other = frame[frame["language"] != frame["lang"]]
    worst = own.assign(passes=own["reason"] == "").groupby("language")["passes"].mean().sort_values()
    lowest = ", ".join(f"{code} {share:.2f}" for code, share in worst.head(6).items() if share < 1)
    reasons = ", ".join(f"{r} {n}" for r, n in own.loc[own["reason"] != "", "reason"].value_counts().items())
    passing = [f"{(part['reason'] == '').mean():.3f}" for part in (own, other)]
    return [name, str(len(worst)), str(len(own)), *passing, reasons or "none", lowest or "none"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("task", choices=["make", "evaluate"])
    given = parser.parse_args()
    sentences = texts(given.folder / "lingua_sentences.tsv.gz")
    declaration = texts(given.folder / "udhr2_paragraphs.tsv.gz")
    if given.task == "make":
        place = Path(languages.__file__).with_name(languages.TABLE)
        place.write_text(as_yaml(rules(sentences, declaration)), encoding="utf-8")
        return
    half = rules({code: lines[::2] for code, lines in sentences.items()}, declaration)
    unseen = {code: lines[1::2] for code, lines in sentences.items()}
    udhr = {UDHR[code]: lines for code, lines in declaration.items() if code in UDHR}
    head = ["documents of", "languages", "documents", "pass by own rules", "by another's", "reasons", "lowest"]
    rows = [
        shares("sentences not in the table's half", evaluate(unseen, half)),
        shares("the Declaration, unseen but for lo, km, my", evaluate(udhr, rules(sentences, declaration))),
    ]
    print(markdown(head, rows))


if __name__ == "__main__":
    main()
