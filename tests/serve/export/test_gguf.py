"""GGUF: read by its library, and by transformers' own reader of it, which shares nothing with ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from serve.errors import ExportError, ModelFolderError, ServeSettingsError
from serve.export.export import export
from serve.export.formats import format_named
from serve.export.gguf import vocabulary
from serve.export.opening import open_source
from serve.export.selftest import probe
from tests.serve.export import models

gguf = pytest.importorskip("gguf", reason="the library gguf is not installed")
ROPE = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64, "rope_theta": 500.0}  # fmt: skip
FAMILIES = {
    "llama": {"rope_parameters": ROPE, "attention_bias": False},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 16},
    "mixtral": models.MIXTRAL,
    "gpt2": {},
}


def written(folder, family, *settings, **more):
    """Export a family's model; return (source, what the export came to)."""
    source = open_source(models.save(folder / "model", family, **{**FAMILIES[family], **more}))
    return source, export(source, format_named("gguf", settings), str(folder / "out"))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_comes_back_bit_by_bit(family, tmp_path):
    source, made = written(tmp_path, family)
    assert made.verdict.worst == 0
    assert made.verdict.cosine == pytest.approx(1, abs=1e-6)
    assert made.verdict.compared == len(source.shapes)
    assert "gpt-2" in made.verdict.notes[0]


# What transformers' reader (5.24) leaves out of a file has to be its default: factors of rotary positions, a qwen3's
# head_dim, a gpt2's positions. It takes no mixtral.
READ = {"llama": {"rope_parameters": {**ROPE, "rope_type": "default"}}, "qwen2": {}, "qwen3": {"head_dim": 128},
        "gpt2": {"n_positions": 1024}}  # fmt: skip


@pytest.mark.parametrize("family", READ)
def test_against_transformers_own_reader(family, tmp_path):
    source, _ = written(tmp_path, family, **READ[family])
    read = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", gguf_file="model-F32.gguf", dtype=torch.float32
    ).eval()
    tokens = probe(source)
    with torch.no_grad():
        assert torch.allclose(read(tokens).logits, models.answer(tmp_path / "model", tokens), atol=1e-4)


@pytest.mark.parametrize(("kind", "most"), [("F16", 2**-11), ("BF16", 2**-8), ("Q8_0", 0.01)])
def test_a_smaller_type_is_written_and_said(kind, most, tmp_path):
    source, made = written(tmp_path, "llama", f"type={kind}")
    assert 0 < made.verdict.worst < most
    assert made.verdict.cosine > 0.99
    tensors = {one.name: one for one in gguf.GGUFReader(tmp_path / "out" / f"model-{kind}.gguf").tensors}
    assert tensors["blk.0.attn_norm.weight"].tensor_type.name == "F32"
    stored = tensors["blk.1.ffn_down.weight"]
    assert stored.tensor_type.name == kind
    expected = source.part("model.layers.1.mlp.down_proj.weight").numpy()
    step = np.abs(expected).max() / 127 if kind == "Q8_0" else 2 * most * np.abs(expected)
    assert (np.abs(gguf.dequantize(stored.data, stored.tensor_type) - expected) <= 0.51 * step + 2**-25).all()
    planned = format_named("gguf", [f"type={kind}"]).plan(source)
    assert planned == {f"model-{kind}.gguf": sum(int(one.n_bytes) for one in tensors.values())}


def test_its_metadata_and_template_are_the_models(tmp_path):
    source, _ = written(tmp_path, "llama")
    read = gguf.GGUFReader(tmp_path / "out" / "model-F32.gguf")
    value = {name: field.contents() for name, field in read.fields.items()}
    assert value["general.architecture"] == "llama"
    assert value["llama.rope.freq_base"] == 500.0
    assert value["llama.attention.head_count_kv"] == 2
    assert value["tokenizer.chat_template"] == (tmp_path / "model" / "chat_template.jinja").read_text()
    assert value["tokenizer.ggml.eos_token_id"] == source.config["eos_token_id"]
    assert value["tokenizer.ggml.add_bos_token"] is False
    ours = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert value["tokenizer.ggml.tokens"] == ours.convert_ids_to_tokens(range(len(ours)))
    assert value["tokenizer.ggml.token_type"][ours.eos_token_id] == vocabulary.CONTROL


