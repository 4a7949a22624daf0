"""What the explorer carries, against `retune` with the same setting; and against plain counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curator
from curator import Pipeline
from curator.report import explorer as exploring
from curator.report.explorer import Explorer
from curator.report.gather import gather
from curator.report.grid import MOST, UNMEASURED, grid, positions
from curator.report.page import page
from curator.report.spread import Spread
from curator.retune import retune
from curator.run.folder import RunFolder
from tests.corpus import documents, write_parts

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


def made_run(place, tokens: bool = True, dedup: bool = True) -> RunFolder:
    """Two groups of filters, two sources, several languages."""
    records = documents(300, seed=9)
    paths = {
        "web": write_parts(place / "web", records[:200], 2),
        "books": write_parts(place / "books", records[200:], 1),
    }
    stages = [
        curator.ReadJsonl(paths),
        curator.IdentifyLanguage(keep=("en", "de"), min_score=0.3),
        curator.GopherQuality(min_words=60, min_stop_words=1),
        curator.FixUnicode(),
        curator.GopherRepetition(),
        *([curator.ExactDedup(), curator.FuzzyDedup()] if dedup else []),
        *([curator.Tokenize(vocab_size=400), curator.Pack(seq_length=128)] if tokens else []),
    ]
    return RunFolder(Pipeline(stages).run(str(place / "run"), workers=0).folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> RunFolder:
    return made_run(tmp_path_factory.mktemp("explorer"))


@pytest.fixture(scope="module")
def explorer(folder) -> Explorer:
    found = gather(folder).explorer
    assert found is not None
    return found


def passing(slider, limit: int) -> np.ndarray:
    """Which positions pass a limit: what the page's script decides, in Python."""
    place = np.arange(len(slider.limits) + 2)
    return (place > limit) if slider.below else (place <= limit) | (place == len(slider.limits) + 1)


def setting(slider, limit: int) -> str:
    return f"{slider.reason.decider.name}.{slider.reason.rule.limit}={slider.value(limit)!r}"


def test_every_limit_that_retune_can_set_has_a_slider(explorer):
    named = {setting(slider, slider.at).partition("=")[0] for slider in explorer.sliders}
    tunable = {f"{d.name}.{field}" for d in explorer.filters.deciders for field in d.tunable}
    assert named == tunable - {"IdentifyLanguage.keep"}


def test_the_run_itself_is_on_every_slider_and_gives_what_the_run_kept(explorer, folder):
    for slider in explorer.sliders:
        rule = slider.reason.rule
        assert slider.value(slider.at) == getattr(slider.reason.decider.stage, rule.limit)
        assert len(slider.limits) <= MOST
        kept = slider.stays[:, :, passing(slider, slider.at)].sum(axis=2)
        assert (kept == explorer.kept).all()
    assert explorer.kept.sum(axis=(0, 1)).tolist() == [explorer.tally.kept.documents, explorer.tally.kept.tokens]


def test_one_limit_moved_gives_the_numbers_of_retune(explorer, folder):
    rng = np.random.default_rng(2)
    for slider in explorer.sliders:
        for limit in {0, len(slider.limits) - 1, int(rng.integers(len(slider.limits)))}:
            really = retune(folder, [setting(slider, limit)]).now
            pass_ = passing(slider, limit)
            kept = slider.stays[:, :, pass_].sum(axis=2)
            assert kept.sum(axis=(0, 1)).tolist() == [really.kept.documents, really.kept.tokens], setting(slider, limit)
            open_ = slider.unknown[pass_].sum(axis=0).tolist()
            assert open_ == [really.unknown.documents, really.unknown.tokens]
            by_source = dict(zip(explorer.sources, kept.sum(axis=1)[:, 0].tolist(), strict=True))
            assert by_source == {name: really.by_source[name] for name in explorer.sources}


def test_sample_of_all_documents_gives_the_numbers_of_retune_for_several_limits(explorer, folder):
    sample = explorer.sample
    assert len(sample.size) == sample.of
    rng = np.random.default_rng(3)
    for _ in range(12):
        chosen = rng.choice(len(explorer.sliders), 3, replace=False)
        moved = {int(c): int(rng.integers(len(explorer.sliders[c].limits))) for c in chosen}
        fails = np.zeros(len(sample.size), bool)
        for column, slider in enumerate(explorer.sliders):
            place = sample.positions[:, column]
            limit = moved.get(column, slider.at)
            fails |= (place != UNMEASURED) & ((place <= limit) if slider.below else (place > limit))
        really = retune(folder, [setting(explorer.sliders[c], limit) for c, limit in moved.items()]).now
        stays = ~fails & ~sample.unknown
        assert [int(stays.sum()), int(sample.size[stays].sum())] == [really.kept.documents, really.kept.tokens]
        assert int((~fails & sample.unknown).sum()) == really.unknown.documents


