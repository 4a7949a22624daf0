from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrain.config import Config
from pretrain.errors import ParallelError, SettingsError
from pretrain.load import from_values
from pretrain.machine import GIB, Machine
from pretrain.plan import candidates, completed, plan, resolve
from pretrain.planned import USABLE
from pretrain.products import refusal

LLAMA = {"layers": 32, "hidden_size": 4096, "heads": 32, "kv_heads": 8, "ffn_size": 14336}


def config(vocabulary: int = 128256, length: int = 8192, **sections) -> Config:
    training = {"global_batch": 512, "precision": "bf16", **sections.pop("training", {})}
    return completed(from_values({"model": LLAMA, "training": training, **sections}), vocabulary, length)


def refused(**sections) -> str:
    with pytest.raises(ParallelError) as error:
        plan(config(**sections), Machine.gpus(64, 80))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("parallel", "words"),
    [
        ({"ranks": 6, "tensor": 2, "pipeline": 2}, "tensor 2 x pipeline 2 x context 1 = 4 must divide ranks 6"),
        ({"ranks": 100}, "parallel.ranks 100 is more than there are GPUs"),
        ({"ranks": 2, "tensor": 4}, "tensor 4 x pipeline 1 x context 1 = 4 must divide ranks 2"),
        ({"tensor": 64}, "parallel.tensor 64 must divide model.heads 32"),
        ({"tensor": 16}, "parallel.tensor 16 must divide model.kv_heads 8"),
        ({"pipeline": 64}, "pipeline 64 x virtual_pipeline 1 = 64 must divide model.layers 32"),
        ({"pipeline": 8, "virtual_pipeline": 8}, "pipeline 8 x virtual_pipeline 8 = 64 must divide model.layers 32"),
        ({"pipeline": 1, "virtual_pipeline": 2}, "virtual_pipeline 2 needs parallel.pipeline of more than 1"),
        ({"tensor": 1, "sequence": True}, "parallel.sequence needs parallel.tensor of more than 1"),
        ({"expert": 2}, "parallel.expert 2 needs a mixture of experts"),
    ],
)
def test_impossible_sizes_are_refused_with_their_product(parallel, words):
    assert words in refused(parallel=parallel)


def test_impossible_batches_lengths_and_experts_are_refused_with_their_product():
    ranks = {"ranks": 64, "tensor": 1, "pipeline": 1, "context": 1}
    assert "micro_batch 3 x data 64 = 192 must divide training.global_batch 512" in refused(
        training={"micro_batch": 3}, parallel=ranks
    )
    assert "2 x context 8 = 16 must divide data.seq_length 8184" in refused(parallel={"context": 8}, length=8184)
    assert "tensor 8 x context 1 = 8 must divide data.seq_length 8190 under sequence" in refused(
        parallel={"tensor": 8, "context": 1}, length=8190
    )
    assert "the 9 micro-batches of a step" in refused(
        training={"global_batch": 9}, parallel={"ranks": 4, "pipeline": 4, "virtual_pipeline": 2}
    )
    experts = {"model": {**LLAMA, "experts": 8}}
    assert "parallel.expert 16 must divide model.experts 8" in refused(**experts, parallel={"expert": 16})
    assert "pipeline 4 x expert 8 = 32 must divide ranks 16" in refused(
        **experts, parallel={"ranks": 16, "pipeline": 4, "expert": 8}
    )
    assert "with a mixture of experts needs parallel.sequence true" in refused(
        **experts, parallel={"tensor": 2, "sequence": False}
    )


def test_a_padded_vocabulary_is_cut_evenly():
    model = {"layers": 2, "hidden_size": 96, "heads": 6, "ffn_size": 96, "vocab_multiple": 4}
    with pytest.raises(ParallelError, match=r"tensor 3 must divide the padded vocabulary 100 \(model.vocab_multiple 4"):
        plan(config(99, 96, model=model, parallel={"ranks": 3, "tensor": 3}), Machine.gpus(3, 80))


def test_a_model_that_fits_is_not_cut():
    small = {"layers": 12, "hidden_size": 768, "heads": 12, "ffn_size": 2048}
    sizes = plan(config(model=small, length=2048), Machine.gpus(64, 80)).sizes
    assert (sizes.model_parallel, sizes.data, sizes.distributed_optimizer) == (1, 64, True)


def test_a_larger_model_is_cut_within_a_node_first_then_between_nodes():
    large = {**LLAMA, "layers": 80, "hidden_size": 8192, "heads": 64, "ffn_size": 28672}
    sizes = plan(config(model=large), Machine.gpus(512, 80)).sizes
    assert sizes.tensor == 8
    assert sizes.pipeline > 1
    assert sizes.sequence


def test_a_long_sequence_is_cut_where_nothing_else_helps():
    small = {"layers": 2, "hidden_size": 1024, "heads": 2, "ffn_size": 4096}
    sizes = plan(config(model=small, length=2**20, vocabulary=1000), Machine.gpus(64, 100, 1)).sizes
    assert (sizes.tensor, sizes.pipeline, sizes.context) == (1, 1, 2)


