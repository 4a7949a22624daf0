"""NeMo Guardrails as a rail, where it is installed; and that it is named where it is not."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import pytest

from serve.errors import RailError, ServeSettingsError
from serve.rails.nemo import Nemo

INSTALLED = importlib.util.find_spec("nemoguardrails") is not None
CONFIG = """
models: []
rails:
  input: {flows: [look at input]}
  output: {flows: [look at output]}
"""
FLOWS = """
define flow look at input
  $bad = execute holds_bad(text=$user_message)
  if $bad
    bot refuse
    stop
  $user_message = execute softened(text=$user_message)

define flow look at output
  $bad = execute holds_bad(text=$bot_message)
  if $bad
    bot refuse
    stop

define bot refuse
  "No."
"""
ACTIONS = """
import asyncio
from nemoguardrails.actions import action

@action(name="holds_bad")
async def holds_bad(text: str):
    if "break" in text:
        raise ValueError("broken by " + text)
    if "sleep" in text:
        await asyncio.sleep(20)
    return "bad" in text

@action(name="softened")
async def softened(text: str):
    return text.replace("damn", "d***")
"""


@pytest.fixture(scope="module")
def rail(tmp_path_factory):
    pytest.importorskip("nemoguardrails", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "config.yml").write_text(CONFIG)
    (folder / "flows.co").write_text(FLOWS)
    (folder / "actions.py").write_text(ACTIONS)
    made = Nemo(str(folder), seconds=5)
    made.prepare()
    return made


@pytest.mark.peer
def test_both_sides_block_change_and_pass(rail):
    assert rail.check("hello", "input", ()).allowed
    blocked = rail.check("a bad word", "input", ())
    assert (blocked.allowed, blocked.text, blocked.reason) == (False, "a bad word", "blocked by look at input")
    changed = rail.check("damn it", "input", ())
    assert (changed.allowed, changed.text, changed.found) == (False, "d*** it", 1)
    before = ({"role": "user", "content": "say it"},)
    assert rail.check("fine", "output", before).allowed
    assert rail.check("fine", "output", ()).allowed
    assert not rail.check("a bad word", "output", before).allowed


@pytest.mark.peer
def test_an_action_that_fails_or_hangs_lets_nothing_pass(rail):
    with pytest.raises(RailError) as raised:
        rail.check("break this", "input", ())
    assert "this" not in str(raised.value)
    quick = Nemo(rail.config, seconds=0.5)
    quick.prepare()
    with pytest.raises(RailError, match=r"no verdict in 0\.5 seconds"):
        quick.check("sleep", "input", ())


@pytest.mark.peer
def test_threads_get_their_own_answers(rail):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: rail.check("bad" if n % 2 else f"fine {n}", "input", ()).allowed, range(12)))
    assert made == [n % 2 == 0 for n in range(12)]


@pytest.mark.peer
def test_a_configuration_that_is_none(tmp_path):
    pytest.importorskip("nemoguardrails", exc_type=ImportError)
    (tmp_path / "config.yml").write_text("rails: [")
    with pytest.raises(ServeSettingsError, match=r"nemo\.config .*Error"):
        Nemo(str(tmp_path)).prepare()
    with pytest.raises(ServeSettingsError, match="does not exist"):
        Nemo(str(tmp_path / "none"))


@pytest.mark.skipif(INSTALLED, reason="nemoguardrails is installed")
def test_the_extra_is_named(tmp_path):
    with pytest.raises(ServeSettingsError, match=r"pip install 'millrace\[guardrails\]'"):
        Nemo(str(tmp_path))
