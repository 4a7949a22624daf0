"""Chat templates: the tokenizer's own, the built-in ones, or a Jinja file; and whether a tokenizer can write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

from align.errors import DataError
from millrace import storage
from millrace.config import did_you_mean
from millrace.errors import StorageError

CONTROL = re.compile(r"control:([^#]*?)-?#\}")  # in the opening comment of a built-in
ANGLED = re.compile(r"<\|[^|<>\s'\"{}]+\|>|<｜[^｜<>]+｜>")  # how control tokens are mostly written


@dataclass(frozen=True)
class Template:
    """A chat template."""

    name: str  # as the configuration names it; "own": the tokenizer's
    source: str  # Jinja
    control: tuple[str, ...]  # what it writes that must each be one token
    builtin: bool = False

    @property
    def knows_calls(self) -> bool:
        """Whether it writes tool calls by itself; else they are JSON in the turn's text."""
        return "tool_calls" in self.source

    @property
    def knows_tools(self) -> bool:
        """Whether it writes tool definitions by itself; else they end the system turn, as JSON."""
        return re.search(r"\btools\b", self.source) is not None


def names() -> list[str]:
    """Return the names of the built-in templates."""
    folder = resources.files("align.data") / "templates"
    return sorted(one.name.removesuffix(".jinja") for one in folder.iterdir() if one.name.endswith(".jinja"))


def load(name: str, tokenizer: Any, setting: str = "model.template") -> Template:
    """Return the template of a name, a .jinja file, or ("") the tokenizer's own, as a tokenizer can write it.

    Raises DataError where there is none, or where the tokenizer lacks a control token: it would be split into pieces
    that the model was never taught to take for a sign. Of its own template a tokenizer may lack some. `setting` is what
    a user names one with.
    """
    if not name:
        if not tokenizer.chat_template:
            raise DataError(
                f"the tokenizer has no chat template; name one with {setting}: {', '.join(names())}, or a Jinja "
                f"file.{_fitting(tokenizer)}"
            )
        source = tokenizer.get_chat_template()
        return Template("own", source, tuple(sorted(set(ANGLED.findall(source)))))
    template = _named(name)
    missing = lacking(template, tokenizer)
    if missing:
        raise DataError(
            f"template {name} writes {', '.join(missing)}, which this tokenizer has not as single tokens."
            f"{_fitting(tokenizer)}"
        )
    return template


def lacking(template: Template, tokenizer: Any) -> list[str]:
    """Return the control tokens of a template that are no single token of a tokenizer."""
    return [one for one in template.control if len(tokenizer.encode(one, add_special_tokens=False)) != 1]


def is_file(name: str) -> bool:
    """Tell whether a template's name is that of a file."""
    return name.endswith((".jinja", ".jinja2", ".j2"))


def _named(name: str) -> Template:
    if name in names():
        source = (resources.files("align.data") / "templates" / f"{name}.jinja").read_text()
        comment = CONTROL.search(source)
        assert comment is not None, f"{name}.jinja says not which control tokens it writes"
        return Template(name, source.removesuffix("\n"), tuple(comment[1].split()), builtin=True)
    if not is_file(name):
        raise DataError(
            f"no chat template is called {name}.{did_you_mean(name, names())} Templates: {', '.join(names())}; "
            f"or a .jinja file"
        )
    try:
        source = storage.read_bytes(name).decode()
    except (StorageError, UnicodeDecodeError) as error:
        raise DataError(f"template {name} cannot be read: {error}") from None
    return Template(name, source, tuple(sorted(set(ANGLED.findall(source)))))


def _fitting(tokenizer: Any) -> str:
    built = [_named(name) for name in names()]
    needs_end = [one.name for one in built if tokenizer.eos_token or "eos_token" not in one.source]
    fit = [one.name for one in built if one.name in needs_end and not lacking(one, tokenizer)]
    return f" Of the built-in ones it can write {', '.join(fit)}." if fit else ""