def test_experts_are_spread_before_layers_are_cut():
    sparse = {"layers": 8, "hidden_size": 2048, "heads": 16, "ffn_size": 7168, "experts": 8}
    sizes = plan(config(model=sparse, length=2048, vocabulary=32000), Machine.gpus(8, 24)).sizes
    assert sizes.expert > 1
    assert sizes.tensor == 1


def test_what_does_not_fit_says_how_much_is_missing_and_what_would_help():
    with pytest.raises(ParallelError) as error:
        plan(config(training={"recompute": "none", "micro_batch": 16}, length=32768), Machine.gpus(8, 80))
    assert "GiB a rank, of 72.0 usable (90% of 80.0)" in str(error.value)
    assert "the model does not fit on 8 GPUs of 80.0 GiB, 8 a node" in str(error.value)
    with pytest.raises(ParallelError, match=r"with training\.recompute full it fits"):
        plan(config(), Machine.gpus(8, 24))


def test_gpus_that_cannot_share_the_batch_stay_idle():
    small = {"layers": 7, "hidden_size": 448, "heads": 7, "ffn_size": 448}
    made = plan(config(model=small, length=100, training={"global_batch": 32}), Machine.gpus(6, 80))
    assert made.sizes.ranks == 4
    assert "2 GPUs stay idle" in made.describe()


def test_on_cpu_there_is_one_rank_unless_more_are_asked_for():
    machine = Machine(2, 8 * GIB, 2, "cpu")
    small = {"layers": 2, "hidden_size": 64, "heads": 4, "ffn_size": 128}
    assert plan(config(500, 64, model=small), machine).sizes.ranks == 1
    assert plan(config(500, 64, model=small, parallel={"ranks": 4, "pipeline": 2}), machine).sizes.data == 2
    with pytest.raises(ParallelError, match=r"does not fit on 2 CPU cores with 8\.0 GiB"):
        plan(config(), machine)


def test_nothing_is_left_open():
    made = resolve(from_values({"model": LLAMA, "training": {"global_batch": 512}}), Machine.gpus(64, 80), 1000, 2048)
    assert None not in dataclasses.asdict(made.parallel).values()
    model = dataclasses.asdict(made.model)
    assert {name for name, value in model.items() if value is None} == {"rope_scaling", "experts"}
    assert (made.model.vocab_size, made.model.positions, made.data.seq_length) == (1000, 2048, 2048)
    assert made.optimizer.decay_steps == made.training.steps
    assert resolve(made, Machine.gpus(64, 80), 1000, 2048) == made
    assert from_values(made.as_dict()) == made


def test_wsd_decays_over_the_last_tenth():
    given = from_values({"model": LLAMA, "optimizer": {"schedule": "wsd"}, "training": {"steps": 500}})
    assert completed(given, 1000, 2048).optimizer.decay_steps == 50


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({}, "there is no model section"),
        ({"model": LLAMA, "data": {"seq_length": 1000}}, "data.seq_length 1000 must divide the shards' rows of 2048"),
        ({"model": {**LLAMA, "vocab_size": 999}}, "model.vocab_size 999 is less than the shards' vocabulary 1000"),
        ({"model": {**LLAMA, "positions": 1024}}, "model.positions 1024 is less than data.seq_length 2048"),
        (
            {"model": LLAMA, "optimizer": {"warmup_steps": 500}, "training": {"steps": 500}},
            "optimizer.warmup_steps 500 must be fewer than decay_steps 500",
        ),
        (
            {"model": LLAMA, "optimizer": {"schedule": "wsd", "warmup_steps": 451}, "training": {"steps": 500}},
            "optimizer.warmup_steps 451 and decay_steps 50, the last ones of wsd, are more than training.steps 500",
        ),
    ],
)
def test_what_does_not_fit_the_shards_is_refused(sections, words):
    with pytest.raises(SettingsError, match=words):
        completed(from_values(sections), 1000, 2048)


def test_a_plan_in_words_adds_up():
    made = plan(config(), Machine.gpus(64, 80))
    text = made.describe()
    assert "8,030,261,248 parameters" in text
    assert "data 64: " in text.splitlines()[0]  # what was refused first
    assert "= tensor 2 x pipeline 1 x context 1 x data 32; sequence parallelism; distributed optimizer" in text
    assert "512 rows = 16 micro-batches x 1 x data 32: 4,194,304 tokens" in text
    (line,) = [line for line in text.splitlines() if line.startswith("memory")]
    total, parts = line.split(" GiB a rank = ")
    shown = [float(part.split()[-1]) for part in parts.split(";")[0].split(" + ")]
    assert float(total.split()[-1]) == pytest.approx(sum(shown), abs=0.03)


def test_the_bubble_of_a_pipeline():
    made = plan(
        config(training={"global_batch": 64}, parallel={"ranks": 8, "tensor": 2, "pipeline": 4, "virtual_pipeline": 2}),
        Machine.gpus(8, 80),
    )
    assert made.bubble == 3 / (64 * 2)


