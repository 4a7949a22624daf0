import numpy as np
import pytest
import torch

from serve.engine.request import Drawing, Wanted
from serve.engine.warming import warm
from serve.errors import EngineError, EngineStopped, QueueFull
from tests.serve.engine import models
from tests.serve.engine.models import Heard, complete, open_small

GREEDY = Drawing(temperature=0)


@pytest.fixture(scope="module")
def oracle(llama):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)


@pytest.fixture(scope="module")
def engine(llama):
    made = open_small(llama)
    yield made
    assert made.load().blocks_used == 0
    made.close()


def logprobs_of(oracle, tokens):
    with torch.inference_mode():
        return oracle(torch.as_tensor(tokens)[None]).logits[0].float().log_softmax(-1)


def test_greedy_tokens_and_logprobs_are_those_of_transformers(engine, oracle):
    asked = models.prompts(20)
    heard = complete(engine, [Wanted(prompt, 12, GREEDY, top_logprobs=3) for prompt in asked])
    for prompt, one in zip(asked, heard):
        mask = {"attention_mask": torch.ones(1, len(prompt), dtype=torch.int64)}
        made = oracle.generate(
            torch.as_tensor(prompt)[None], max_new_tokens=12, do_sample=False, eos_token_id=None, **mask
        )
        assert one.tokens == made[0, len(prompt) :].tolist()
        assert one.finish == "length"
        logprobs = logprobs_of(oracle, made[0])[len(prompt) - 1 :]
        for place, token in enumerate(token for told in one.told for token in told.tokens):
            assert token.logprob == pytest.approx(float(logprobs[place, token.id]), abs=1e-4)
            values, ids = logprobs[place].topk(3)
            assert [pair[0] for pair in token.top] == ids.tolist()
            np.testing.assert_allclose([pair[1] for pair in token.top], values.numpy(), atol=1e-4)


def test_a_prompts_own_logprobs_come_first_and_are_those_of_transformers(engine, oracle):
    prompt = np.arange(3, 43)
    for max_tokens in (0, 2):
        (one,) = complete(engine, [Wanted(prompt, max_tokens, GREEDY, prompt_logprobs=True, top_logprobs=2)])
        assert [token.id for token in one.prompt] == prompt.tolist()
        assert one.prompt[0].logprob is None
        logprobs = logprobs_of(oracle, prompt)
        for place, token in enumerate(one.prompt[1:]):
            assert token.logprob == pytest.approx(float(logprobs[place, token.id]), abs=1e-4)
            assert [pair[0] for pair in token.top] == logprobs[place].topk(2).indices.tolist()
        assert len(one.tokens) == max_tokens


def wanted_mixed(count=16, seed=3):
    random = np.random.default_rng(seed)
    shared = random.integers(0, models.VOCABULARY, 19)
    drawings = [
        GREEDY, Drawing(seed=5), Drawing(0.7, top_p=0.8, seed=6), Drawing(1.3, top_k=5, seed=7),
        Drawing(min_p=0.2, seed=8), Drawing(presence_penalty=1.0, frequency_penalty=0.5, seed=9),
        Drawing(logit_bias=((4, 5.0), (9, -50.0)), seed=10),
    ]  # fmt: skip
    made = []
    for number, prompt in enumerate(models.prompts(count, seed)):
        prompt = np.concatenate([shared, prompt])[:40] if number % 3 == 0 else prompt
        made.append(Wanted(prompt, int(random.integers(1, 25)), drawings[number % len(drawings)], stop=(7,)))
    return made


