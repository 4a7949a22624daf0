import json
import math

import numpy as np
import pytest

from align.rewards.code import refusal
from millrace.errors import ConfigError
from serve.errors import EvaluationError, ServeSettingsError
from serve.evaluate.tasks import TASKS, make
from serve.evaluate.tasks.perplexity import windows
from serve.evaluate.tasks.programs import pass_at
from tests.serve.evaluate import made


class Says:
    """A subject that answers with given texts."""

    name, kind, positions, prefix = "says", "language", 4096, 0

    def __init__(self, *texts):
        self.texts, self.asked = list(texts), []

    def encode(self, texts, special=True):
        return [list(one.encode()) for one in texts]

    def complete(self, prompts, *rest):
        self.asked = list(prompts)
        return self.texts


def write(folder, *records):
    path = folder / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    return str(path)


@pytest.mark.parametrize("name", sorted(set(TASKS) & set(made.MAKERS)))
def test_a_task_read_twice_is_the_same(tmp_path, name):
    path = made.write(tmp_path, name)
    assert make(name, {"path": path}).read() == make(name, {"path": path}).read()
    assert len(make(name, {"path": path, "limit": 7}).read().items) == 7


def test_windows_predict_every_token_once_and_read_no_more_than_fits():
    for length in range(1, 40):
        for positions in (1, 3, 7, 50):
            for context in range(1, positions + 1):
                tokens = list(range(1, length + 1))
                found = list(windows(tokens, 0, positions, context))
                assert [one for _, rest in found for one in rest] == tokens
                assert all(len(before) + len(rest) <= positions + 1 for before, rest in found)
                assert all(len(before) >= context for before, _ in found[1:])
                assert all(before[-1] == rest[0] - 1 for before, rest in found)


def test_perplexities_are_one_number_told_four_ways(tmp_path, language):
    path = write(tmp_path, {"text": "the quick brown fox"}, {"text": "São Paulo"})
    result = make("perplexity", {"path": path}).run(language, make("perplexity", {"path": path}).read())
    bits, counts = result.measures["bits_per_byte"].value, result.counts
    nats = bits * math.log(2) * counts["bytes"]
    assert (counts["bytes"], counts["words"]) == (19 + 10, 6)
    for name, size in (("byte", "bytes"), ("word", "words"), ("token", "tokens")):
        assert result.measures[f"{name}_perplexity"].value == pytest.approx(math.exp(nats / counts[size]))
    mean = np.average(result.values["bits_per_byte"], weights=result.weights["bits_per_byte"])
    assert mean == pytest.approx(bits)


def test_mmlu_reads_its_own_files(tmp_path):
    (tmp_path / "high_school_biology_test.csv").write_text('"Which, if any?",a,b,c,d,C\n')
    (tmp_path / "high_school_biology_dev.csv").write_text("Example?,e,f,g,h,A\nOther?,e,f,g,h,B\n")
    given = {"path": str(tmp_path / "*_test.csv"), "examples": str(tmp_path / "*_dev.csv"), "shots": 1}
    (asked,) = make("mmlu", given).read().items
    assert asked.pairs()[2] == (
        "The following are multiple choice questions (with answers) about high school biology.\n\n"
        "Example?\nA. e\nB. f\nC. g\nD. h\nAnswer: A\n\nWhich, if any?\nA. a\nB. b\nC. c\nD. d\nAnswer:", " C",
    )  # fmt: skip
    assert (asked.question.gold, asked.question.group) == (2, "high_school_biology")


def test_race_is_read_as_it_is_published(tmp_path):
    record = {
        "article": "A.",
        "questions": ["One  _  .", "Two?"],
        "options": [["a", "b"], ["c", "d"]],
        "answers": ["B", "A"],
    }
    (asked,) = make("race", {"path": write(tmp_path, record)}).read().items
    assert asked.pairs()[0] == ("Article: A.\n\nOne b\nTwo?", " c")


@pytest.mark.parametrize(("label", "gold"), [("B", 1), ("b", 0), (1, 1), ("1", 1), ("c", 1)])
def test_a_generic_label_is_a_number_a_letter_or_the_answer(tmp_path, label, gold):
    record = {"question": "q", "choices": ["b", "c"], "label": label}
    (asked,) = make("multiple_choice", {"path": write(tmp_path, record), "prompt": "Q: {question}"}).read().items
    assert (asked.question.gold, asked.question.contexts) == (gold, ("Q: q",))


