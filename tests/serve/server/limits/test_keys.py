"""A file of API keys."""

import hashlib

import pytest

from serve.errors import ServeSettingsError
from serve.server.limits.keys import KeyLimits, load
from serve.server.refusal import Refusal


def written(tmp_path, text):
    path = tmp_path / "keys"
    path.write_text(text)
    return str(path)


def test_keys_are_told_apart_and_have_their_own_limits(tmp_path):
    digest = hashlib.sha256(b"secret-of-bob").hexdigest()
    url = written(
        tmp_path,
        f"# who key limits\nalice secret-of-alice requests_a_minute=3  # note\n\nbob sha256:{digest} concurrent=2\n",
    )
    keys = load(url, KeyLimits(tokens_a_minute=50))
    assert keys.of("Bearer secret-of-alice").name == "alice"
    assert keys.of("bearer secret-of-alice").limits == KeyLimits(3, 50, 0)
    assert keys.of("Bearer secret-of-bob").limits == KeyLimits(0, 50, 2)


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Basic secret-of-alice", "Bearer secret", "secret-of-alice", "Bearer \xff"]
)
def test_whoever_has_none_of_them_is_refused(tmp_path, given):
    keys = load(written(tmp_path, "alice secret-of-alice\n"), KeyLimits())
    with pytest.raises(Refusal) as refused:
        keys.of(given)
    assert refused.value.status == 401
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "holds no API key"),
        ("alice\n", "line 1"),
        ("alice short\n", "at least 8"),
        ("al:ice secret-of-alice\n", "name"),
        ("alice sha256:00\n", "64"),
        ("alice secret-of-alice requests_a_minut=3\n", "Did you mean requests_a_minute?"),
        ("alice secret-of-alice concurrent=-1\n", "concurrent=-1"),
        ("alice secret-of-alice\nbob secret-of-alice\n", "line 2"),
        ("alice secret-of-alice\nalice secret-of-bob\n", "line 2"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(tmp_path, text, word):
    with pytest.raises(ServeSettingsError, match="keys") as raised:
        load(written(tmp_path, text), KeyLimits())
    assert word in str(raised.value)
    assert "secret-of" not in str(raised.value)


def test_without_a_file_anyone_may_ask_under_the_default_limits():
    assert load("", KeyLimits(concurrent=2)).of("").limits.concurrent == 2
