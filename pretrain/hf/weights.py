"""Weights of a Hugging Face folder into Megatron's tensors, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from millrace import storage
from millrace.config import did_you_mean
from pretrain.config import Model
from pretrain.errors import WeightsError
from pretrain.hf.config import config_json, family_of, read_family
from pretrain.hf.folder import TensorFolder, appearing, write_tensors
from pretrain.hf.rows import Box, Matrix
from pretrain.hf.tables import OUTPUT, SCORE, canonical, table

SHARD_BYTES = 5_000_000_000  # as transformers' save_pretrained long had it
# Constants that old folders keep among the weights: masks of attention, rotary frequencies.
CONSTANT = re.compile(r"(^|\.)(attn\.(bias|masked_bias)|rotary_emb\.inv_freq)$")


class Piece(Protocol):
    """A rank's part of a global tensor, as Megatron's ShardedTensor says it: `data` is a view of the parameter."""

    key: str
    data: Any  # of local_shape
    local_shape: tuple[int, ...]
    global_offset: tuple[int, ...]  # with prepend_axis_num dimensions more, that stack layers or experts


@dataclass(frozen=True)
class Tokenizer:
    """What a Hugging Face folder says of the tokenizer."""

    content: bytes  # of tokenizer.json
    end_of_document: int  # id


class Weights:
    """The weights of a Hugging Face folder in Megatron's layout: whatever part is asked for, read where it lies.

    Names and shapes are checked against the model at once, by the headers. Raises WeightsError where a tensor is
    missing, unknown, of another shape, or where the output layer is tied and not, both.

    outputs: of a head that scores sequences, 0: the vocabulary. A folder of a language model has no such head, and
    its output layer is left alone: `fresh` are Megatron's tensors it has nothing for.
    """

    def __init__(self, folder: str, model: Model, outputs: int = 0):
        self._tensors = TensorFolder(folder)
        self._family = read_family(folder)
        self._matrices: dict[str, list[Matrix]] = {}
        for matrix in table(model, self._family, outputs):
            self._matrices.setdefault(matrix.key, []).append(matrix)
        wanted = {name: shape for each in self._all() for name, shape in each.sources().items()}
        self._source = _Renamed(self._tensors, wanted)
        self.fresh: frozenset[str] = frozenset()
        if outputs:
            self._source.names.pop("lm_head.weight", None)
            if SCORE not in self._source.names:
                wanted.pop(SCORE)
                self.fresh = frozenset({OUTPUT})
        _check(self._source, wanted, folder, model)
        self.shapes: dict[str, tuple[int, ...]] = wanted  # of Hugging Face's tensors, layer after layer
        self.dtypes = {name: self._tensors.dtypes[self._source.names[name]] for name in wanted}  # as torch calls them

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of one of Hugging Face's tensors, as TensorFolder does; of a base model saved alone too."""
        return self._source.part(name, *bounds)

    def release(self, part: Any) -> None:
        """Let go of the memory of a part that was given, as TensorFolder does."""
        self._tensors.release(part)

    def _all(self) -> Iterator[Matrix]:
        for matrices in self._matrices.values():
            yield from matrices

    def read(self, box: Box) -> Any:
        """Return a part of one of Megatron's tensors. Raises WeightsError where the model has no such tensor."""
        import torch

        matrices = self._matrices.get(canonical(box.key))
        if matrices is None:
            raise WeightsError(f"{self._tensors.folder} has nothing for {box.key}: the model is no {self._family}")
        if matrices[0].expert is None:
            return matrices[0].join(self._source, box.offset, box.shape)
        experts = matrices[box.offset[0] : box.offset[0] + box.shape[0]]
        return torch.stack([each.join(self._source, box.offset[1:], box.shape[1:]) for each in experts])


class _Renamed:
    """A folder's tensors under the names of the table: a base model saved alone leaves the prefix out."""

    def __init__(self, tensors: TensorFolder, wanted: Iterable[str]):
        self.tensors = tensors
        prefix = next(name.partition(".")[0] for name in wanted) + "."  # model. or transformer.
        bare = not any(name.startswith(prefix) for name in tensors.shapes)
        self.names = {
            name if not bare or name.startswith(("lm_head.", SCORE)) else prefix + name: name
            for name in tensors.shapes
            if not CONSTANT.search(name)
        }

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        return self.tensors.part(self.names[name], *bounds)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.tensors.shapes[self.names[name]]


