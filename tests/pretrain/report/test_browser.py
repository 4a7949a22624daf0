"""The curves in a real browser: values are read off by keys and pointer."""

from __future__ import annotations

import pytest

from pretrain.report import write_report
from tests.browser import browser
from tests.pretrain.report.made import made_run


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    return "file://" + write_report(str(made_run(tmp_path_factory.mktemp("browsed") / "tiny", 40)))


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def shown(driver, address):
    driver.get_log("browser")
    driver.get(address)
    yield driver
    assert driver.get_log("browser") == []


def press(driver, *keys: str) -> None:
    driver.find_element("css selector", '[data-chart="loss"] svg').send_keys("".join(keys))


def said(driver, chart: str = "loss") -> str:
    return driver.find_element("css selector", f'[data-chart="{chart}"] output').text


def test_arrow_keys_walk_over_the_points_of_all_charts(shown):
    from selenium.webdriver.common.keys import Keys

    assert said(shown) == ""
    press(shown, Keys.HOME)
    assert said(shown) == "step 1: training loss 9, validation loss 4.1 (step 10)"
    press(shown, Keys.ARROW_RIGHT)
    assert said(shown).startswith("step 2: training loss 6,")
    press(shown, Keys.END)
    assert said(shown) == "step 40: training loss 3.15, validation loss 3.65"
    assert said(shown, "tokens_per_second") == "step 40: tokens a second 2,040"
    assert said(shown, "mfu") == "step 40: MFU 40"
    press(shown, Keys.ARROW_RIGHT)
    assert said(shown).startswith("step 40:")
    press(shown, Keys.ARROW_LEFT * 33)
    assert said(shown).startswith("step 6: training loss 4,")  # step 7 has no loss
    press(shown, Keys.ESCAPE)
    assert said(shown) == ""


def test_the_pointer_reads_the_step_it_is_over(shown):
    from selenium.webdriver.common.action_chains import ActionChains

    svg = shown.find_element("css selector", '[data-chart="loss"] svg')
    box = svg.rect["width"] / 712  # the drawing's own width
    ActionChains(shown).move_to_element_with_offset(svg, round((62 + 640 * 19 / 39 - 356) * box), 0).perform()
    assert said(shown) == "step 20: training loss 3.3, validation loss 3.8"
    assert said(shown, "lr") == "step 20: learning rate 0.0003"
    dot = shown.find_element("css selector", '[data-chart="loss"] .dot.l0')
    assert dot.value_of_css_property("visibility") == "visible"
    line = shown.find_element("css selector", '[data-chart="loss"] .line.l0').get_attribute("d")
    place = dot.get_attribute("transform").removeprefix("translate(").rstrip(")").split()
    nearest = min(line.removeprefix("M").split("L"), key=lambda p: abs(float(p.split()[0]) - float(place[0])))
    assert float(nearest.split()[1]) == pytest.approx(float(place[1]), abs=0.05)
    ActionChains(shown).move_to_element_with_offset(svg, round((62 + 640 * 18.7 / 39 - 356) * box), 0).perform()
    assert said(shown).startswith("step 20:")  # the nearest on either side
    ActionChains(shown).move_to_element_with_offset(svg, round((62 + 640 * 19.3 / 39 - 356) * box), 0).perform()
    assert said(shown).startswith("step 20:")
    ActionChains(shown).move_to_element(shown.find_element("css selector", "h1")).perform()
    assert said(shown) == ""


def test_the_page_is_as_wide_as_its_window(shown):
    for width in (400, 1200):
        shown.set_window_size(width, 900)
        wide = shown.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]


def test_dark_where_the_system_is(address, tmp_path):
    def darkness(driver) -> int:
        driver.get(address)
        colour = driver.find_element("css selector", "body").value_of_css_property("background-color")
        return int(colour.partition("(")[2].partition(",")[0])

    with browser(tmp_path / "dark", dark=True) as dark:
        assert darkness(dark) < 60
        assert dark.get_log("browser") == []
