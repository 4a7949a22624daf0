"""From a model's folder to what answers for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from align.data.chat import Chat
from align.errors import DataError
from millrace import storage
from serve.engine.request import Engine
from serve.errors import ModelFolderError
from serve.model import ModelFolder
from serve.rails.rails import Rails
from serve.server.asked.common import Limits
from serve.server.bridge import Bridge
from serve.server.checks import Checks
from serve.server.front import Front
from serve.server.local import Local, Named
from serve.server.settings import ServerSettings
from serve.server.text.tokenizer import Tokenizer

SETTING = "server.template"


async def local(
    front: Front, model: ModelFolder, open_engine: Callable[[], Engine], rails: Callable[[Any], Rails]
) -> Local:
    """Return the front before an engine. `rails` gets what is to hear of their checks.

    Loads on a thread, so that /health can say so. Raises ServeError for a folder or a setting that cannot be.
    """
    named, engine, checked = await asyncio.to_thread(_load, front, model, open_engine, rails)
    front.metrics.watch_engine(engine.load)
    limits = Limits(front.settings.max_tokens, front.settings.max_completions)
    return Local(
        named, Bridge(engine, asyncio.get_running_loop(), front.fail), limits, front.settings.max_prompt_tokens,
        Checks(checked),
    )  # fmt: skip


def _load(front: Front, model: ModelFolder, open_engine: Any, rails: Any) -> tuple[Named, Engine, Rails]:
    checked = rails(front.metrics.rail)
    return named(model, front.settings), open_engine(), checked


def named(model: ModelFolder, settings: ServerSettings) -> Named:
    """Return a model's name, tokenizer, chat template and end tokens. Raises ModelFolderError and DataError.

    A model without a chat template answers no conversations; a template that is asked for must be one.
    """
    from transformers import AutoTokenizer

    try:
        own = AutoTokenizer.from_pretrained(model.folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{model.folder} has no tokenizer that loads: {str(error).splitlines()[0]}") from None
    chat, why = None, ""
    try:
        chat = Chat(own, settings.template, SETTING)
    except DataError as error:
        if settings.template:
            raise
        why = str(error)
    ends = [*(chat.stop if chat else ()), *_ends(model.folder)]
    if own.eos_token_id is not None:
        ends.append(int(own.eos_token_id))
    return Named(settings.name or model.name, Tokenizer(own), chat, why, tuple(dict.fromkeys(ends)))


def _ends(folder: str) -> list[int]:
    """Return the end tokens that generation_config.json names, else those of config.json."""
    for file in ("generation_config.json", "config.json"):
        url = storage.join(folder, file)
        if storage.exists(url):
            value = storage.read_json(url).get("eos_token_id")
            found = value if isinstance(value, list) else [value]
            if ends := [one for one in found if isinstance(one, int)]:
                return ends
    return []
