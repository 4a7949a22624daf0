"""tokenizer.json in GGUF's words, and back: byte-level BPE whose way of cutting words llama.cpp has a name for.

llama.cpp cuts text by a pattern of its own that the file names (tokenizer.ggml.pre, src/llama-vocab.cpp). A name that
does not fit gives other tokens and says nothing, so a pattern that is not one of these is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from millrace import storage
from serve.errors import ExportError

# name -> (pattern of tokenizer.json, whether whole words of the vocabulary go before merges); llama.cpp b9000's.
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
PATTERNS = {"llama-bpe": (_LLAMA3, True), "qwen2": (_LLAMA3.replace("{1,3}", ""), False)}
GPT2 = "gpt-2"  # the pattern that a ByteLevel pre-tokenizer has built in
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # kinds of tokens
SAMPLES = (
    "The quick brown fox, isn't it? It's 12345 and 3.14; I'LL go.", "  two  spaces\n\n\ttabs\r\n and   more ",
    "Größe naïve 你好 мир 🙂 e\u0301", "def f(x):\n    return x**2  # ok", "a1b22c333d4444",
)  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file says of the tokens."""

    pre: str
    tokens: list[str]  # by id, as many as the model has rows
    kinds: list[int]
    merges: list[str]  # "left right"
    ends: dict[str, int]  # bos, eos, pad
    adds: tuple[bool, bool]  # bos before, eos behind
    template: str
    notes: tuple[str, ...]

    def add(self, writer: Any) -> None:
        """Write the keys of tokenizer.*."""
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.kinds)
        writer.add_token_merges(self.merges)
        for name, number in self.ends.items():
            getattr(writer, f"add_{name}_token_id")(number)
        writer.add_add_bos_token(self.adds[0])
        writer.add_add_eos_token(self.adds[1])
        if self.template:
            writer.add_chat_template(self.template)


def read(folder: str, config: Any, rows: int) -> Vocabulary:
    """Return the vocabulary of a folder's tokenizer.json, for a model of so many rows.

    Raises ExportError, in a line, for what llama.cpp would read otherwise.
    """
    url = storage.join(folder, "tokenizer.json")
    if not storage.exists(url):
        raise ExportError("gguf carries its tokenizer, and is made from tokenizer.json, which the model has not")
    told = storage.read_json(url)
    model = told["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback") or model.get("unk_token"):
        kind = "BPE with byte fallback" if model.get("byte_fallback") else model.get("type")
        raise ExportError(f"gguf takes byte-level BPE; the model's tokenizer.json is {kind}")
    pre = _pre_tokenizer(told)
    notes = []
    if (normalizer := told.get("normalizer")) is not None:
        if normalizer.get("type") != "NFC":
            raise ExportError(
                f"tokenizer.json changes text before it is cut ({normalizer.get('type')}); llama.cpp does not"
            )
        notes.append("tokenizer.json composes characters (NFC) first, llama.cpp does not: give it composed text")
    tokens, kinds = _tokens(told, rows)
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]]
    names = {name: config.get(f"{name}_token_id") for name in ("bos", "eos", "pad")}
    ends = {name: (n[0] if isinstance(n, list) else n) for name, n in names.items() if n is not None}
    adds = _adds(url, ends)
    return Vocabulary(pre, tokens, kinds, merges, ends, adds, _template(folder), tuple(notes))


def _pre_tokenizer(told: dict[str, Any]) -> str:
    given = told.get("pre_tokenizer") or {}
    ignores = bool(told["model"].get("ignore_merges"))
    parts = given.get("pretokenizers", [given])
    found = ""
    if len(parts) == 1 and parts[0].get("type") == "ByteLevel" and parts[0].get("use_regex", True):
        found = "" if ignores else GPT2
    elif len(parts) == 2 and parts[0].get("type") == "Split" and parts[1].get("type") == "ByteLevel":
        pattern = parts[0].get("pattern", {}).get("Regex")
        cuts = parts[0].get("behavior") == "Isolated" and not parts[0].get("invert")
        whole = [name for name, known in PATTERNS.items() if known == (pattern, ignores)]
        found = whole[0] if whole and cuts and not parts[1].get("use_regex", True) else ""
    if not found or parts[-1].get("add_prefix_space"):
        raise ExportError(
            f"tokenizer.json cuts text by {json.dumps(given)[:120]}"
            f"{' with ignore_merges' if ignores else ''}, for which llama.cpp has no name that is known here: it would "
            f"make other tokens. Known: {', '.join((GPT2, *PATTERNS))}"
        )
    return found


