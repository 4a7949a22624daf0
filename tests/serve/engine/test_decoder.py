import numpy as np
import pytest
import torch

from serve.engine.cache import Cache
from serve.engine.decoder import Decoder
from serve.engine.step import Chunk, Step
from serve.engine.weights import read_weights
from serve.errors import ModelFolderError
from serve.model import find
from tests.serve.engine import models

CASES = {
    "llama": ("llama", {}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-rope-scaled": ("llama", {"rope_parameters": models.LLAMA3}),
    "llama-head-size": ("llama", {"head_dim": 16, "num_key_value_heads": 1}),
    "llama-all-heads": ("llama", {"num_key_value_heads": 4}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"head_dim": 8}),
    "mixtral": ("mixtral", {}),
    "gpt2": ("gpt2", {}),
    "gpt2-erf": ("gpt2", {"activation_function": "gelu"}),
}


def decoder_of(folder, dtype=torch.float32):
    return Decoder(read_weights(find(folder), dtype, torch.device("cpu")))


def logits_in_parts(decoder, rows, cuts, block_tokens=4):
    """Logits after every token of each sequence, read in steps that end at `cuts`, all sequences in each step."""
    weights = decoder.weights
    each = -(-max(map(len, rows)) // block_tokens)
    cache = Cache(weights.model, each * len(rows), block_tokens, weights.dtype, weights.device)
    tables = np.random.default_rng(1).permutation(each * len(rows)).reshape(len(rows), each)
    found, read = [[] for _ in rows], 0
    for cut in [*cuts, max(map(len, rows))]:
        parts = [(i, read, min(cut, len(row))) for i, row in enumerate(rows) if min(cut, len(row)) > read]
        if not parts:
            break
        parts.sort(key=lambda part: part[2] - part[1] > 1)
        of = np.repeat(np.arange(len(parts)), [stop - start for _, start, stop in parts])
        at = [np.arange(start, stop) for _, start, stop in parts]
        cells = [tables[i][a // block_tokens] * block_tokens + a % block_tokens for (i, *_), a in zip(parts, at)]
        chunks, row = [], 0
        for number, (_, start, stop) in enumerate(parts):
            if stop - start > 1:
                chunks.append(Chunk(number, row, row + stop - start, start))
            row += stop - start
        tokens = np.concatenate([rows[i][start:stop] for i, start, stop in parts])
        step = Step(tokens, np.concatenate(at), of, np.concatenate(cells), tables[[i for i, *_ in parts]],
                    tuple(chunks), np.arange(len(tokens)), None)  # fmt: skip
        made = decoder.logits(decoder.hidden(step, cache))
        for (i, *_), piece in zip(parts, made.split([len(a) for a in at])):
            found[i].append(piece)
        read = cut
    return [torch.cat(pieces) for pieces in found]


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers_however_a_sequence_is_cut(case, tmp_path):
    from transformers import AutoModelForCausalLM

    family, changes = CASES[case]
    folder = models.make(tmp_path, family, **changes)
    rows = models.prompts(5, longest=40)
    oracle = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        wanted = [oracle(torch.from_numpy(row)[None]).logits[0] for row in rows]
        decoder, first = decoder_of(folder), None
        for cuts in ([], [7, 8, 9, 23], list(range(1, 20))):
            found = logits_in_parts(decoder, rows, cuts)
            for one, other in zip(wanted, found):
                torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
            first = first or found
            assert all(torch.equal(one, other) for one, other in zip(first, found))  # on a CPU, bit by bit


def test_threads_change_no_bit(llama, monkeypatch):
    from serve.engine import between

    rows = models.prompts(5, longest=40)
    with torch.inference_mode():
        one = logits_in_parts(decoder_of(llama), rows, [5, 6, 30])
        monkeypatch.setattr(between, "SPREAD", 0)
        torch.set_num_threads(3)
        try:
            three = logits_in_parts(decoder_of(llama), rows, [5, 6, 30])
        finally:
            torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(one, three))


def test_on_any_device_the_same_by_torch_alone(llama, monkeypatch):
    from serve.engine import decoder, linear

    rows = models.prompts(5, longest=40)
    with torch.inference_mode():
        compiled = logits_in_parts(decoder_of(llama), rows, [5, 6, 30])
        for module in (decoder, linear):
            monkeypatch.setattr(module, "packs", lambda dtype, device: False)
        for one, other in zip(compiled, logits_in_parts(decoder_of(llama), rows, [5, 6, 30])):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near(dtype, llama):
    rows = models.prompts(3)
    with torch.inference_mode():
        exact = logits_in_parts(decoder_of(llama), rows, [4, 5])
        near = logits_in_parts(decoder_of(llama, dtype), rows, [4, 5])
    for one, other in zip(exact, near):
        assert torch.nn.functional.cosine_similarity(one, other, dim=-1).min() > 0.995


def damaged(tmp_path, change):
    """A folder whose tensors were changed by `change(dict)`."""
    from safetensors.torch import load_file, save_file

    folder = models.make(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    return folder


def config_with(tmp_path, **changes):
    import json

    folder = models.make(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


REFUSED = {
    "lacks tensors": (lambda p: damaged(p, lambda t: t.pop("model.norm.weight")), "lacks 1 of 21 tensors"),
    "lies about shapes": (
        lambda p: damaged(p, lambda t: t.update({"model.norm.weight": torch.zeros(31)})),
        r"model.norm.weight has the shape \(31,\)",
    ),
    "is quantised": (lambda p: config_with(p, quantization_config={"quant_method": "awq"}), r"quantised \(awq\)"),
    "is of another architecture": (lambda p: config_with(p, model_type="bloom"), "model_type is 'bloom'; known: llama"),
    "has a window": (lambda p: config_with(p, model_type="mixtral", sliding_window=8), "sliding_window is 8"),
    "has no score": (
        lambda p: config_with(p, architectures=["LlamaForSequenceClassification"]),
        "has no tensor score.weight",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_is_refused_that(case, tmp_path):
    make, message = REFUSED[case]
    with pytest.raises(ModelFolderError, match=message) as error:
        decoder_of(make(tmp_path))
    assert "\n" not in str(error.value)