def _check(source: _Renamed, wanted: dict[str, tuple[int, ...]], folder: str, model: Model) -> None:
    there = set(source.names)
    if model.tied_embeddings and "lm_head.weight" in there:
        _check_tied(source, next(iter(wanted)), folder)
        there.discard("lm_head.weight")
    if "lm_head.weight" in set(wanted) - there:
        raise WeightsError(
            f"{folder} has no lm_head.weight, but its config.json says tie_word_embeddings false: "
            "the output layer is in no file"
        )
    missing, unknown = sorted(set(wanted) - there), sorted(there - set(wanted))
    if missing:
        raise WeightsError(
            f"{folder} lacks {len(missing)} of {len(wanted)} tensors, the first is {missing[0]}."
            f"{did_you_mean(missing[0], unknown)}"
        )
    if unknown:
        raise WeightsError(
            f"{folder} has {len(unknown)} tensors that its model does not use, the first is {unknown[0]}: "
            "config.json does not describe these weights"
        )
    for name, shape in wanted.items():
        if source.shape(name) != shape:
            raise WeightsError(f"{folder}: {name} has the shape {source.shape(name)}; its model needs {shape}")


def _check_tied(source: _Renamed, embedding: str, folder: str, rows: int = 4096) -> None:
    """Refuse an output layer that is said to be the embedding, but lies there as well and is another."""
    shape = source.shape(embedding)
    same = source.shape("lm_head.weight") == shape
    for first in range(0, shape[0], rows) if same else ():
        bounds = ((first, min(first + rows, shape[0])), (0, shape[1]))
        same = same and bool((source.part(embedding, *bounds) == source.part("lm_head.weight", *bounds)).all())
    if not same:
        raise WeightsError(
            f"{folder}: config.json says tie_word_embeddings true, "
            f"but lm_head.weight is there and differs from {embedding}"
        )


def import_weights(folder: str, model: Model, pieces: Iterable[Piece], outputs: int = 0) -> None:
    """Fill this rank's parts of Megatron's tensors from a Hugging Face folder, one by one, cast to their types.

    pieces: the ShardedTensors of the model's `sharded_state_dict`; they know their place under any parallel
    sizes, so a rank reads the layers, experts, rows and columns it owns and no others. Tensors that are no
    weights (extra states) are left out by the caller. Memory: one piece. Raises WeightsError before it fills any.
    outputs: of a head that scores sequences; one that the folder has not stays as it is.
    """
    weights = Weights(folder, model, outputs)
    for piece in pieces:
        if piece.key in weights.fresh:
            continue
        stacked = len(piece.global_offset) - len(piece.local_shape)
        box = Box(piece.key, tuple(piece.global_offset), (1,) * stacked + tuple(piece.local_shape))
        piece.data.detach().copy_(weights.read(box).view(piece.local_shape))


def export_weights(
    model: Model,
    get: Callable[[Box], Any],
    folder: str,
    tokenizer: Tokenizer | None,
    dtype: str = "float32",
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a Hugging Face folder: weights, config.json, generation_config.json and tokenizer.

    get: returns a part of one of Megatron's tensors, from wherever; asked for one matrix after another, of each
    expert alone. dtype: float32, bfloat16 or float16. The rows that pad the vocabulary are left out. The folder
    takes its name when it is whole; config.json is written last. Memory: two matrices (one in either layout).
    Raises WeightsError where no Hugging Face family has such a model.
    """
    config = config_json(model, dtype, tokenizer.end_of_document if tokenizer else None)
    matrices = list(table(model, family_of(model)))
    shapes = {name: shape for matrix in matrices for name, shape in matrix.sources().items()}
    with appearing(folder) as place:
        write_tensors(place, shapes, dtype, _exported(matrices, get), shard_bytes)
        if tokenizer is not None:
            write_tokenizer(place, tokenizer, model)
        storage.write_json(
            storage.join(place, "generation_config.json"),
            {name: config[name] for name in ("bos_token_id", "eos_token_id")},
        )
        storage.write_json(storage.join(place, "config.json"), config)


def _exported(matrices: Iterable[Matrix], get: Callable[[Box], Any]) -> Iterator[tuple[str, Any]]:
    for matrix in matrices:
        whole = get(matrix.box)
        if tuple(whole.shape) != matrix.box.shape:
            raise WeightsError(f"{matrix.key} has the shape {tuple(whole.shape)}; the model needs {matrix.box.shape}")
        yield from matrix.split(whole.view(matrix.shape))


def write_tokenizer(folder: str, tokenizer: Tokenizer, model: Model) -> None:
    """Write tokenizer.json as it is, and what makes AutoTokenizer load it and know the end of a document.

    But for one family: transformers (5.24) reads any qwen2 folder with Qwen's own pre-tokenizer, whatever class
    is named here. Another tokenizer than Qwen's must be loaded there by PreTrainedTokenizerFast.
    """
    from tokenizers import Tokenizer as Library

    end = Library.from_str(tokenizer.content.decode()).id_to_token(tokenizer.end_of_document)
    if end is None:
        raise WeightsError(f"the tokenizer has no token {tokenizer.end_of_document}, said to end documents")
    storage.write_bytes(storage.join(folder, "tokenizer.json"), tokenizer.content)
    storage.write_json(
        storage.join(folder, "tokenizer_config.json"),
        {
            "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, "model_max_length": model.positions,
            "clean_up_tokenization_spaces": False, "model_input_names": ["input_ids", "attention_mask"],
        },
    )  # fmt: skip