def test_a_smaller_sample_is_of_the_smallest_hashes_and_says_what_it_stands_for(folder, monkeypatch):
    whole = gather(folder).explorer.sample
    monkeypatch.setattr(exploring, "SAMPLE", 50)
    few = gather(folder).explorer.sample
    assert (len(few.size), few.of) == (50, whole.of)
    assert (few.positions == whole.positions[:50]).all()


def test_without_tokens_characters_are_counted(tmp_path):
    folder = made_run(tmp_path, tokens=False, dedup=False)
    found = gather(folder).explorer
    assert found.size == "characters"
    assert found.kept.sum(axis=(0, 1)).tolist()[1] == retune(folder, []).was.kept.characters


def test_tokens_of_a_run_that_packs_nothing_are_counted(tmp_path):
    path = write_parts(tmp_path / "in", documents(40), 2)
    stages = [curator.ReadJsonl(path), curator.GopherQuality(), curator.Tokenize(vocab_size=300)]
    folder = RunFolder(Pipeline(stages).run(str(tmp_path / "run"), workers=0).folder)
    found = gather(folder).explorer
    assert found.size == "tokens"
    assert found.kept.sum(axis=(0, 1)).tolist()[1] == retune(folder, []).was.kept.tokens > 0


def test_sources_and_languages_beyond_the_first_share_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(exploring, "NAMED", 1)
    found = gather(made_run(tmp_path, tokens=False, dedup=False)).explorer
    assert found.languages == ["en", "others"]
    assert len(found.sources) == 2  # one more is named rather than called others


def test_overlap_in_the_page_is_that_of_the_tally(explorer, folder):
    from lxml import html

    tree = html.fromstring(page(gather(folder)))
    names = [reason.said for reason in explorer.filters.reasons]
    table = tree.xpath('//table[@class="overlap"]/tbody/tr')
    shown = [names.index(line[1].text_content()) for line in table]
    assert shown
    for line, here in zip(table, shown, strict=True):
        said = [int(cell.text_content().replace(",", "") or 0) for cell in line[2:5]]
        tally = explorer.tally
        assert said == [tally.beyond[here, here], tally.only[here], tally.dropped[here]]
        for cell, there in zip(line[5:], shown, strict=True):
            if here != there:
                assert int(cell.text_content().replace(",", "") or 0) == tally.beyond[here, there]


@given(st.lists(FINITE, max_size=50), FINITE, st.booleans())
def test_positions_tell_exactly_whom_each_limit_rejects(values, current, below):
    spread = Spread()
    import pyarrow as pa

    spread.add(pa.chunked_array([pa.array(values, pa.float64())]))
    limits = grid(spread, current, whole=False)
    assert current in limits
    assert 1 <= len(limits) <= MOST
    assert (np.diff(limits) > 0).all()
    place = positions(np.array([*values, np.nan]), limits, below)
    assert place[-1] == UNMEASURED
    for number, limit in enumerate(limits.tolist()):
        for value, at in zip(values, place.tolist(), strict=False):
            assert (at <= number if below else at > number) == (value < limit if below else value > limit)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60), st.integers(0, 10**6))
def test_limits_of_whole_numbers_are_whole_and_reach_beyond_the_values(values, current):
    import pyarrow as pa

    spread = Spread()
    spread.add(pa.chunked_array([pa.array(values, pa.int64())]))
    limits = grid(spread, current, whole=True)
    assert all(limit == int(limit) for limit in limits)
    assert limits[0] <= min(values)
    assert limits[-1] >= max(values)
    assert current in limits


def test_a_stage_named_twice_has_no_sliders_for_no_setting_could_name_it(tmp_path):
    path = write_parts(tmp_path / "in", documents(40), 2)
    twice = [curator.GopherQuality(min_words=20), curator.GopherQuality(min_words=80)]
    run = Pipeline([curator.ReadJsonl(path), *twice]).run(str(tmp_path / "run"), workers=0)
    facts = gather(RunFolder(run.folder))
    assert facts.explorer.sliders == []
    assert facts.explorer.tally.kept.documents == run.documents
    assert 'id="overlap"' in page(facts)