def test_gsm8k_takes_numbers_as_the_harness_does(tmp_path):
    record = {"question": "q", "answer": "so\n#### 1,234"}
    task = make("gsm8k", {"path": write(tmp_path, *[record] * 5)})
    texts = ["#### 1234", "It is $1,234.", "#### 1234.0", "#### 5\n#### 1234", "none"]
    values = task.run(Says(*texts), task.read()).values
    assert values["exact_match"].tolist() == [1, 0, 0, 0, 0]
    assert values["exact_match_flexible"].tolist() == [1, 1, 0, 1, 0]


def test_math_compares_what_answers_mean(tmp_path):
    record = {"problem": "q", "solution": "so \\boxed{\\frac{1}{2}}"}
    task = make("math500", {"path": write(tmp_path, *[record] * 3)})
    assert task.run(Says("$0.5$", "\\boxed{2/4}", "the answer is 2"), task.read()).values["exact_match"].tolist() == [
        1,
        1,
        0,
    ]


@pytest.mark.skipif(bool(refusal()), reason="programs cannot be locked down here")
def test_programs_count_where_they_pass_all_tests(tmp_path):
    record = {
        "prompt": "def double(x):\n", "entry_point": "double",
        "test": "def check(f):\n    assert f(2) == 4 and f(3) == 6\n",
    }  # fmt: skip
    task = make("humaneval", {"path": write(tmp_path, record), "samples": 4, "k": [1, 2], "temperature": 0.8})
    texts = ["    return 2 * x\n", "    return x + 2\n", "    import os; os._exit(0)\n", "    return x * 2"]
    measures = task.run(Says(*texts), task.read()).measures
    assert measures["pass@1"].value == pytest.approx(0.5)
    assert measures["pass@2"].value == pytest.approx(1 - 1 / 6)


def test_pass_at_k_is_the_share_of_draws_with_a_right_one():
    for samples in (1, 4, 7):
        for right in range(samples + 1):
            for k in range(1, samples + 1):
                expected = 1 - math.comb(samples - right, k) / math.comb(samples, k)
                assert pass_at(k, samples, right) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("helaswag", {}, "no task is called helaswag. Did you mean hellaswag?"),
        ("hellaswag", {"shot": 1}, "HellaSwag has no field shot. Did you mean shots?"),
        ("hellaswag", {"shots": 2}, "no examples are named"),
        ("hellaswag", {"limit": -1}, "shots and limit are 0 or more"),
        ("humaneval", {"samples": 3}, "several samples at temperature 0 are one and the same"),
        ("humaneval", {"k": [2]}, "needs samples of at least 2"),
        ("perplexity", {"context": 0}, "context is 1 or more"),
        ("multiple_choice", {"prompt": "{question"}, "multiple_choice.prompt"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(name, settings, said):
    with pytest.raises(ConfigError) as raised:
        make(name, settings)
    assert said in str(raised.value)


def test_too_few_examples_are_refused(tmp_path):
    path = made.write(tmp_path, "piqa", 3)
    with pytest.raises(EvaluationError, match="shots is 3, but examples hold 3; 4 are needed"):
        make("piqa", {"path": path, "examples": path, "shots": 3}).read()


def test_an_answer_past_the_positions_is_named_and_a_long_question_counted(tmp_path, language):
    record = {"goal": "x" * 600, "sol1": "a b", "sol2": "c", "label": 0}
    task = make("piqa", {"path": write(tmp_path, record)})
    assert task.run(language, task.read()).counts == {"truncated": 1}
    task = make("piqa", {"path": write(tmp_path, {**record, "sol1": "y " * 600})})
    with pytest.raises(EvaluationError, match=r"a\.jsonl:1: an answer has .* tokens; .* has 256 positions"):
        task.run(language, task.read())


def test_settings_are_refused_before_files_are_read():
    with pytest.raises(ServeSettingsError):
        make("piqa", {"shots": -1})


def test_labels_are_counted_from_no_less_than_0():
    with pytest.raises(ServeSettingsError, match="first_label is -5; labels are counted from 0 or more"):
        make("multiple_choice", {"path": "x", "first_label": -5})
