"""Which of the ranks that ended is named."""

import signal

import pytest

from millrace import storage
from pretrain.run.attempt import Attempt
from pretrain.run.ranks import Failure, rank_log


@pytest.mark.parametrize(
    ("code", "named"),
    [(3, "rank 1 ended with code 3"), (-signal.SIGSEGV, "rank 1 was killed by signal 11 (SIGSEGV)"),
     (-signal.SIGABRT, "rank 0 failed: RuntimeError: Connection reset by peer")],
)  # fmt: skip
def test_a_rank_that_ends_without_a_word_was_first_unless_a_library_ended_it(tmp_path, code, named):
    """Rank 0 lost rank 1, and said so before the launcher saw the end of rank 1."""
    (tmp_path / "ranks").mkdir()
    attempt = Attempt([], str(tmp_path), 2, 0, None, debug=False)  # starts nothing: it reads ends
    failure = Failure.of(RuntimeError("Connection reset by peer"))
    storage.write_json(str(tmp_path / "ranks" / "error-000.json"), failure.as_dict())
    for rank in range(2):
        with storage.appending(rank_log(str(tmp_path), rank)):
            attempt._logs.append(0)
    attempt._ends = {0: (1, failure.time + 0.1), 1: (code, failure.time + 0.1)}
    assert attempt.loss().message.startswith(named)
