"""The chat templates that models ship with, as TRL collects them: answers are learnt, and nothing of the user's."""

from __future__ import annotations

import copy
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from align.data.chat import Chat
from align.data.record import Message
from align.errors import DataError
from tests.align.data.tokenizers import SPECIAL, tokenizer

SPEC = importlib.util.find_spec("trl")
FOLDER = Path(next(iter(SPEC.submodule_search_locations or ()), "")) / "chat_templates" if SPEC else Path("absent")
ENDS = (
    "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>", "<|END_OF_TURN_TOKEN|>", "<｜end▁of▁sentence｜>", "<|end|>",
    "<|return|>", "<|eot|>", "</s>",
)  # fmt: skip
ANGLED = re.compile(r"<\|[^|<>\s'\"{}]+\|>|<｜[^｜<>'\"]+｜>|<\|turn>|<turn\|>|<(?:start|end)_of_turn>|</?s>")
TALK = [
    Message("user", "Which river?"), Message("assistant", "The Loire."),
    Message("user", "And\n that?"), Message("assistant", "It ran.\n\nYes"),
]  # fmt: skip
PARTS = {"idefics3", "smolvlm", "llava_next"}  # content is a list of parts
NO_END = {"glm4moe"}  # an answer ends where the next turn begins
NO_SYSTEM = {"gemma", "gemma_training"}


def able(source: str) -> Any:
    """A tokenizer that has the control tokens of a template."""
    control = set(ANGLED.findall(source))
    made = copy.deepcopy(tokenizer(special=tuple(dict.fromkeys([*SPECIAL, *sorted(control)]))))
    made.eos_token = next((one for one in ENDS if one in control), "<|endoftext|>")
    made.chat_template = source
    return made


@pytest.mark.peer
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jinja")), ids=lambda path: path.stem)
def test_answers_are_learnt_to_their_end_and_nothing_else(path):
    tok = able(path.read_text())
    in_parts = path.stem.removesuffix("_training") in PARTS
    if in_parts or path.stem in NO_END:
        with pytest.raises(DataError, match="renders no conversation" if in_parts else "no special token"):
            Chat(tok)
        return
    chat = Chat(tok)
    with_system = [] if path.stem in NO_SYSTEM else [[Message("system", "Be short."), *TALK]]
    for talk in (TALK, TALK[:2], *with_system):
        made = chat.masked(talk)
        learnt = tok.decode(made.tokens[made.mask])
        place = 0
        for one in talk:
            if one.role == "assistant":
                place = learnt.index(one.content, place) + len(one.content)
                assert chat._special.match(learnt, place), learnt
            else:
                assert one.content not in learnt
        assert learnt.endswith(tok.decode([chat.stop[0]])) or learnt.endswith(tok.eos_token)


@pytest.mark.peer
def test_templates_of_others_are_there():
    if not FOLDER.is_dir():
        pytest.skip("trl is not installed")
    assert len(list(FOLDER.glob("*.jinja"))) > 10