@pytest.mark.parametrize(
    ("devices", "per_node", "words"), [(0, 8, "devices 0"), (12, 8, "12 GPUs are no whole number of nodes of 8")]
)
def test_impossible_machines_are_refused(devices, per_node, words):
    with pytest.raises(ParallelError, match=words):
        Machine(devices, GIB, per_node)


def test_this_machine_is_looked_at():
    pytest.importorskip("torch")
    here = Machine.here()
    assert here.devices >= 1
    assert here.memory > GIB // 4
    assert here.memory_of_rank(2) == (here.memory if here.kind == "gpu" else here.memory // 2)


heads = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16, 32])


@st.composite
def runs(draw) -> tuple[Config, Machine]:
    head_count = draw(heads)
    model = {
        "layers": draw(st.sampled_from([1, 2, 3, 8, 12, 32])), "heads": head_count,
        "hidden_size": head_count * draw(st.sampled_from([32, 64, 128])),
        "kv_heads": draw(st.sampled_from([n for n in range(1, head_count + 1) if head_count % n == 0])),
        "ffn_size": draw(st.sampled_from([96, 512, 4096])), "experts": draw(st.sampled_from([None, None, 2, 8])),
        "tied_embeddings": draw(st.booleans()),
    }  # fmt: skip
    training = {
        "global_batch": draw(st.integers(1, 64)), "micro_batch": draw(st.sampled_from([1, 2, 4])),
        "precision": draw(st.sampled_from(["fp32", "bf16"])),
        "recompute": draw(st.sampled_from(["none", "selective", "full"])),
    }  # fmt: skip
    parallel = {name: draw(st.sampled_from([None, None, 1, 2])) for name in ("tensor", "pipeline", "context")}
    parallel["virtual_pipeline"] = draw(st.sampled_from([1, 1, 1, 2]))
    node = draw(st.sampled_from([1, 2, 3, 6, 8]))
    machine = Machine.gpus(node * draw(st.integers(1, 4)), draw(st.sampled_from([0.05, 0.5, 4, 80])), node)
    length = draw(st.sampled_from([64, 96, 2048, 8192]))
    return config(
        draw(st.sampled_from([100, 32000])), length, model=model, training=training, parallel=parallel
    ), machine


def feasible(config: Config, machine: Machine):
    try:
        return plan(config, machine)
    except ParallelError:
        return None


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_a_plan_keeps_every_product_and_the_memory(run):
    given_config, machine = run
    made = feasible(given_config, machine)
    if made is None:
        return
    s, model, training = made.sizes, given_config.model, given_config.training
    assert s.tensor * s.pipeline * s.context * s.data == s.ranks <= machine.devices
    assert [n % s.tensor for n in (model.heads, model.key_heads)] == [0, 0]
    assert model.layers % (s.pipeline * s.virtual_pipeline) == 0
    assert made.micro_batches * training.micro_batch * s.data == training.global_batch
    assert (model.experts or 1) % s.expert == 0
    assert s.ranks % (s.pipeline * s.expert) == 0
    assert s.context == 1 or given_config.data.seq_length % (2 * s.context) == 0
    assert s.sequence == (s.tensor > 1)
    assert s.virtual_pipeline == 1 or made.micro_batches % s.pipeline == 0 < s.pipeline - 1
    assert made.memory.total <= USABLE * machine.memory
    for name in ("tensor", "pipeline", "context"):
        assert getattr(given_config.parallel, name) in (None, getattr(s, name))
    assert made.describe()
    assert plan(made.config, machine).sizes == s  # a finished configuration is planned as it was


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_more_gpus_and_more_memory_never_make_a_run_impossible(run):
    given_config, machine = run
    if feasible(given_config, machine) is None:
        return
    more = dataclasses.replace(machine, devices=machine.devices + machine.per_node)
    assert feasible(given_config, more) is not None
    assert feasible(given_config, dataclasses.replace(machine, memory=machine.memory * 2)) is not None


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(runs())
def test_no_smaller_copy_of_the_model_would_have_fitted(run):
    given_config, machine = run
    made = feasible(given_config, machine)
    if made is None:
        return
    for sizes in candidates(given_config, machine, made.sizes.ranks):
        if sizes.model_parallel < made.sizes.model_parallel:
            parallel = dataclasses.replace(given_config.parallel, **dataclasses.asdict(sizes))
            assert feasible(dataclasses.replace(given_config, parallel=parallel), machine) is None


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 512), st.integers(1, 64))
def test_data_parallel_ranks_are_all_ranks_where_nothing_is_cut(ranks, per_rank):
    small = {"layers": 1, "hidden_size": 8, "heads": 1, "ffn_size": 8}
    made = config(100, 8, model=small, training={"global_batch": ranks * per_rank}, parallel={"ranks": ranks})
    (first, *_) = candidates(made, Machine(ranks, GIB, ranks), ranks)
    assert first.data == ranks
    assert refusal(made, first) is None
    assert math.prod((first.tensor, first.pipeline, first.context)) == 1
