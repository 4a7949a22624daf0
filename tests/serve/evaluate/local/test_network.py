import numpy as np
import pytest
import torch

from serve.evaluate.local.language import Language
from serve.model import find
from tests.serve.evaluate import made


def family(rng, groups=4):
    """Sequences as questions with answers are: some begin alike, some are equal, one is the begin of another."""
    shared, found = rng.integers(0, 250, 60), []
    for _ in range(groups):
        question = np.concatenate([shared[: rng.integers(0, 60)], rng.integers(0, 250, rng.integers(2, 50))])
        found += [np.concatenate([question, rng.integers(0, 250, rng.integers(1, 20))]) for _ in range(4)]
    return [*found, *found[:3], found[5][:-1], rng.integers(0, 250, 200)]


def alone(model, sequence, wanted):
    with torch.no_grad():
        logits = model(torch.tensor(sequence[None, :-1])).logits[0].log_softmax(-1)
    after = torch.tensor(sequence[1:])
    return (
        logits.gather(-1, after[:, None])[:, 0].numpy()[-wanted:],
        (logits.argmax(-1) == after).numpy()[-wanted:],
    )


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
def test_a_sequence_among_others_is_scored_as_it_is_alone(tmp_path, kind):
    subject = Language.load(find(made.model(tmp_path, kind)))
    scorer = subject.scorer()
    rng = np.random.default_rng(0)
    sequences = family(rng)
    wanted = [int(rng.integers(1, len(one))) for one in sequences]
    expected = [alone(subject.scorer().model, one, count) for one, count in zip(sequences, wanted)]
    assert scorer.shares
    for scorer.shares, scorer.most_tokens in ((True, 64), (True, 4096), (False, 512)):  # many passes, one, several
        for found, (logprobs, best) in zip(scorer.score(sequences, wanted), expected):
            np.testing.assert_allclose(found[0], logprobs, atol=2e-5)
            assert found[1].tolist() == best.tolist()


def test_a_model_with_a_window_shares_nothing(tmp_path):
    subject = Language.load(
        find(made.model(tmp_path, "qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=0))
    )
    assert not subject.scorer().shares
    sequence = np.arange(4, 40)
    expected, _ = alone(subject.scorer().model, sequence, 30)
    np.testing.assert_allclose(subject.scorer().score([sequence], [30])[0][0], expected, atol=1e-5)


def test_a_wide_vocabulary_is_scored_a_few_tokens_at_a_time(language, monkeypatch):
    rng = np.random.default_rng(1)
    sequences = family(rng)
    wanted = [len(one) - 1 for one in sequences]
    whole = language.scorer().score(sequences, wanted)
    monkeypatch.setattr(language.scorer(), "most_logits", 50)
    for few, all_ in zip(language.scorer().score(sequences, wanted), whole):
        np.testing.assert_allclose(few[0], all_[0], atol=1e-5)
