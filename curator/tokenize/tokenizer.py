"""Text to token ids with Hugging Face `tokenizers`; trains a tokenizer where none is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import xxhash

from curator import frames, kernels
from curator.errors import ModelError, SpecError, check_seed
from curator.kernels.arrow import each
from curator.run.corpus import Corpus
from curator.stage import CorpusStage, Frame, Mapper
from curator.tokenizer_file import load
from millrace import storage

END_OF_DOCUMENT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[SEP]")


@dataclass(frozen=True)
class Tokenize(CorpusStage):
    """Encode `text` as token ids, with the end-of-document token after each document.

    `tokenizer` is a tokenizer.json. Where it is empty, a byte-level BPE of `vocab_size` is trained on
    the kept text: on all of it up to `train_mb`, beyond that on the documents whose hashed ids are
    smallest, so the same documents give the same tokenizer however they are split into files.
    Text that spells a special token is encoded as text. Cost: 3 to 4 MB/s a core.
    """

    tokenizer: str = ""
    end_of_document: str = ""  # a token of the tokenizer; empty: the first of the usual ones it has
    vocab_size: int = 32_000
    train_mb: int = 100
    seed: int = 0

    reads: ClassVar = {"id": "string", "text": "string"}
    writes: ClassVar = {"tokens": "list<uint32>", "n_tokens": "int64"}
    sketches: ClassVar = {"key": "uint64", "characters": "int64"}
    sketch_fields: ClassVar = ("seed",)
    files: ClassVar = ("tokenizer",)
    libraries: ClassVar = ("tokenizers",)

    def __post_init__(self) -> None:
        check_seed("Tokenize", self.seed)
        for name, least in (("vocab_size", 257), ("train_mb", 0)):  # 256 bytes and the end of a document
            if getattr(self, name) < least:
                raise SpecError(f"Tokenize.{name} is {getattr(self, name)}; it must be at least {least}")
        if self.tokenizer:
            end_token(load(storage.absolute(self.tokenizer)), self.tokenizer, self.end_of_document)

    def sketch(self, frame: Frame) -> Frame:
        lengths = kernels.text_length(frame["text"])
        return lengths.assign(key=keys_of(frame, self.seed)["key"])

    def fit(self, corpus: Corpus, folder: str) -> Encode:
        place = storage.join(folder, "tokenizer.json")
        if self.tokenizer:
            storage.write_bytes(place, storage.read_bytes(self.tokenizer))
        else:
            storage.write_bytes(place, self._train(corpus).encode())
        return Encode(place, self.end_of_document)

    def _train(self, corpus: Corpus) -> str:
        table = corpus.sketched("key", "characters")
        order = np.lexsort((table["doc_id"].to_numpy(), table["key"].to_numpy()))
        total = np.cumsum(table["characters"].to_numpy()[order])
        chosen = order[: int(np.searchsorted(total, self.train_mb * 1_000_000)) + 1]
        ids = np.sort(table["doc_id"].to_numpy()[chosen])
        corpus.say(f"Tokenize: no tokenizer given; training byte-level BPE, {self.vocab_size} tokens at most, "
                   f"on {len(ids)} of {len(order)} documents")  # fmt: skip
        texts = [text for _, found in corpus.evidence(ids, ("text",), _texts) for text in found]
        return train(texts, self.vocab_size)


def keys_of(frame: Frame, seed: int) -> Frame:
    """Hash each document's id with a seed: an order that no partitioning changes (XXH3-64, `key`)."""
    hashes = (xxhash.xxh3_64_intdigest(id, seed) for id in each(frame["id"]))
    return frames.like(frame["id"], {"key": np.fromiter(hashes, np.uint64, len(frame))})


def _texts(frame: Frame) -> list[str]:
    return [text or "" for text in frames.column_to_arrow(frame["text"]).to_pylist()]


def train(texts: list[str], vocab_size: int) -> str:
    """Train a byte-level BPE (Wang et al. 2020; GPT-2's pre-tokenizer) and return its tokenizer.json.

    Deterministic: the trainer orders pairs by count, then by token, whatever the number of threads.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_DOCUMENT[0]],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str(pretty=True)


def end_token(tokenizer: Any, path: str, wanted: str) -> int:
    """Return the id of the end-of-document token. Raises ModelError where the tokenizer has none."""
    for token in [wanted] if wanted else END_OF_DOCUMENT:
        found = tokenizer.token_to_id(token)
        if found is not None:
            return int(found)
    special = [t.content for t in tokenizer.get_added_tokens_decoder().values()][:8]
    said = f"{wanted!r}" if wanted else f"none of {', '.join(END_OF_DOCUMENT)}"
    raise ModelError(
        f"{path}: no end-of-document token: it has {'no ' if wanted else ''}{said}. "
        f"Its special tokens: {', '.join(special) or 'none'}; set Tokenize.end_of_document"
    )


@dataclass(frozen=True)
class Encode(Mapper):
    """Write `tokens` and `n_tokens` with the tokenizer of a file."""

    tokenizer: str
    end_of_document: str = ""

    reads: ClassVar = {"text": "string"}
    writes: ClassVar = {"tokens": "list<uint32>", "n_tokens": "int64"}

    def map(self, frame: Frame) -> Frame:
        tokenizer = load(self.tokenizer)
        end = end_token(tokenizer, self.tokenizer, self.end_of_document)
        encoded = tokenizer.encode_batch_fast(_texts(frame), add_special_tokens=False)
        pieces = [np.asarray([*e.ids, end], np.uint32) for e in encoded]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        flat = np.concatenate(pieces) if pieces else np.zeros(0, np.uint32)
        tokens = pa.LargeListArray.from_arrays(starts, flat)
        made = frames.like(frame["text"], {"tokens": tokens, "n_tokens": lengths})
        return frame.assign(tokens=made["tokens"], n_tokens=made["n_tokens"])
