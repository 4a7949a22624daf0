import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from serve.errors import ExportError, ServeSettingsError
from serve.export.trtllm.checkpoint import TensorrtLlm
from serve.export.trtllm.join import Checkpoint
from tests.align import tiny
from tests.serve.export.trtllm import models


def written(source, place, **settings):
    made = TensorrtLlm(**settings)
    made.refuse(source)
    made.write_with(source, str(place), None)
    return made


def changed(folder, rank, change):
    file = folder / f"rank{rank}.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


@pytest.mark.parametrize("name", models.KINDS)
def test_ranks_together_are_the_model_again(tmp_path, sources, name):
    source = sources(name)
    made = written(source, tmp_path, tp=4, pp=2)
    verdict = made.test(source, str(tmp_path))
    assert (verdict.worst, verdict.compared) == (0.0, len(source.shapes))
    assert verdict.cosine > 1 - 1e-6


@pytest.mark.parametrize("name", ["llama", "llama_tied", "llama_one_key", "mixtral", "gpt2"])
@pytest.mark.parametrize(("tp", "pp", "parallel"), [(1, 1, True), (2, 1, False), (1, 2, True), (2, 2, True)])
def test_however_it_is_shared_out_it_is_the_same_model(tmp_path, sources, name, tp, pp, parallel):
    source = sources(name)
    written(source, tmp_path, tp=tp, pp=pp, parallel_embedding=parallel)
    together = Checkpoint(str(tmp_path))
    for tensor in source.shapes:
        assert torch.equal(together.tensor(tensor), source.part(tensor)), tensor


def test_stages_of_different_lengths_hold_all_layers(tmp_path, sources):
    source = sources("llama", num_hidden_layers=5)
    written(source, tmp_path, pp=3)
    together = Checkpoint(str(tmp_path))
    assert [len({n.split(".")[2] for n in load_file(tmp_path / f"rank{r}.safetensors") if ".layers." in n})
            for r in range(3)] == [2, 2, 1]  # fmt: skip
    assert all(torch.equal(together.tensor(name), source.part(name)) for name in source.shapes)


