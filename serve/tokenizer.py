"""The tokenizer of a model's folder, opened, or the reason in one line."""

from __future__ import annotations

from typing import Any

from millrace import storage
from serve.errors import ModelFolderError

FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")  # of the families that are trained here, one is there
LONGEST = 300  # characters of what transformers says


def open_tokenizer(folder: str) -> Any:
    """Return the transformers tokenizer of a folder; nothing is downloaded, no code of the folder is run.

    Raises ModelFolderError where the folder has none, or one that does not load.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the library tokenizers raises Exception itself for a file that it cannot read
        if not any(name.endswith(FILES) for name in storage.list_folder(folder)):
            raise ModelFolderError(f"{folder} has no tokenizer: none of {', '.join(FILES)} is there") from None
        said = " ".join(str(error).split()) or type(error).__name__
        said = said if len(said) <= LONGEST else said[:LONGEST] + "..."
        raise ModelFolderError(f"{folder} has a tokenizer that does not load: {said}") from None