SHAPES = {
    "one at a time": {"max_batch": 1, "step_tokens": 64},
    "blocks of one token": {"block_tokens": 1, "blocks": 400},
    "large blocks": {"block_tokens": 32, "blocks": 16},
    "a token a step beside those that draw": {"max_batch": 4, "step_tokens": 5},
    "hardly any room": {"blocks": 18},
    "nothing shared": {"share_prefixes": False},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_request_gives_the_same_tokens_however_steps_are_made(shape, llama, engine):
    wanted = wanted_mixed()
    first = complete(engine, wanted)
    other = open_small(llama, **SHAPES[shape])
    order = np.random.default_rng(0).permutation(len(wanted))
    heard = complete(other, [wanted[number] for number in order])
    for number, one in zip(order, heard):
        assert one.tokens == first[number].tokens
        assert one.logprobs == first[number].logprobs  # bit by bit
    assert other.load().blocks_used == 0
    assert other.load().tokens == sum(len(one.tokens) for one in first)
    other.close()


def test_those_that_give_way_are_told_each_token_once_and_end_as_if_alone(llama, engine):
    wanted = [Wanted(prompt, 40, Drawing(seed=n)) for n, prompt in enumerate(models.prompts(6, longest=9))]
    tight = open_small(llama, blocks=14, share_prefixes=False)
    assert [one.tokens for one in complete(tight, wanted)] == [one.tokens for one in complete(engine, wanted)]
    assert tight.load().prompt_tokens > sum(len(one.prompt) for one in wanted)  # read again
    tight.close()


def test_completions_of_one_prompt_read_it_once(llama):
    engine = open_small(llama, step_tokens=64)
    prompt = np.arange(41)
    heard = complete(engine, [Wanted(prompt, 3, Drawing(seed=n)) for n in range(8)])
    assert engine.load().prompt_tokens == 41 + 7  # of the others the last token only
    assert len({tuple(one.tokens) for one in heard}) > 1
    engine.close()


def test_a_stop_token_is_told_and_ends(engine):
    (free,) = complete(engine, [Wanted(np.array([3, 4]), 10, GREEDY)])
    (one,) = complete(engine, [Wanted(np.array([3, 4]), 10, GREEDY, stop=(free.tokens[4],))])
    assert one.tokens == free.tokens[: free.tokens.index(free.tokens[4]) + 1]
    assert one.finish == "stop"


def test_a_full_queue_refuses_and_takes_again_later(llama):
    engine = open_small(llama, max_batch=1, max_waiting=2)
    heard, taken = [Heard() for _ in range(40)], []
    with pytest.raises(QueueFull, match="2 requests wait"):  # noqa: PT012
        for ear in heard:
            engine.submit(Wanted(np.array([1]), 90), ear)
            taken.append(ear)
    heard = taken
    for ear in heard:
        ear.wait()
    assert complete(engine, [Wanted(np.array([1]), 2)])[0].finish == "length"
    engine.close()


def test_cancelled_ones_are_told_so_and_leave_no_blocks(llama, engine):
    busy = open_small(llama, max_batch=2)
    heard = [Heard() for _ in range(6)]
    numbers = [busy.submit(Wanted(np.array([5]), 90, Drawing(seed=n)), ear) for n, ear in enumerate(heard)]
    for number in (numbers[0], numbers[5], numbers[5], 10_000):
        busy.cancel(number)
    assert [heard[n].wait().finish for n in (0, 5)] == ["cancelled", "cancelled"]
    alone = complete(engine, [Wanted(np.array([5]), 90, Drawing(seed=n)) for n in (1, 2, 3, 4)])
    assert [ear.wait().tokens for ear in heard[1:5]] == [one.tokens for one in alone]
    busy.cancel(numbers[1])  # has ended
    assert busy.load().blocks_used == 0
    busy.close()


def test_closing_tells_everyone(llama):
    engine = open_small(llama, max_batch=1)
    heard = [Heard() for _ in range(3)]
    for ear in heard:
        engine.submit(Wanted(np.array([5]), 90), ear)
    engine.close()
    assert [ear.wait().finish for ear in heard] == ["cancelled"] * 3
    with pytest.raises(EngineError, match="closed"):
        engine.submit(Wanted(np.array([5]), 9), Heard())


def test_logits_that_are_no_numbers_end_their_request_alone(tmp_path):
    from transformers import AutoModelForCausalLM

    folder = models.make(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.embed_tokens.weight[13] = float("nan")
    model.save_pretrained(folder)
    engine = open_small(folder)
    never = Drawing(logit_bias=((13, -99.0),))
    asked = [Wanted(np.array([1, 2]), 9, never), Wanted(np.array([1, 13]), 9),
             Wanted(np.array([13, 2]), 0, prompt_logprobs=True)]  # fmt: skip
    good, bad, echo = complete(engine, asked)
    assert (good.finish, len(good.tokens)) == ("length", 9)
    assert (bad.finish, bad.error) == ("error", "the model's logits are no numbers at token 0 of the completion")
    assert (echo.finish, echo.prompt) == ("error", [])
    # what it left in its blocks reaches nobody
    later = complete(engine, [Wanted(np.array([n]), 60, never) for n in range(8)])
    assert {one.finish for one in later} == {"length"}
    engine.close()


def test_a_step_that_fails_of_anything_ends_those_in_it_and_three_in_a_row_end_the_engine(llama, caplog, monkeypatch):
    engine, told = open_small(llama), []
    engine.watch(told.append)
    (one,) = complete(engine, [Wanted(np.array([1]), 3, GREEDY)])
    hidden = engine._decoder.hidden

    def broken(step, cache):
        raise IndexError("of a device")

    for _ in range(2):
        monkeypatch.setattr(engine._decoder, "hidden", broken)
        (failed,) = complete(engine, [Wanted(np.array([1]), 3)])
        assert (failed.finish, failed.error) == ("error", "the step failed: IndexError: of a device")
        monkeypatch.setattr(engine._decoder, "hidden", hidden)
        assert complete(engine, [Wanted(np.array([1]), 3, GREEDY)])[0].tokens == one.tokens
    assert told == []
    monkeypatch.setattr(engine._decoder, "hidden", broken)
    errors = [complete(engine, [Wanted(np.array([1]), 3)])[0].error for _ in range(3)]
    engine._thread.join(20)
    assert errors[2] == "the engine stopped by an error of its own: IndexError: of a device"
    assert told == [errors[2]]
    late = []
    engine.watch(late.append)
    assert late == told
    with pytest.raises(EngineStopped, match="IndexError"):
        engine.submit(Wanted(np.array([1]), 3), Heard())
    engine.close()


def test_an_error_of_planning_ends_the_engine_and_everyone_is_told(llama, caplog, monkeypatch):
    engine, told = open_small(llama), []
    engine.watch(told.append)
    monkeypatch.setattr(engine._scheduler, "plan", lambda: {}["no such block"])
    ear = Heard()
    engine.submit(Wanted(np.array([1]), 3), ear)
    assert ear.wait().finish == "cancelled"
    engine._thread.join(20)
    assert told == ["the engine stopped by an error of its own: KeyError: 'no such block'"]


def test_the_first_steps_are_made_before_anyone_asks_and_are_not_counted(llama, monkeypatch):
    from serve.engine import opening

    before = []
    monkeypatch.setattr(
        opening, "warm", lambda decoder, cache, *more: before.append((warm(decoder, cache, *more), cache))
    )
    engine = open_small(llama)
    assert len(before) == 1
    assert before[0][1].keys[0].abs().sum() > 0  # the model ran
    assert (engine.load().prompt_tokens, engine.load().tokens, engine.load().blocks_used) == (0, 0, 0)
    engine.close()
    tight = open_small(llama, blocks=1, block_tokens=1)  # room for nothing
    tight.close()


def test_a_tell_that_raises_ends_its_request_alone(engine, caplog):
    def broken(told):
        raise ValueError("nobody listens")

    engine.submit(Wanted(np.array([1]), 50), broken)
    (one,) = complete(engine, [Wanted(np.array([2]), 30)])
    assert one.finish == "length"
    assert "nobody listens" in caplog.text


REFUSED = {
    "no token": (Wanted(np.array([], np.int64), 3), "at least one"),
    "a table": (Wanted(np.zeros((2, 2), np.int64), 3), r"of shape \(2, 2\)"),
    "no whole numbers": (Wanted(np.array([1.5]), 3), "float64"),
    "a token beyond": (Wanted(np.array([61]), 3), "token 61; the model's vocabulary is 61"),
    "a negative token": (Wanted(np.array([-1]), 3), "token -1"),
    "too long": (Wanted(np.zeros(90, np.int64), 7), "90 tokens and max_tokens 7 go past the model's 96 positions"),
    "negative max_tokens": (Wanted(np.array([1]), -1), "max_tokens is -1"),
    "an unknown adapter": (Wanted(np.array([1]), 1, adapter="x"), "no adapter 'x'; loaded: none"),
    "a bias beyond": (Wanted(np.array([1]), 1, Drawing(logit_bias=((99, 1.0),))), "logit_bias names token 99"),
    "a bias that is none": (Wanted(np.array([1]), 1, Drawing(logit_bias=((9, float("nan")),))), "logit_bias is nan"),
    "temperature": (Wanted(np.array([1]), 1, Drawing(-0.1)), "temperature is -0.1"),
    "endless temperature": (Wanted(np.array([1]), 1, Drawing(float("inf"))), "temperature is inf"),
    "top_p": (Wanted(np.array([1]), 1, Drawing(top_p=0.0)), "top_p is 0.0"),
    "top_k": (Wanted(np.array([1]), 1, Drawing(top_k=-1)), "top_k is -1"),
    "min_p": (Wanted(np.array([1]), 1, Drawing(min_p=1.5)), "min_p is 1.5"),
    "top_logprobs": (Wanted(np.array([1]), 1, top_logprobs=62), "top_logprobs is 62"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_once(case, engine):
    wanted, message = REFUSED[case]
    with pytest.raises(EngineError, match=message):
        engine.submit(wanted, Heard())


def test_past_the_whole_cache_is_refused(llama):
    engine = open_small(llama, blocks=5)
    with pytest.raises(EngineError, match="whole cache, which holds 20 tokens"):
        engine.submit(Wanted(np.zeros(12, np.int64), 9), Heard())
    engine.close()
