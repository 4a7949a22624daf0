"""Stop strings in pieces, against a search in the whole text."""

import random
import time

import pytest

from serve.server.text.stops import Stops


@pytest.mark.parametrize("seed", range(200))
def test_pieces_up_to_the_first_stop_string_are_those_of_the_whole_text(seed):
    rng = random.Random(seed)
    text = "".join(rng.choice("ab") for _ in range(40))
    strings = ["".join(rng.choice("ab") for _ in range(rng.randint(2, 7))) for _ in range(rng.randint(1, 3))]
    places = [text.index(one) for one in strings if one in text]
    stops, sent, at = Stops(strings), [], 0
    while at < len(text) and not stops.found:
        step = rng.randint(1, 4)
        sent.append(stops.add(text[at : at + step]))
        at += step
    sent.append(stops.end())
    got = "".join(sent)
    if not places:
        assert got == text
        assert not stops.found
    else:
        ends = min(text.index(one) + len(one) for one in strings if one in text)
        assert stops.found in strings
        assert got == text[: text.index(stops.found)]
        assert text.index(stops.found) <= ends


def test_no_more_is_kept_back_than_may_begin_a_stop_string():
    stops = Stops(["END"])
    assert [stops.add(one) for one in ("a E", "N", "x EN", "D tail", "more")] == ["a ", "", "ENx ", "", ""]
    assert stops.found == "END"
    assert stops.end() == ""


def test_without_stop_strings_everything_passes_at_once():
    stops = Stops([])
    assert stops.add("all") == "all"
    assert stops.end() == ""


def test_the_longest_of_those_that_end_together_counts_however_the_text_is_cut():
    for pieces in (["xabc"], ["x", "a", "b", "c"], ["xab", "c tail"]):
        stops = Stops(["bc", "abc", "zz"])
        assert "".join(stops.add(one) for one in pieces) == "x"
        assert stops.found == "abc"


def test_long_strings_that_nearly_come_cost_no_more_than_their_characters():
    stops = Stops(["a" * 20_000 + str(number) for number in range(4)])
    begun = time.process_time()
    sent = "".join(stops.add("a") for _ in range(20_000)) + stops.end()  # by slices: minutes
    assert sent == "a" * 20_000
    assert time.process_time() - begun < 5
