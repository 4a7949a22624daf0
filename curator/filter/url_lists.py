"""Lists of URLs to block, as they are published: domains, hosts files, URLs, and AdBlock-like rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import InputError
from curator.kernels import urls
from millrace import storage
from millrace.storage import File

COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
HOSTS = (
    r"^(?:0\.0\.0\.0|127\.\d+\.\d+\.\d+|::1?|fe80::\S*|255\.255\.255\.255)\s+"  # what a hosts file puts before a name
)
LOCAL = ("localhost", "localhost.localdomain", "local", "broadcasthost", "0.0.0.0", "ip6-localhost", "ip6-loopback")
DOMAIN = r"^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$"
PAGE = ("document", "doc", "all", "popup", "~third-party", "first-party", "1p", "~3p")  # options that hold for a page
TYPES = (
    "script", "image", "stylesheet", "object", "xmlhttprequest", "subdocument", "ping", "websocket", "webrtc", "media",
    "font", "other", "object-subrequest", "beacon", "csp", "frame", "xhr", "css",
)  # fmt: skip
HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\^")
HIDING = re.compile(r"#[@?$%]{0,2}#")


@dataclass
class Rules:
    """Rules of some files, in their order."""

    texts: list[pa.Array] = field(default_factory=list)  # large_string: what is compared
    lines: list[np.ndarray] = field(default_factory=list)  # int32: where each stands in its file, from 1
    files: list[str] = field(default_factory=list)

    def add(self, file: str, texts: pa.Array, lines: np.ndarray) -> None:
        self.files.append(file)
        self.texts.append(texts)
        self.lines.append(lines.astype(np.int32))

    def __len__(self) -> int:
        return sum(map(len, self.texts))

    def whole(self) -> pa.Array:
        """Return all rules as one array."""
        return pa.concat_arrays([pa.array([], pa.large_string()), *self.texts])

    def said(self, rules: np.ndarray) -> pa.Array:
        """Return file, line and text of rules, by number, for the ledger: easylist.txt:17: ||example.com^."""
        first, rows, found = 0, [np.zeros(0, np.int64)], [pa.array([], pa.large_string())]
        for file, texts, lines in zip(self.files, self.texts, self.lines, strict=True):
            here = np.flatnonzero((first <= rules) & (rules < first + len(lines)))
            own, first = rules[here] - first, first + len(lines)
            name, colon, nothing = (
                pa.scalar(said, pa.large_string()) for said in (f"{file.rpartition('/')[2]}:", ": ", "")
            )
            numbers = pa.array(lines[own]).cast(pa.large_string())
            found.append(pc.binary_join_element_wise(name, numbers, colon, texts.take(pa.array(own)), nothing))
            rows.append(here)
        return pa.concat_arrays(found).take(pa.array(np.argsort(np.concatenate(rows))))


class Pattern(NamedTuple):
    """One rule of an AdBlock-like list."""

    text: str  # lower case, anchors off
    begins: int  # curator.kernels.url_rules: FREE, BEGIN, LABEL
    closed: bool
    spares: bool

    @property
    def host(self) -> bool:
        """Whether it names a host and all below it, and nothing else."""
        from curator.kernels.url_rules import LABEL

        return self.begins == LABEL and not self.closed and bool(HOST.fullmatch(self.text))


def read_lines(file: File) -> tuple[pa.Array, np.ndarray]:
    """Return (lines of a list, large_string, without white space at their ends; their numbers), blank ones left out.

    Plain, .gz, .bz2 or .zst. Raises InputError for a file that cannot be read as text.
    """
    codec = next((codec for ending, codec in COMPRESSED.items() if file.url.lower().endswith(ending)), None)
    data = storage.read_bytes(file.url)
    try:
        data = pa.CompressedInputStream(pa.BufferReader(data), codec).read() if codec else data
        whole = pa.array([data.decode("utf-8-sig")], pa.large_string())
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{file.url} cannot be read as a list: {' '.join(str(error).split())}") from None
    lines = pc.utf8_trim_whitespace(pc.list_flatten(pc.split_pattern(whole, "\n")))
    there = pc.greater(pc.binary_length(lines), 0)
    return lines.filter(there), np.flatnonzero(there.to_numpy(zero_copy_only=False)) + 1


def domains(file: File) -> tuple[pa.Array, np.ndarray]:
    """Return the names of a list of domains or a hosts file, with their lines.

    One name a line, comments behind `#`; of a hosts file the first name behind the address. Raises InputError for a
    line that is neither.
    """
    lines, numbers = uncommented(file)
    lines = pc.ascii_lower(lines)
    named = _replaced(lines, pc.match_substring_regex(lines, r"\s"), HOSTS, "")
    hosted = pc.not_equal(pc.binary_length(named), pc.binary_length(lines))
    named = _replaced(named, hosted, r"\s.*$", "")
    dotted = pc.or_(pc.starts_with(named, "*"), pc.or_(pc.starts_with(named, "."), pc.ends_with(named, ".")))
    named = _replaced(named, dotted, r"^\*?\.|\.$", "")
    here = pc.invert(pc.and_(hosted, pc.is_in(named, pa.array(LOCAL, named.type))))
    named, numbers = named.filter(here), numbers[here.to_numpy(zero_copy_only=False)]
    return _checked(file, named, numbers, DOMAIN, "a domain"), numbers


def addresses(file: File) -> tuple[pa.Array, np.ndarray]:
    """Return a list of URLs as host/path, with their lines; a URL without a path is its host.

    Scheme, port, fragment and a slash at the end are off. Raises InputError for a line that is no URL.
    """
    lines, numbers = uncommented(file)
    bare = pc.ascii_lower(lines)
    for pattern, put in ((r"^[a-z][a-z0-9+.-]*://|#.*$", ""), (r"^([^/?]*):\d*", r"\1"), (r"^([^/?]+)\?", r"\1/?"),
                         (r"/+$", "")):  # fmt: skip
        bare = pc.replace_substring_regex(bare, pattern, put)
    return _checked(file, bare, numbers, r"^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?:/.*)?$", "a URL"), numbers


def uncommented(file: File) -> tuple[pa.Array, np.ndarray]:
    """Return the lines of a list and their numbers, without blank ones and comments (`#`, behind white space)."""
    lines, numbers = read_lines(file)
    marked = pc.match_substring(lines, "#")
    bare = pc.utf8_trim_whitespace(_replaced(lines, marked, r"^#.*$|\s#.*$", ""))
    there = pc.greater(pc.binary_length(bare), 0)
    return bare.filter(there), numbers[there.to_numpy(zero_copy_only=False)]


def _replaced(texts: pa.Array, here: pa.Array, pattern: str, put: str) -> pa.Array:
    """Replace an RE2 expression in some of the texts: those that may hold it, for a search takes long."""
    return pc.replace_with_mask(texts, here, pc.replace_substring_regex(texts.filter(here), pattern, put))


def _checked(file: File, rules: pa.Array, numbers: np.ndarray, wanted: str, what: str) -> pa.Array:
    """Return the rules, with hosts in IDNA; raise InputError for the first that does not look as it should."""
    wrong = np.flatnonzero(~pc.match_substring_regex(rules, wanted).to_numpy(zero_copy_only=False))
    if not len(wrong):
        return rules
    mended = rules.take(pa.array(wrong)).to_pylist()
    for place, rule in enumerate(mended):
        host, slash, path = rule.partition("/")
        mended[place] = rule = urls._host(host) + slash + path
        if not re.match(wanted, rule) or host.isascii():
            raise InputError(f"{file.url}:{numbers[wrong[place]]} is not {what}: {rule[:80]!r}")
    mask = np.zeros(len(rules), bool)
    mask[wrong] = True
    return pc.replace_with_mask(rules, pa.array(mask), pa.array(mended, rules.type))


def patterns(file: File, refused: Counter[str]) -> Iterator[tuple[int, str, Pattern]]:
    """Yield (line, rule as written, pattern) of an AdBlock-like list; count in `refused` those that cannot apply.

    A page is asked for as a document, by itself: rules for another party, another type of content, or content on
    certain sites are refused, as are those that hide elements. Options that are taken: PAGE, and types that are
    excluded. Regular expressions are refused too: they are written for JavaScript.
    """
    lines, numbers = read_lines(file)
    for number, line in zip(numbers.tolist(), lines.to_pylist(), strict=True):
        if line[0] == "!" or (line[0] == "[" and line[-1] == "]"):
            continue
        why = "element hiding" if HIDING.search(line) else None
        text, options = _options(line.removeprefix("@@"))
        why = why or next(filter(None, map(_unfit, options)), None)
        why = why or ("regular expression" if len(text) > 2 and text[0] == text[-1] == "/" else None)
        pattern = _pattern(text, line.startswith("@@"))
        if why is None and not pattern.text.strip("*^"):
            why = "matches everything"
        if why is not None:
            refused[why] += 1
        else:
            yield number, line, pattern


def _options(rule: str) -> tuple[str, list[str]]:
    text, dollar, said = rule.rpartition("$")
    if not dollar or re.search(r"[/^|*\s]", said.partition("=")[0]):
        return rule, []
    return text, said.lower().split(",")


def _unfit(option: str) -> str | None:
    name = option.partition("=")[0].strip()
    if name in PAGE or name == "" or (name.removeprefix("~") in TYPES and name[0] == "~"):
        return None
    return "other content" if name in TYPES else f"option {name}"


def _pattern(text: str, spares: bool) -> Pattern:
    from curator.kernels.url_rules import BEGIN, FREE, LABEL

    begins = LABEL if text.startswith("||") else BEGIN if text.startswith("|") else FREE
    bare = text.lower()[begins:]  # the anchor is as long as its number says
    closed = bare.endswith("|")
    bare = bare[:-1] if closed else bare
    if bare.startswith("*"):
        begins, bare = FREE, bare.lstrip("*")
    if bare.endswith("*"):
        closed, bare = False, bare.rstrip("*")
    return Pattern(bare, begins, closed, spares)
