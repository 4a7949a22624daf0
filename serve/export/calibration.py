"""The largest magnitudes that go into the linear layers of a model on given text: what fixed scales come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from align.data import files
from align.errors import DataError
from millrace import storage
from millrace.errors import StorageError
from serve.errors import ServeSettingsError
from serve.export.linears import watching
from serve.export.source import Source
from serve.tokenizer import open_tokenizer

TEXT_ENDINGS = (".txt", ".md")
COMPARED = 4, 64  # texts and tokens of each on which an export is compared with its source


@dataclass
class Amax:
    """Largest magnitudes, in the units of the activations."""

    inputs: dict[str, float] = field(default_factory=dict)  # of each linear layer, by its Hugging Face name
    keys: dict[int, float] = field(default_factory=dict)  # of each layer's attention, rotated as the cache holds them
    values: dict[int, float] = field(default_factory=dict)


def require(path: str, name: str) -> None:
    """Raise ServeSettingsError where there is no text to calibrate on; reads nothing."""
    if not path:
        raise ServeSettingsError(
            f"{name} has scales that are measured on text: --set calibrate=FILE, of JSONL, JSON or Parquet with a "
            "field text or messages, or .txt; fp8-dynamic needs none"
        )
    try:
        storage.find(path)
    except StorageError as error:
        raise ServeSettingsError(f"calibrate: {error}") from None


def longest(source: Source, tokens: int) -> int:
    """Return how long a text may be: no longer than the model has positions."""
    return min(tokens, source.model.positions or tokens)


def notes(source: Source, tokens: int) -> list[str]:
    """Return what a reader must know of the texts' length."""
    most = longest(source, tokens)
    return [f"texts were cut at {most} tokens, the model's positions, not at {tokens}"] if most < tokens else []


def sequences(folder: str, path: str, samples: int, tokens: int) -> list[list[int]]:
    """Return the ids of the first `samples` texts of a file, each of at most `tokens`; in the file's order.

    A record's text is its field text, else its messages in the folder's chat template. A .txt file is one text, cut
    into pieces of `tokens`. Nothing is passed over: what cannot be read is named with its line. Raises
    ServeSettingsError for that and for a file without text, ModelFolderError for a folder without tokenizer.
    """
    tokenizer = open_tokenizer(folder)
    found: list[list[int]] = []
    for text in _texts(path, tokenizer):
        ids = tokenizer(text)["input_ids"]
        for start in range(0, len(ids) if path.endswith(TEXT_ENDINGS) else min(len(ids), 1), tokens):
            found.append(ids[start : start + tokens])
            if len(found) == samples:
                return found
    if not found:
        raise ServeSettingsError(f"calibrate: {path} has no text")
    return found


def _texts(path: str, tokenizer: Any) -> Iterator[str]:
    try:
        if path.endswith(TEXT_ENDINGS):
            for file in storage.find(path):
                yield _plain(file.url)
            return
        for file in files.listed(path):
            for one in files.records(file.url):
                if one.unfit is not None:
                    raise ServeSettingsError(f"calibrate: {one.place}: {': '.join(one.unfit.args)}")
                yield _text(one.value, tokenizer, one.place)
    except (DataError, StorageError) as error:
        raise ServeSettingsError(f"calibrate: {error}") from None


def _plain(url: str) -> str:
    try:
        return storage.read_bytes(url).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ServeSettingsError(f"calibrate: {url} is no UTF-8 text: {error.reason} at byte {error.start}") from None


def _text(record: Any, tokenizer: Any, place: str) -> str:
    if not isinstance(record, dict):
        raise ServeSettingsError(f"calibrate: {place} is no object with a field text or messages")
    if isinstance(record.get("text"), str):
        return str(record["text"])
    if not isinstance(record.get("messages"), list):
        there = ", ".join(map(str, record)) or "nothing"
        raise ServeSettingsError(f"calibrate: {place} has no field text or messages; it has {there}")
    if not tokenizer.chat_template:
        raise ServeSettingsError(f"calibrate: {place} has messages, but the model has no chat template")
    return str(tokenizer.apply_chat_template(record["messages"], tokenize=False))


def measure(model: Any, ids: Sequence[Sequence[int]]) -> Amax:
    """Run a transformers model over sequences, one at a time, and return the largest magnitudes it saw.

    Deterministic: no padding, no sampling, the order given. Cost: a forward pass a sequence. Raises
    ServeSettingsError where what went into a layer was nothing but zeros, or not finite.
    """
    import torch

    found = Amax()

    def observe(layers: tuple[str, ...], x: Any) -> Any:
        top = x.abs().amax().item()
        for layer in layers:
            found.inputs[layer] = top if top != top else max(found.inputs.get(layer, 0.0), top)  # NaN stays
        return x

    with torch.no_grad(), watching(model, observe):
        for one in ids:
            out = model(torch.tensor([one], device=model.device), use_cache=True)
            cache = out.cache if "cache" in out else out.past_key_values  # renamed in 5.24
            for number, layer in enumerate(cache.layers):
                for tops, seen in ((found.keys, layer.keys), (found.values, layer.values)):
                    tops[number] = max(tops.get(number, 0.0), seen.abs().amax().item())
    for name, top in found.inputs.items():
        if not 0.0 < top < float("inf"):
            raise ServeSettingsError(
                f"the input of {name} has the largest magnitude {top} on the text given; a scale needs a number above "
                "0 that is finite"
            )
    return found


def compared(ids: Sequence[Sequence[int]]) -> Any:
    """Return the beginnings of the first sequences, int64 (rows, length), to compare logits on."""
    import torch

    rows, length = COMPARED
    taken = [one for one in ids if len(one) > 1][:rows] or list(ids[:1])
    length = min(length, *map(len, taken), length)
    return torch.tensor([one[:length] for one in taken])