def _tokens(told: dict[str, Any], rows: int) -> tuple[list[str], list[int]]:
    """Return tokens and their kinds; rows of the model that have no token are unused ones."""
    tokens = {number: token for token, number in told["model"]["vocab"].items()}
    kinds = dict.fromkeys(tokens, NORMAL)
    for one in told.get("added_tokens", ()):
        tokens[one["id"]] = one["content"]
        kinds[one["id"]] = CONTROL if one["special"] else USER_DEFINED
        if one.get("lstrip") or one.get("rstrip") or one.get("single_word"):
            raise ExportError(f"tokenizer.json takes blanks beside {one['content']} away, which llama.cpp does not")
    if max(tokens) >= rows:
        raise ExportError(f"tokenizer.json has a token {max(tokens)}, but the model {rows} rows")
    absent = [number for number in range(rows) if number not in tokens]
    tokens |= {number: f"[PAD{number}]" for number in absent}
    kinds |= dict.fromkeys(absent, UNUSED)
    return [tokens[n] for n in range(rows)], [kinds[n] for n in range(rows)]


def _adds(url: str, ends: dict[str, int]) -> tuple[bool, bool]:
    """Return whether the tokenizer puts bos before a text, and eos behind it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(storage.read_bytes(url).decode())
    bare, whole = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
    before = len(whole) > len(bare) and whole[0] == ends.get("bos")
    behind = len(whole) > len(bare) and whole[-1] == ends.get("eos")
    if whole != [ends["bos"]] * before + bare + [ends["eos"]] * behind if before or behind else whole != bare:
        raise ExportError(
            f"tokenizer.json makes {whole} of {bare}: llama.cpp adds bos before and eos behind, nothing else"
        )
    return before, behind


def _template(folder: str) -> str:
    url = storage.join(folder, "chat_template.jinja")
    if storage.exists(url):
        return storage.read_bytes(url).decode()
    settings = storage.join(folder, "tokenizer_config.json")
    told = storage.read_json(settings).get("chat_template") if storage.exists(settings) else None
    return told if isinstance(told, str) else ""


def rebuilt(written: Vocabulary) -> Any:
    """Return a tokenizer of the tokenizers library made of nothing but what a file says."""
    from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

    vocab = {token: number for number, (token, kind) in enumerate(zip(written.tokens, written.kinds)) if kind == NORMAL}
    merges = [(left, right) for left, _, right in (one.partition(" ") for one in written.merges)]
    pattern, ignores = PATTERNS.get(written.pre, ("", False))
    made = Tokenizer(models.BPE(vocab, merges, ignore_merges=ignores))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)
    split = [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    made.pre_tokenizer = pre_tokenizers.Sequence([*split, level])
    made.add_tokens([AddedToken(t, normalized=False, special=False) for t, k in _kind(written, USER_DEFINED)])
    made.add_special_tokens([AddedToken(t, normalized=False, special=True) for t, k in _kind(written, CONTROL)])
    return made


def _kind(written: Vocabulary, wanted: int) -> Iterator[tuple[str, int]]:
    for token, kind in zip(written.tokens, written.kinds):
        if kind == wanted:
            yield token, kind


def compare(folder: str, written: Vocabulary) -> int:
    """Encode text by the folder's tokenizer.json and by what a file says; return the tokens compared.

    Raises ExportError where they differ.
    """
    from tokenizers import Tokenizer

    theirs = Tokenizer.from_str(storage.read_bytes(storage.join(folder, "tokenizer.json")).decode())
    ours, count = rebuilt(written), 0
    special = [token for token, _ in _kind(written, CONTROL)]
    for text in (*SAMPLES, "".join(f"x{token}y " for token in special)):
        expected, found = theirs.encode(text, add_special_tokens=False), ours.encode(text, add_special_tokens=False)
        if [written.tokens[n] for n in expected.ids] != found.tokens:
            raise ExportError(
                f"what was written cuts {text!r} into {found.tokens}; the model's own are {expected.tokens}"
            )
        count += len(expected.ids)
    return count
