"""A page that is one file: it needs no network, and its policy lets none in."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from string import Template

from millrace.markup import text


def document(title: str, version: str, style: str, script: str, body: str) -> str:
    """Return an HTML document of markup, with the house's style before its own; the one script that may run is its own.

    Light or dark as the reader's system is; equal input gives equal bytes.
    """
    here = resources.files("millrace")
    return Template(here.joinpath("page.html").read_text("utf-8")).substitute(
        title=text(title, 200),
        version=text(version),
        style=here.joinpath("page.css").read_text("utf-8") + style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        body=body,
    )
