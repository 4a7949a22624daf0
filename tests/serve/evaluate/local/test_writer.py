import numpy as np
import pytest

from serve.errors import EvaluationError
from serve.evaluate.local.language import Language, cut
from serve.model import find


@pytest.fixture(scope="module")
def plain(base):
    """Return the model as a subject whose answers transformers writes."""
    return Language.load(find(base), generator="transformers")


PROMPTS = ["the quick brown", "Ada", "jumps over the lazy dog and counts", "the quick brown", "x" * 700]


def test_the_engine_writes_what_transformers_writes(language, plain):
    written = language.complete(PROMPTS, 20, ())
    assert written == plain.complete(PROMPTS, 20, ())
    assert written[0] == written[3]


def test_an_answer_ends_before_its_first_stop_string(language):
    whole = language.complete(PROMPTS, 24, ())
    pieces = [piece for one in whole for piece in one.split("\ufffd") if piece]
    for stop in (pieces[0], pieces[-1], pieces[1][-1]):
        found = language.complete(PROMPTS, 24, (stop, ""))
        assert found == [cut(one, [stop]) for one in whole]
        assert any(len(one) < len(other) for one, other in zip(found, whole))


def test_equal_prompts_get_different_answers_at_a_temperature_and_the_same_ones_for_a_seed(language):
    drawn = language.complete(["Ada"] * 4, 12, (), 1.0, seed=7)
    assert len(set(drawn)) > 1
    assert drawn == language.complete(["Ada"] * 4, 12, (), 1.0, seed=7)
    assert drawn != language.complete(["Ada"] * 4, 12, (), 1.0, seed=8)


def test_scoring_and_writing_take_turns_with_the_memory(language):
    before = language.loglikelihoods([([5, 6], [7, 8, 9])])
    language.complete(["Ada"], 2, ())
    assert language._scorer is None
    assert language.loglikelihoods([([5, 6], [7, 8, 9])]) == before
    assert language._writer is None


def test_more_tokens_than_the_model_has_positions_are_refused(language):
    with pytest.raises(EvaluationError, match=r"max_tokens is 256; .* has 256 positions"):
        language.complete(["Ada"], 256, ())


def test_token_logprobs_are_those_of_continuations(language):
    sequence = np.arange(4, 30).tolist()
    (found,) = language.token_logprobs([sequence])
    ((whole, _),) = language.loglikelihoods([(sequence[:1], sequence[1:])])
    assert len(found) == 25
    assert found.sum() == pytest.approx(whole, abs=1e-3)
    with pytest.raises(EvaluationError, match="sequence 0 has 1 tokens"):
        language.token_logprobs([[1]])
