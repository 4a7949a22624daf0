"""Hugging Face sequence classifiers on local files, run by ONNX Runtime or by torch.

config.json                           id2label, problem_type, pad_token_id
tokenizer.json
model.onnx | onnx/model.onnx          for onnx: gives `logits`, or one output (batch, labels)
model.safetensors                     for torch: a model that transformers knows, or one of NeMo Curator's, whose
                                      weights are model.* (the encoder) and fc.* (a layer on the first token)
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curator.errors import ModelError
from curator.onnx_model import first_file, folder_of, load_session, load_tokenizer, need, one_line
from millrace import storage

STEP = 64  # tokens: lengths are padded to multiples of it
Run = Callable[[np.ndarray, np.ndarray], np.ndarray]  # ids and mask int64 (batch, tokens) -> logits (batch, labels)


@dataclass(frozen=True)
class Classifier:
    """A loaded model."""

    name: str
    labels: tuple[str, ...]  # one: it is a regression, and its output a score
    independent: bool  # labels are judged one by one (a sigmoid each), not against each other (softmax)
    padding: int  # token id
    tokenizer: Any
    run: Run

    def logits(self, texts: list[str], max_tokens: int, batch_tokens: int | None) -> np.ndarray:
        """Return float64 (texts, labels), NaN for a text of no tokens.

        What a float32 model gives for a text depends, in its last bits, on the shape of what it is computed with. So
        without `batch_tokens` each text goes alone, at its own length; with it, texts of similar length go together
        in passes of one shape for each length, a last one filled up with copies. Either way the result follows from
        the text, not from its neighbours.
        """
        ids = [self.tokenizer.encode(text).ids for text in texts]
        found = np.full((len(ids), len(self.labels)), np.nan)
        for rows, length, height in passes([len(one) for one in ids], max_tokens, batch_tokens):
            tokens = np.full((height, length), self.padding, np.int64)
            mask = np.zeros((height, length), np.int64)
            for place in range(height):
                one = ids[rows[min(place, len(rows) - 1)]]
                tokens[place, : len(one)], mask[place, : len(one)] = one, 1
            found[rows] = self._pass(tokens, mask)[: len(rows)]
        return found

    def _pass(self, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        try:
            made = self.run(tokens, mask)
        except Exception as error:  # the classes that onnxruntime raises are private, torch's of any kind
            raise ModelError(f"{self.name} fails on texts of {tokens.shape[1]} tokens: {one_line(error)}") from None
        if made.shape != (len(tokens), len(self.labels)):
            raise ModelError(f"{self.name} gives {made.shape[-1]} numbers a text; its labels are {len(self.labels)}")
        return made

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return float64 of the same shape, in [0, 1]."""
        made: np.ndarray
        if self.independent:
            made = 0.5 + 0.5 * np.tanh(logits / 2)  # the logistic function, without overflow
        else:
            raised = np.exp(logits - logits.max(axis=1, keepdims=True))
            made = raised / raised.sum(axis=1, keepdims=True)
        return made


