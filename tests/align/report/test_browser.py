"""The samples in a real browser: one step at a time, by buttons and by the list; curves are read as in pretraining."""

from __future__ import annotations

import pytest

from align.report import write_report
from tests.align.report.made import made_run
from tests.browser import browser


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


def seen(driver) -> list[str]:
    return [
        t.get_attribute("data-step") for t in driver.find_elements("css selector", "[data-step]") if t.is_displayed()
    ]


def test_steps_are_turned_by_buttons_and_by_the_list(shown):
    shown.execute_script("document.querySelector('.samples').scrollIntoView({behavior: 'instant'})")
    earlier, later = shown.find_elements("css selector", ".pager button")
    assert (seen(shown), earlier.is_enabled(), later.is_enabled()) == (["40"], True, False)
    for _ in range(3):
        earlier.click()
    assert (seen(shown), earlier.is_enabled(), later.is_enabled()) == (["10"], False, True)
    later.click()
    assert seen(shown) == ["20"]
    shown.find_element("css selector", '.pager option[value="30"]').click()
    assert seen(shown) == ["30"]
    assert "4 at 30" in shown.find_element("css selector", '[data-step="30"]').text
    assert "five, I think" in shown.find_element("css selector", '[data-step="30"]').text


def test_hostile_completions_are_text(shown):
    assert "<script>alert('x')</script> at 40" in shown.find_element("css selector", '[data-step="40"]').text
    assert shown.execute_script("return document.querySelectorAll('script').length") == 2


def test_values_are_read_off_the_curves(shown):
    from selenium.webdriver.common.keys import Keys

    shown.find_element("css selector", '[data-chart="reward"] svg').send_keys(Keys.END)
    said = shown.find_element("css selector", '[data-chart="reward"] output').text
    assert said == "step 40: reward 0.975, reward, held out 0.98125"


def test_the_page_is_as_wide_as_its_window(shown):
    for width in (400, 1200):
        shown.set_window_size(width, 900)
        wide = shown.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]