@pytest.mark.parametrize("broken", ["turned", "rope_factors"])
def test_what_lies_otherwise_leaves_no_file(broken, tmp_path, monkeypatch):
    from serve.export.gguf import tensors

    wrong = {"turned": lambda weight, heads: weight, "rope_factors": lambda source: [1.0] * 8}
    monkeypatch.setattr(tensors, broken, wrong[broken])
    said = "q_proj.weight differs by" if broken == "turned" else "scales rotary positions otherwise"
    with pytest.raises(ExportError, match=said):
        written(tmp_path, "llama")
    assert not (tmp_path / "out").exists()


def tokenizer_json(folder, change):
    """Change a saved model's tokenizer.json."""
    path = Path(folder) / "tokenizer.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def split(pattern):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ]}  # fmt: skip


@pytest.mark.parametrize("name", list(vocabulary.PATTERNS))
def test_patterns_that_llama_cpp_names_are_named(name, tmp_path):
    pattern, ignores = vocabulary.PATTERNS[name]
    folder = models.save(tmp_path / "model")
    tokenizer_json(folder, lambda told: told.update(pre_tokenizer=split(pattern)))
    tokenizer_json(folder, lambda told: told["model"].update(ignore_merges=ignores))
    made = export(open_source(folder), format_named("gguf"), str(tmp_path / "out"))
    assert made.verdict.notes[0].endswith(f"by the name {name}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told.update(pre_tokenizer=split(r"\d|\w+")), "has no name that is known here"),
        (lambda told: told.update(pre_tokenizer=split(vocabulary.PATTERNS["llama-bpe"][0])), "no name that is known"),
        (lambda told: told["pre_tokenizer"].update(add_prefix_space=True), "no name that is known"),
        (lambda told: told["model"].update(byte_fallback=True), "BPE with byte fallback"),
        (lambda told: told.update(normalizer={"type": "Lowercase"}), r"changes text before it is cut \(Lowercase\)"),
        (lambda told: told["added_tokens"][0].update(lstrip=True), "takes blanks beside"),
        (lambda told: told["added_tokens"][0].update(id=5000), "a token 5000, but the model 320 rows"),
    ],
)
def test_tokenizers_that_llama_cpp_would_read_otherwise_are_refused(change, said, tmp_path):
    folder = models.save(tmp_path / "model")
    tokenizer_json(folder, change)
    with pytest.raises(ExportError, match=said):
        export(open_source(folder), format_named("gguf"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_held_is_refused(scoring, tmp_path):
    with pytest.raises(ExportError, match="scores sequences"):
        format_named("gguf").refuse(open_source(scoring))
    folder = models.save(tmp_path / "narrow", hidden_size=48, head_dim=12)
    with pytest.raises(ExportError, match="rows of 48; Q8_0 takes multiples of 32"):
        format_named("gguf", ["type=Q8_0"]).refuse(open_source(folder))
    (Path(folder) / "tokenizer.json").unlink()
    with pytest.raises(ExportError, match=r"made from tokenizer\.json, which the model has not"):
        format_named("gguf").refuse(open_source(folder))


def test_a_number_beyond_float16_is_refused(tmp_path):
    from safetensors.torch import save_file

    folder = models.save(tmp_path / "model")
    held = models.tensors(folder)
    held["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e6
    save_file(held, f"{folder}/model.safetensors", {"format": "pt"})
    with pytest.raises(ExportError, match="F16 holds 65504: take BF16"):
        export(open_source(folder), format_named("gguf", ["type=F16"]), str(tmp_path / "out"))


def test_without_the_library_the_extra_is_named(llama, monkeypatch):
    from serve.export.gguf import format as formats

    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    with pytest.raises(ServeSettingsError, match=r"pip install 'millrace\[gguf\]'"):
        format_named("gguf").refuse(open_source(llama))


def test_our_own_loaders_say_that_it_is_no_folder_of_theirs(llama, tmp_path):
    from serve.model import find

    export(open_source(llama), format_named("gguf"), str(tmp_path / "out"))
    with pytest.raises(ModelFolderError, match=r"no config.json"):
        find(str(tmp_path / "out"))
    with pytest.raises(ModelFolderError):
        open_source(str(tmp_path / "out"))
