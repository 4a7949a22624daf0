"""A folder's tokenizer, or why there is none, in a whole sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serve.errors import ModelFolderError
from serve.tokenizer import LONGEST, open_tokenizer
from tests.align import tiny


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama") / "small"
    tiny.model(folder, "llama", hidden=64)
    return folder


def test_a_tokenizer_is_the_folder_s(llama):
    tokenizer = open_tokenizer(str(llama))
    assert tokenizer.decode(tokenizer("the fox")["input_ids"], skip_special_tokens=True) == "the fox"


def test_a_folder_without_one_says_which_files_it_lacks(llama, tmp_path):
    shutil.copy(llama / "config.json", tmp_path)
    with pytest.raises(ModelFolderError, match=r"has no tokenizer: none of tokenizer\.json, .*vocab\.json is there$"):
        open_tokenizer(str(tmp_path))


@pytest.mark.parametrize("content", ["{broken", "[]", "{}"])
def test_a_damaged_one_says_what_is_wrong_in_a_line(llama, tmp_path, content):
    folder = Path(shutil.copytree(llama, tmp_path / "damaged"))
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ModelFolderError, match=r"has a tokenizer that does not load: .*[^:]$") as raised:
        open_tokenizer(str(folder))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < len(str(folder)) + LONGEST + 100
