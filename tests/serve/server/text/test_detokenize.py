"""Pieces joined are the text of all tokens, and no piece holds half a character."""

import random

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from serve.server.text.detokenize import Detokenizer

TEXTS = [
    "the quick brown fox",
    "naïve café — 中文字符 日本語 🙂🙃 ok",
    "emoji 👩‍👧 and \x00 null, tabs\t\tand\n\nlines",
    "ぜんぶ",
]


@pytest.fixture(scope="module")
def bytelevel():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<end>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(TEXTS, trainer)
    return made


@pytest.fixture(scope="module")
def sentencepiece():
    """A tokenizer as Llama 2 has it: a space before words, bytes where a character is unknown."""
    pieces = ["<unk>", *(f"<0x{one:02X}>" for one in range(256)), "▁the", "▁fox", "▁", "a", "é", "中", "x"]
    made = Tokenizer(models.BPE({one: n for n, one in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True))
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return made


def streamed(tokenizer, ids, sizes=(1,), seed=0):
    rng, growing, pieces, at = random.Random(seed), Detokenizer(lambda some: tokenizer.decode(list(some))), [], 0
    while at < len(ids):
        count = rng.choice(sizes)
        pieces.append(growing.add(ids[at : at + count]))
        at += count
    return [*pieces, growing.end()]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("sizes", [(1,), (1, 2, 5)])
def test_pieces_of_a_text_are_whole_characters(bytelevel, text, sizes):
    pieces = streamed(bytelevel, bytelevel.encode(text).ids, sizes)
    assert "".join(pieces) == text
    assert not any("\ufffd" in one for one in pieces)


@pytest.mark.parametrize("seed", range(20))
def test_random_tokens_joined_are_decoded_as_the_whole(bytelevel, seed):
    rng = random.Random(seed)
    ids = [rng.randrange(300) for _ in range(400)]
    assert "".join(streamed(bytelevel, ids, (1, 3), seed)) == bytelevel.decode(ids)


def test_a_thousand_tokens_that_make_no_character_cost_no_growing_window(bytelevel):
    half = bytelevel.encode("中").ids[:1] if len(bytelevel.encode("中").ids) > 1 else [bytelevel.token_to_id("ä")]
    longest = []

    def decode(some):
        longest.append(len(some))
        return bytelevel.decode(list(some))

    growing = Detokenizer(decode)
    text = "".join(growing.add(half) for _ in range(1000)) + growing.end()
    assert text == bytelevel.decode(half * 1000)
    assert max(longest) < 200


def test_text_comes_as_soon_as_it_is_certain(bytelevel):
    growing = Detokenizer(lambda some: bytelevel.decode(list(some)))
    ids = bytelevel.encode("ab").ids
    assert [growing.add([one]) for one in ids] == ["a", "b"] if len(ids) == 2 else growing.add(ids) == "ab"


def test_spaces_between_words_of_sentencepiece_are_kept(sentencepiece):
    names = ["▁the", "▁fox", "a", "▁", "▁the", "<0xE4>", "<0xB8>", "<0xAD>", "▁fox", "中", "é"]
    ids = [sentencepiece.token_to_id(one) for one in names]
    pieces = streamed(sentencepiece, ids)
    assert "".join(pieces) == sentencepiece.decode(ids) == "the foxa  the中 fox中é"
    assert pieces[5:8] == ["", "", "中"]