def test_the_plan_says_the_bytes_of_each_file(tmp_path, sources):
    made = written(sources("mixtral"), tmp_path, tp=2, pp=2, dtype="bfloat16")
    for file, size in made.plan(sources("mixtral")).items():
        tensors = load_file(tmp_path / file).values()
        assert size == sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_each_number_is_read_once_and_one_tensor_at_a_time(tmp_path, sources):
    source, read = sources("llama"), []
    part = source.part

    def counted(name, *bounds):
        found = part(name, *bounds)
        read.append(found.numel())
        return found

    source.part = counted
    written(source, tmp_path, tp=2, pp=2, parallel_embedding=True)
    whole = {name: torch.Size(shape).numel() for name, shape in source.shapes.items()}
    copies = sum(size for name, size in whole.items() if len(source.shapes[name]) == 1)  # norms are in both ranks
    assert sum(read) == sum(whole.values()) + copies
    assert max(read) == -(-models.VOCABULARY // 2) * 32


@pytest.mark.parametrize(
    ("rank", "change", "said"),
    [
        (1, lambda t: t["transformer.layers.0.attention.qkv.weight"][12:24].add_(1), "share a k head"),
        (2, lambda t: t["transformer.layers.0.post_layernorm.weight"].add_(1), "is not the same in ranks 0 and 2"),
        (3, lambda t: t["transformer.vocab_embedding.weight"][-1].add_(1), "past the 101th are not zero"),
        (0, lambda t: t.pop("transformer.ln_f.weight"), "rank0.safetensors has nothing for transformer.ln_f.weight"),
        (0, lambda t: t.update(more=torch.ones(1)), "no such tensor"),
        (0, lambda t: t.update({"lm_head.weight": t["lm_head.weight"].half()}), "'float16'"),
        (2, lambda t: t["transformer.layers.1.attention.dense.weight"].mul_(2), "o_proj.weight differs"),
    ],
)
def test_a_rank_that_is_wrong_is_found(tmp_path, sources, rank, change, said):
    source = sources("llama_one_key")
    made = written(source, tmp_path, tp=4)
    changed(tmp_path, rank, change)
    with pytest.raises(ExportError, match=said):
        made.test(source, str(tmp_path))


def test_a_tied_head_that_is_not_the_embedding_is_found(tmp_path, sources):
    source = sources("llama_tied")
    made = written(source, tmp_path)
    changed(tmp_path, 0, lambda t: t["lm_head.weight"].add_(1))
    with pytest.raises(ExportError, match="lm_head is said to be the embedding, and is not"):
        made.test(source, str(tmp_path))


def test_a_rank_that_is_missing_is_found(tmp_path, sources):
    source = sources("llama")
    made = written(source, tmp_path, tp=2)
    (tmp_path / "rank1.safetensors").unlink()
    with pytest.raises(ExportError, match=r"rank1\.safetensors is missing"):
        made.test(source, str(tmp_path))


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [("llama", "rotary_base", 10_000.0), ("llama_scaled", "rotary_scaling", None), ("llama", "norm_epsilon", 1.0)],
)
def test_a_configuration_that_computes_something_else_is_found(tmp_path, sources, name, field, value):
    source = sources(name)
    made = written(source, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(ExportError, match="computes something else"):
        made.test(source, str(tmp_path))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_cast_is_within_its_rounding(tmp_path, sources, dtype):
    source = sources("llama")
    made = written(source, tmp_path, tp=2, dtype=dtype)
    verdict = made.test(source, str(tmp_path))
    assert 0 < verdict.worst < {"bfloat16": 2**-8, "float16": 2**-11}[dtype]


@pytest.mark.parametrize("quantization", ["w8a16", "w4a16"])
def test_weight_only_writes_plain_weights_and_says_what_rounding_does(tmp_path, sources, quantization):
    source = sources("llama")
    made = written(source, tmp_path, tp=2, dtype="float16", quantization=quantization)
    plain = TensorrtLlm(tp=2, dtype="float16")
    plain.write_with(source, str(tmp_path / "plain"), None)
    for file in ("rank0.safetensors", "rank1.safetensors"):
        assert (tmp_path / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()
    verdict = made.test(source, str(tmp_path))
    assert verdict.cosine < plain.test(source, str(tmp_path / "plain")).cosine
    assert quantization in verdict.notes[0]


def test_weight_only_that_rounds_too_much_is_refused(tmp_path, sources):
    made = written(sources("llama"), tmp_path, dtype="float16", quantization="w4a16", min_cosine=0.99)
    with pytest.raises(ExportError, match=r"rounded to w4a16 the model computes something else"):
        made.test(sources("llama"), str(tmp_path))


@pytest.mark.parametrize("name", ["llama", "mixtral", "gpt2"])
def test_fp8_is_calibrated_on_text_and_computes_nearly_the_same(tmp_path, sources, name):
    source = sources(name, vocab_size=320)
    tiny.tokenizer(source.folder)
    text = tmp_path / "text.txt"
    text.write_text(" ".join(tiny.WORDS * 8))
    made = TensorrtLlm(tp=2, pp=2, quantization="fp8", kv_cache="fp8", calibrate=str(text), samples=4, tokens=32)
    made.refuse(source)
    assert made.write(source, str(tmp_path / "out")) > 0
    verdict = made.test(source, str(tmp_path / "out"))
    assert 0.9 < verdict.cosine < 1
    assert 0 < verdict.worst < 2**-4
    config = json.loads((tmp_path / "out/config.json").read_text())["quantization"]
    assert (config["quant_algo"], config["kv_cache_quant_algo"]) == ("FP8", "FP8")


def test_texts_longer_than_the_model_has_positions_are_cut(tmp_path, sources):
    source = sources("gpt2", vocab_size=320)
    tiny.tokenizer(source.folder)
    text = tmp_path / "text.txt"
    text.write_text(" ".join(tiny.WORDS * 8))
    made = TensorrtLlm(quantization="fp8", calibrate=str(text), samples=1)
    assert source.model.positions < made.tokens
    made.write(source, str(tmp_path / "out"))  # learned positions: one more would be past the table
    most = source.model.positions
    assert made.test(source, str(tmp_path / "out")).notes == (
        f"texts were cut at {most} tokens, the model's positions, not at 512",
    )


def test_a_scale_that_is_wrong_is_found(tmp_path, sources):
    source = sources("llama", vocab_size=320)
    tiny.tokenizer(source.folder)
    text = tmp_path / "text.txt"
    text.write_text(" ".join(tiny.WORDS))
    made = TensorrtLlm(quantization="fp8", calibrate=str(text), samples=1)
    out = tmp_path / "out"
    made.write(source, str(out))
    changed(out, 0, lambda t: t["transformer.layers.0.mlp.fc.weights_scaling_factor"].mul_(1.5))
    with pytest.raises(ExportError, match=r"gate_proj\.weight differs"):
        made.test(source, str(out))


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("llama", {"tp": 3}, "tp 3 does not divide the model's heads, 4"),
        ("llama", {"tp": 8}, "tp 8 does not divide the model's heads, 4"),
        ("llama", {"pp": 3}, "pp 3 is more than the model's layers, 2"),
        ("llama", {"quantization": "w8a16"}, "w8a16 computes in float16 or bfloat16, the model is float32; set dtype"),
    ],
)
def test_a_model_that_cannot_be_shared_out_is_refused_in_a_line(sources, name, settings, said):
    with pytest.raises(ExportError, match=said):
        TensorrtLlm(**settings).refuse(sources(name))


def test_key_heads_that_ranks_cannot_share_evenly_are_refused(sources):
    source = sources("llama", hidden_size=48, num_attention_heads=6, num_key_value_heads=2)
    with pytest.raises(ExportError, match="tp 3 neither divides nor is a multiple of the model's key heads, 2"):
        TensorrtLlm(tp=3).refuse(source)


def test_rows_of_the_feed_forward_layer_that_do_not_divide_are_refused(sources):
    with pytest.raises(ExportError, match="tp 4 does not divide the model's ffn_size, 50"):
        TensorrtLlm(tp=4).refuse(sources("llama", intermediate_size=50))


def test_a_model_that_scores_is_refused(sources):
    source = sources("llama")
    scoring = SimpleNamespace(name="judge", outputs=1, model=source.model, family=source.family)
    with pytest.raises(ExportError, match="judge scores sequences"):
        TensorrtLlm().refuse(scoring)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tp": 0}, "tp is 0; it must be at least 1"),
        ({"quantization": "fp9"}, "quantization is 'fp9'; known: none, fp8, w8a16, w4a16. Did you mean fp8"),
        ({"dtype": "int8"}, "dtype is 'int8'; known"),
        ({"kv_cache": "int8"}, "kv_cache is 'int8'; known"),
        ({"quantization": "fp8"}, "--set calibrate=FILE"),
        ({"kv_cache": "fp8"}, "--set calibrate=FILE"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ServeSettingsError, match=said):
        TensorrtLlm(**settings)


def test_gelu_by_tanh_is_told(tmp_path, sources):
    source = sources("gpt2", activation_function="gelu")
    made = written(source, tmp_path)
    verdict = made.test(source, str(tmp_path))
    assert 0.999 < verdict.cosine < 1
    assert "computes gelu by tanh" in verdict.notes[0]