def passes(lengths: list[int], max_tokens: int, batch_tokens: int | None) -> list[tuple[list[int], int, int]]:
    """Return (places of texts, tokens a text, texts a pass) of each pass, for texts of so many tokens; those of none
    are left out. A pass holds `batch_tokens` at most, one text at least."""
    if batch_tokens is None:
        return [([place], length, 1) for place, length in enumerate(lengths) if length]
    by_length: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        if length:
            by_length.setdefault(min(-(-length // STEP) * STEP, max_tokens), []).append(place)
    found = []
    for length, places in sorted(by_length.items()):
        height = max(1, batch_tokens // length)
        found += [(places[at : at + height], length, height) for at in range(0, len(places), height)]
    return found


def model_files(model: str, backend: str) -> dict[str, str]:
    """Return the paths of the files that shape a score, by role: config, tokenizer, weights, and data where it is
    there. Raises ModelError where the model is no local folder, one is missing, or what runs it not installed."""
    place = folder_of(model)
    if backend == "onnx":
        need(("onnxruntime",), "a model's score by onnx", "semantic")
        names = ["model.onnx", "onnx/model.onnx"]
    else:
        need(("torch", "transformers", "safetensors"), "a model's score by torch", "models")
        names = ["model.safetensors"]
    found = {
        role: first_file([place / name for name in given], f"{model} holds no {role}: no file {{}}")
        for role, given in {"config": ["config.json"], "tokenizer": ["tokenizer.json"], "weights": names}.items()
    }
    data = found["weights"].with_name(found["weights"].name + "_data")
    return {role: str(path) for role, path in (found | ({"data": data} if data.is_file() else {})).items()}


def load(model: str, backend: str, device: str, labels: tuple[str, ...], max_tokens: int) -> Classifier:
    """Return the model of a folder, loaded once a process and state of its files. `labels` names its outputs where
    they are given, else config.json does."""
    files = model_files(model, backend)
    states = tuple((role, path, Path(path).stat().st_mtime_ns) for role, path in files.items())
    return _load(states, backend, device, labels, max_tokens)


@functools.lru_cache(maxsize=2)
def _load(
    states: tuple[tuple[str, str, int], ...], backend: str, device: str, labels: tuple[str, ...], max_tokens: int
) -> Classifier:
    files = {role: path for role, path, _ in states}
    try:
        config = json.loads(storage.read_bytes(files["config"]))
        named = {int(number): str(label) for number, label in config.get("id2label", {}).items()}
        padding, kind = int(config.get("pad_token_id") or 0), config.get("problem_type")
    except (ValueError, AttributeError, TypeError):
        raise ModelError(f"{files['config']} is not the config.json of a model") from None
    known = labels or tuple(named[number] for number in sorted(named))
    if not known:
        raise ModelError(f"{files['config']} names no labels (id2label); give them as ModelScore.labels")
    tokenizer = load_tokenizer(files["tokenizer"], max_tokens)
    run = _onnx(files["weights"]) if backend == "onnx" else _torch(files["weights"], device)
    return Classifier(files["weights"], known, kind == "multi_label_classification", padding, tokenizer, run)


def _onnx(path: str) -> Run:
    session = load_session(path)
    inputs = [item.name for item in session.get_inputs()]
    outputs = {item.name: len(item.shape) for item in session.get_outputs()}
    fit = ["logits"] if outputs.get("logits") == 2 else [name for name, rank in outputs.items() if rank == 2]
    if len(fit) != 1:
        raise ModelError(f"{path} gives {', '.join(outputs)}; expected logits, or one output (batch, labels)")

    def run(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        values = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        made: np.ndarray = session.run(fit, {name: values[name] for name in inputs})[0]
        return made

    return run


def _torch(path: str, device: str) -> Run:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("ModelScore.device is cuda, and torch finds no GPU; set device: cpu")
    encoder, head = _torch_model(path)
    encoder.eval().to(device)
    head.to(device)

    def run(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums on several differ
        try:
            with torch.inference_mode():
                ids, attended = (torch.from_numpy(array).to(device) for array in (tokens, mask))
                made = encoder(input_ids=ids, attention_mask=attended)
                logits = head(made.last_hidden_state[:, 0]) if "last_hidden_state" in made else made.logits
                numbers: np.ndarray = logits.float().cpu().numpy()
        finally:
            torch.set_num_threads(threads)
        return numbers

    return run


def _torch_model(path: str) -> tuple[Any, Any]:
    """Return the model, and the layer on its first token where it is an encoder without one of its own.

    Attention is computed eagerly: other ways of doing it choose by what the mask of the whole batch looks like.
    """
    import torch
    import transformers
    from safetensors.torch import load_file

    folder, eager = str(Path(path).parent), {"attn_implementation": "eager"}
    head = torch.nn.Identity()
    transformers.logging.disable_progress_bar()  # a stage prints nothing
    try:
        weights = load_file(path)
        if "fc.weight" in weights:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            model = transformers.AutoModel.from_config(config, **eager)
            own = {name.removeprefix("model."): value for name, value in weights.items() if name.startswith("model.")}
            missing = model.load_state_dict(own, strict=False).missing_keys
            head = torch.nn.Linear(*reversed(weights["fc.weight"].shape))
            head.load_state_dict({name: weights[f"fc.{name}"] for name in ("weight", "bias")})
        else:
            made = transformers.AutoModelForSequenceClassification
            model, said = made.from_pretrained(folder, local_files_only=True, output_loading_info=True, **eager)
            missing = said["missing_keys"]
    except Exception as error:  # transformers and safetensors raise of any kind
        raise ModelError(f"{path} is not a model that transformers loads: {one_line(error)}") from None
    if missing:  # transformers would make them up
        raise ModelError(f"{path} lacks weights of a sequence classifier: {', '.join(sorted(missing)[:5])}")
    return model, head
