"""Repair of broken Unicode by ftfy, run only on the lines that ftfy could change."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.stage import Frame, Mapper

if TYPE_CHECKING:
    from ftfy import TextFixerConfig


@dataclass(frozen=True)
class FixUnicode(Mapper):
    """Repair mojibake, HTML entities, control characters and line breaks, and normalise.

    The result is that of `ftfy.fix_text` (Speer 2019, ftfy 6) on every text: ligatures and character
    widths stay as they are. Entities are left alone from the first line with a `<` on. Null stays null.

    ftfy itself runs at about 4 MB/s a core. A text keeps its bytes where one RE2 pass finds nothing that
    any of its steps could act on and the text is already normalised; in the others ftfy gets the lines
    where something was found.
    """

    form: Literal["NFC", "NFKC"] = "NFC"
    uncurl_quotes: bool = False  # curly quotes to straight ones

    reads = {"text": "string"}
    writes = {"text": "string"}
    libraries = ("ftfy",)

    def map(self, frame: Frame) -> Frame:
        """Return the frame with `text` repaired; the same frame where nothing is to be done."""
        texts = frames.column_to_arrow(frame["text"])
        found = self._suspect(texts)
        if not pc.any(found).as_py():
            return frame
        fixed = pa.array(self._fix(texts.filter(found).to_pylist()), texts.type)
        repaired = pc.replace_with_mask(texts, found, fixed)
        return frame.assign(text=frames.like(frame["text"], {"text": repaired})["text"])

    def _suspect(self, texts: pa.Array) -> pa.Array:
        """Return the mask of the texts that ftfy could change; never null, never too few."""
        found = pc.match_substring_regex(texts, _could_change(self.uncurl_quotes)).fill_null(False)
        # ASCII is normalised in every form; the rest is asked, text by text, where nothing else was found
        ask = pc.and_not(pc.invert(pc.string_is_ascii(texts)).fill_null(False), found)
        if not pc.any(ask).as_py():
            return found
        abnormal = [not unicodedata.is_normalized(self.form, text) for text in texts.filter(ask).to_pylist()]
        return pc.replace_with_mask(found, ask, pa.array(abnormal, pa.bool_()))

    def _fix(self, texts: list[str]) -> list[str]:
        """Fix each text as ftfy.fix_text does, segment by segment, leaving out the segments in order."""
        import ftfy

        config = _config(self.form, self.uncurl_quotes)
        literal = config._replace(unescape_html=False)
        cut = [list(_segments(text, config.max_decode_length)) for text in texts]
        found = iter(self._suspect(pa.array([s for parts in cut for s in parts], pa.large_string())).to_pylist())
        for parts in cut:
            now = config
            for i, segment in enumerate(parts):
                if now is config and "<" in segment:
                    now = literal  # this is HTML: from here on entities are meant as they stand
                if next(found):
                    parts[i] = ftfy.fix_and_explain(segment, now).text
        return ["".join(parts) for parts in cut]


def _segments(text: str, limit: int) -> Iterator[str]:
    """Cut a text where ftfy.fix_text does: after each line feed, and in lines longer than `limit`."""
    for line in re.findall("[^\n]*\n|[^\n]+", text):
        for start in range(0, len(line), limit):
            yield line[start : start + limit]


@functools.cache
def _config(form: Literal["NFC", "NFKC"], uncurl_quotes: bool) -> TextFixerConfig:
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=uncurl_quotes,
        normalization=form,
        explain=False,
    )


@functools.cache
def _could_change(uncurl_quotes: bool) -> str:
    """Return one RE2 pattern that finds whatever a step of ftfy, normalisation apart, could change.

    Made from ftfy's own tables, so that another version of ftfy brings its own pattern.
    """
    from ftfy import badness, chardata

    patterns = [
        chardata.HTML_ENTITY_RE.pattern,
        chardata.C1_CONTROL_RE.pattern,
        f"[{''.join(map(re.escape, map(chr, chardata.CONTROL_CHARS)))}\r\x85\u2028\u2029]",
        _to_re2(badness.BADNESS_RE.pattern),  # where ftfy sees no badness it leaves the encoding alone
    ]
    if uncurl_quotes:
        patterns += [chardata.SINGLE_QUOTE_RE.pattern, chardata.DOUBLE_QUOTE_RE.pattern]
    return "|".join(patterns)


def _to_re2(verbose: str) -> str:
    """Write a verbose Python pattern in RE2's syntax, so that it matches wherever the original does.

    Unicode classes, which RE2 lacks, are widened, and `^` is left out, as segments start anywhere.
    """
    wider = {r"\s": "[^!-~]", r"\w": r"[0-9A-Za-z_]|[^\x00-\x7f]", "^": ""}
    tokens = re.findall(r"\[(?:\\.|[^\]\\])+\]|\\.|#[^\n]*|\s+|.", verbose)
    kept = (token for token in tokens if not token.isspace() and not token.startswith("#"))
    return "".join(f"(?:{wider[token]})" if token in wider else token for token in kept)
