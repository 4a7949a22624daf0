"""Scores equal lm-evaluation-harness 0.4.13's: its own answers, frozen, and, where it is installed, anew.

`python -m tests.serve.evaluate.test_against_harness PYTHON` freezes what the harness in that interpreter says.
"""

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from serve.evaluate.tasks import make
from tests.serve.evaluate import made
from tests.serve.evaluate.cases import CASES, case

GOLDEN = Path(__file__).parents[2] / "golden" / "lm_eval_0_4_13.json"
PYTHON = os.environ.get("MILLRACE_HARNESS") or (sys.executable if find_spec("lm_eval") else "")
NAMES = {"exact_match": "exact_match,strict-match", "exact_match_flexible": "exact_match,flexible-extract"}
WITHOUT_ERROR = ("bits_per_byte", "byte_perplexity", "word_perplexity")


class Watched:
    """A subject, and what it said."""

    def __init__(self, subject):
        self.subject, self.scores, self.texts = subject, [], []

    def __getattr__(self, name):
        return getattr(self.subject, name)

    def loglikelihoods(self, pairs):
        self.scores = self.subject.loglikelihoods(pairs)
        return self.scores

    def complete(self, *given):
        self.texts = self.subject.complete(*given)
        return self.texts


def ask_harness(python, model, folder):
    """Return what the harness says of all cases."""
    asked, answer = folder / "asked.json", folder / "answer.json"
    asked.write_text(json.dumps({"model": model, "tasks": [case(folder, *one)[0] for one in CASES]}))
    script = Path(__file__).parents[3] / "benchmarks" / "peer_evaluate.py"
    done = subprocess.run([python, script, asked, answer], capture_output=True, text=True)
    assert not done.returncode, done.stderr[-2000:]
    return json.loads(answer.read_text())


def compare(said, subject, folder, name, way):
    """Hold our result of a case against the harness'."""
    watched = Watched(subject)
    task = make(name, case(folder, name, way)[1])
    result = task.run(watched, task.read())
    for measure, found in result.measures.items():
        if measure == "token_perplexity" or "/" in measure:
            continue
        theirs = NAMES.get(measure, f"{measure},none")
        if measure in WITHOUT_ERROR:
            assert found.value == pytest.approx(said["measures"][theirs], rel=1e-5)
            continue
        assert found.value == said["measures"][theirs]
        assert found.stderr == said["measures"][theirs.replace(",", "_stderr,")]
    if name == "gsm8k":
        assert watched.texts == [one[0][0] for one in said["items"]]
    elif name != "perplexity":
        flat = [float(one[0][0]) for item in said["items"] for one in item]
        np.testing.assert_allclose([score for score, _ in watched.scores], flat, atol=1e-4)
        greedy = [one[0][1] in (True, "True") for item in said["items"] for one in item]
        assert [best for _, best in watched.scores] == greedy


@pytest.mark.parametrize(("name", "way"), CASES)
def test_scores_are_the_frozen_ones_of_the_harness(tmp_path, language, name, way):
    said = json.loads(GOLDEN.read_text())["tasks"][name + way]
    compare(said, language, tmp_path, name, way)


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="lm_eval is not installed; MILLRACE_HARNESS can name an interpreter that has it")
def test_scores_are_those_of_the_harness_run_now(tmp_path, base, language):
    said = ask_harness(PYTHON, base, tmp_path)
    assert said["lm_eval"] == "0.4.13"
    for name, way in CASES:
        compare(said["tasks"][name + way], language, tmp_path, name, way)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as passing:
        answer = ask_harness(sys.argv[1], made.model(Path(passing) / "model", hidden=64), Path(passing))
    GOLDEN.write_text(json.dumps(answer, separators=(",", ":")) + "\n")
