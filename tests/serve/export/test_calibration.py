"""Largest inputs of linear layers, measured on text."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from serve.errors import ServeSettingsError
from serve.export import network
from serve.export.calibration import compared, longest, measure, notes, sequences
from tests.serve.export import models

IDS = [[5, 9, 200, 31, 7], [88, 3, 2], [250, 251, 252, 253]]


def by_hand(model, ids):
    """Return what transformers' own modules were given, and their caches' keys and values."""
    seen, caches = {}, []
    hooks = [
        module.register_forward_pre_hook(lambda m, given, name=name: seen.setdefault(name, []).append(given[0]))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    with torch.no_grad():
        caches = [model(torch.tensor([one]), use_cache=True)["cache"] for one in ids]
    for hook in hooks:
        hook.remove()
    return {name: max(x.abs().max().item() for x in all_) for name, all_ in seen.items()}, caches


def test_every_layer_but_the_head_is_measured(llama):
    model = network.opened(llama, "float32")
    found, (expected, caches) = measure(model, IDS), by_hand(model, IDS)
    expected.pop("lm_head")
    assert found.inputs == expected
    assert found.keys == {n: max(c.layers[n].keys.abs().max().item() for c in caches) for n in found.keys}
    assert found.values == {n: max(c.layers[n].values.abs().max().item() for c in caches) for n in found.values}
    assert len(found.keys) == 2


def test_the_largest_of_all_texts_is_the_largest_of_each(llama):
    model = network.opened(llama, "float32")
    apart = [measure(model, [one]).inputs for one in IDS]
    assert measure(model, IDS).inputs == {name: max(one[name] for one in apart) for name in apart[0]}


def test_experts_compute_what_transformers_computes_and_are_seen_by_their_names(tmp_path):
    model = network.opened(models.save(tmp_path / "mixtral", "mixtral", **models.MIXTRAL), "float32")
    from serve.export.linears import watching

    tokens = torch.tensor([IDS[0] + IDS[2]])
    seen = {}

    def observe(layers, x):
        seen.update(dict.fromkeys(layers, x))
        return x

    with torch.no_grad():
        alone = model(tokens).logits
        with watching(model, observe):
            watched = model(tokens).logits
        assert torch.equal(model(tokens).logits, alone)  # nothing of it stays
    assert torch.allclose(alone, watched, atol=1e-5)
    expert = next(name for name in seen if name.endswith(".w2")).removesuffix(".w2")
    assert expert.startswith("model.layers.0.block_sparse_moe.experts.")
    stacked = model.model.layers[0].mlp.experts
    gate, up = (seen[f"{expert}.w1"] @ stacked.gate_up_proj[int(expert[-1])].T).chunk(2, -1)
    assert torch.allclose(seen[f"{expert}.w2"], torch.nn.functional.silu(gate) * up, atol=1e-5)


def test_an_input_of_zeros_gives_no_scale(llama):
    model = network.opened(llama, "float32")
    torch.nn.init.zeros_(model.model.layers[1].input_layernorm.weight)
    with pytest.raises(ServeSettingsError, match=r"model\.layers\.1\.self_attn\.q_proj.*magnitude 0\.0"):
        measure(model, IDS)


def test_an_input_that_is_not_finite_gives_no_scale(llama):
    model = network.opened(llama, "float32")
    model.model.embed_tokens.weight.data[9] = float("nan")
    with pytest.raises(ServeSettingsError, match="magnitude nan"):
        measure(model, IDS)


def test_texts_come_from_text_messages_and_plain_files(llama, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama)
    said = [{"role": "user", "content": "fox"}]
    file = tmp_path / "some.jsonl"
    file.write_text("\n".join([json.dumps({"text": "the quick brown fox"}), json.dumps({"messages": said})]))
    expected = [tokenizer(t)["input_ids"] for t in ("the quick", tokenizer.apply_chat_template(said, tokenize=False))]
    first, second = sequences(llama, str(file), 8, 64)
    assert first[: len(expected[0])] == expected[0]
    assert second == expected[1]
    assert sequences(llama, str(file), 1, 2) == [first[:2]]
    plain = tmp_path / "plain.txt"
    plain.write_text("the quick brown fox")
    pieces = sequences(llama, str(plain), 9, 2)
    assert [one for piece in pieces for one in piece] == first
    assert {len(one) for one in pieces[:-1]} == {2}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"question": "why"}\n', r"a\.jsonl:1 has no field text or messages; it has question"),
        ("a.jsonl", b'{"text": "fox"}\n{broken\n', r"a\.jsonl:2: broken JSON"),
        ("a.jsonl", b"[1]", "is no object with a field text"),
        ("a.txt", b"fox \xff", r"a\.txt is no UTF-8 text: invalid start byte at byte 4"),
        ("a.txt", b"", "has no text"),
    ],
)
def test_what_is_no_text_is_named_and_never_passed_over(llama, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ServeSettingsError, match=said):
        sequences(llama, str(tmp_path / name), 8, 64)


@pytest.mark.parametrize(("positions", "most", "said"), [(128, 128, 1), (None, 512, 0), (4096, 512, 0)])
def test_texts_are_no_longer_than_the_model_has_positions(positions, most, said):
    source = SimpleNamespace(model=SimpleNamespace(positions=positions))
    assert longest(source, 512) == most
    assert len(notes(source, 512)) == said


def test_what_is_compared_is_a_rectangle():
    assert compared([[1, 2, 3], [4], [5, 6]]).tolist() == [[1, 2], [5, 6]]
    assert compared([[1]]).tolist() == [[1]]
    assert compared([list(range(999))]).shape == (1, 64)
