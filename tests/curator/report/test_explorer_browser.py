"""The explorer in a real browser: sliders move, and the numbers shown are those of `retune`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from curator.report import explorer as exploring
from curator.report import write_report
from curator.retune import retune
from curator.run.folder import RunFolder
from tests.browser import browser
from tests.curator.report.test_explorer import made_run

SLIDERS = {"few_words": "GopherQuality.min_words", "language_score": "IdentifyLanguage.min_score",
           "top_2_gram_characters": "GopherRepetition.max_top_2_gram_characters"}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> RunFolder:
    return made_run(tmp_path_factory.mktemp("browsed"))


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


class Shown:
    """A report in the browser."""

    def __init__(self, driver, folder: RunFolder):
        self.driver = driver
        driver.get_log("browser")
        driver.get("file://" + write_report(folder.url))
        driver.execute_script("document.documentElement.style.scrollBehavior = 'auto'")  # a click must not wait for it
        self.carried = json.loads(driver.execute_script("return document.querySelector('#explorer-data').textContent"))
        self.rules = {rule["name"]: rule for rule in self.carried["rules"]}

    def find(self, selector: str):
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.driver.execute_script("return document.querySelector(arguments[0]).textContent", selector)

    def move(self, name: str, steps: int) -> str:
        """Press an arrow key so many times on a slider; return the setting it says."""
        from selenium.webdriver.common.keys import Keys

        slider = self.find(f"#x-{self.rules[name]['number']}")
        slider.send_keys((Keys.ARROW_RIGHT if steps > 0 else Keys.ARROW_LEFT) * abs(steps))
        at = int(slider.get_property("value"))
        assert at == self.rules[name]["at"] + steps
        return f"{name}={self.rules[name]['set'][at]}"

    def kept(self) -> list[list[int]]:
        """Numbers of documents, and of tokens; two where they are a range."""
        return [
            [int(n.replace(",", "")) for n in re.findall(r"[\d,]+", self.text(f"#{id}").partition("(")[0])]
            for id in ("x-documents", "x-size")
        ]

    def table(self, name: str) -> dict[str, list[int]]:
        rows = self.driver.execute_script(
            f"return [...document.querySelectorAll('#x-{name} tbody tr')]"
            ".map(row => [...row.cells].map(cell => cell.textContent))"
        )
        return {row[0]: [int(row[1].replace(",", "")), int(row[3].replace(",", ""))] for row in rows}

    def errors(self) -> list:
        return self.driver.get_log("browser")


@pytest.fixture
def shown(driver, folder) -> Shown:
    return Shown(driver, folder)


def wanted(folder: RunFolder, *settings: str) -> list[list[int]]:
    now = retune(folder, list(settings)).now
    documents, tokens = now.kept.documents, now.kept.tokens
    if not now.unknown.documents:
        return [[documents], [tokens]]
    return [[documents, documents + now.unknown.documents], [tokens, tokens + now.unknown.tokens]]


def test_the_page_opens_on_the_run_as_it_is(shown, folder):
    assert shown.find("#explorer").is_displayed()
    assert shown.kept() == wanted(folder)
    assert shown.text("#x-kind") == "the run as it is"
    assert shown.text("#x-set") == ""
    sliders = shown.driver.find_elements("css selector", "input[type=range]")
    assert len(sliders) == len(shown.rules) > 20
    assert all(slider.is_displayed() and slider.accessible_name for slider in sliders)
    assert shown.errors() == []


@pytest.mark.parametrize(("name", "steps"), [("GopherQuality.min_words", 12), ("GopherQuality.min_words", -9),
                                             ("GopherRepetition.max_top_2_gram_characters", -20),
                                             ("IdentifyLanguage.min_score", 24)])  # fmt: skip
def test_one_slider_moved_by_keys_gives_the_numbers_of_retune(shown, folder, name, steps):
    before = shown.kept()
    line = shown.find(f'[data-line="{shown.rules[name]["edge"]}"]').get_attribute("transform")
    setting = shown.move(name, steps)
    assert shown.kept() == wanted(folder, setting)
    assert shown.kept() != before
    assert shown.text("#x-set") == f"--set {setting}"
    assert shown.text("#x-kind").startswith("exact")
    assert shown.find(f'[data-line="{shown.rules[name]["edge"]}"]').get_attribute("transform") != line
    by_source = retune(folder, [setting]).now.by_source
    assert {source: row[0] for source, row in shown.table("source").items()} == dict(by_source)
    assert sum(row[0] for row in shown.table("language").values()) == shown.kept()[0][0]
    slider = shown.find(f"#x-{shown.rules[name]['number']}")
    assert slider.get_attribute("aria-valuetext").startswith("at ")
    shown.find("#x-reset").click()
    assert shown.kept() == before
    assert shown.text("#x-set") == ""
    assert shown.errors() == []


def test_two_sliders_give_the_numbers_of_retune(shown, folder):
    settings = [
        shown.move("GopherQuality.min_words", 14),
        shown.move("GopherRepetition.max_top_3_gram_characters", -25),
    ]
    assert shown.kept() == wanted(folder, *settings)
    assert shown.text("#x-kind").startswith("exact")
    assert shown.text("#x-set") == " ".join(f"--set {setting}" for setting in settings)
    by_source = retune(folder, settings).now.by_source
    assert {source: row[0] for source, row in shown.table("source").items()} == dict(by_source)
    assert shown.errors() == []


def test_examples_stand_on_their_side_of_the_line(shown, folder):
    from selenium.webdriver.support.wait import WebDriverWait

    name = "GopherQuality.min_words"
    rule = shown.rules[name]
    shown.driver.execute_script(f"document.querySelector('#x-{rule['number']}').parentElement"
                                ".querySelector('details').open = true")  # fmt: skip
    setting = shown.move(name, 10)
    limit = int(setting.partition("=")[2])
    box = shown.find(f"#x-{rule['number']}").find_element("xpath", "..").find_element("css selector", ".sides-of-line")
    WebDriverWait(shown.driver, 10).until(lambda _: "passing" in box.text)
    passing, falling = box.text.split("dropped by it")
    values = [
        [float(v.replace(",", "")) for v in re.findall(r"^([\d.,]+) · ", side, re.M)] for side in (passing, falling)
    ]
    assert values[0]
    assert values[1]
    assert all(value >= limit for value in values[0])
    assert all(value < limit for value in values[1])
    assert shown.errors() == []


def test_copying_puts_the_setting_on_the_clipboard_or_selects_it(shown):
    from selenium.webdriver.support.wait import WebDriverWait

    shown.move("GopherQuality.min_words", 5)
    shown.find("#x-copy").click()
    WebDriverWait(shown.driver, 10).until(lambda _: shown.text("#x-copy") in ("Copied", "Selected"))
    assert shown.driver.execute_script("return getSelection().toString()") == shown.text("#x-set")


def test_a_sample_is_called_an_estimate_and_its_error_is_honest(driver, folder, monkeypatch):
    monkeypatch.setattr(exploring, "SAMPLE", 100)
    shown = Shown(driver, folder)
    settings = [
        shown.move("GopherQuality.min_words", 14),
        shown.move("GopherRepetition.max_top_3_gram_characters", -25),
    ]
    assert shown.text("#x-kind").startswith("estimate ± its standard error, from a sample of 100 documents")
    said = shown.text("#x-documents")
    error = int(said.rpartition("± ")[2].replace(",", ""))
    really = wanted(folder, *settings)[0][0]
    assert error > 0
    assert abs(shown.kept()[0][0] - really) <= 4 * error
    one = shown.rules["GopherQuality.min_words"]
    shown.find("#x-reset").click()
    assert shown.kept() == wanted(folder, shown.move(one["name"], 3))  # one alone stays exact
    assert shown.text("#x-kind").startswith("exact")
    assert shown.errors() == []


def test_on_a_phone_nothing_is_wider_than_the_screen(tmp_path, folder):
    with browser(tmp_path / "profile", width=500, height=800, dark=True) as running:
        shown = Shown(running, folder)
        wide = running.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0
        assert running.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches")
        slider = shown.find(f"#x-{shown.rules['GopherQuality.min_words']['number']}")
        assert slider.size["height"] >= 20
        pixels = running.get_screenshot_as_png()
        assert len(np.frombuffer(pixels, np.uint8)) > 10_000
        assert shown.errors() == []


def test_a_run_without_sliders_has_a_page_without_errors(driver, tmp_path):
    import curator
    from curator import Pipeline
    from tests.corpus import documents, write_parts

    path = write_parts(tmp_path / "in", documents(20), 2)
    Pipeline([curator.ReadJsonl(path), curator.ExactDedup()]).run(str(tmp_path / "run"), workers=0)
    driver.get_log("browser")
    driver.get("file://" + str(Path(write_report(str(tmp_path / "run")))))
    assert driver.get_log("browser") == []
