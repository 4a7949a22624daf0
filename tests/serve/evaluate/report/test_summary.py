"""Measures as lines for a terminal."""

from serve.evaluate.report.page import summary
from serve.evaluate.results import Results
from serve.evaluate.task import Measure, Result


def test_an_interval_of_its_own_stands_in_place_of_the_standard_error():
    measures = {"unsafe": Measure(0.0, 0.0, False, (0.0, 0.138)), "unsafe/a": Measure(0.0, 0.0, False, (0.0, 0.2425)),
                "score": Measure(0.25, 0.125)}  # fmt: skip
    made = Results("/m", {}, {"safety": Result("safety", 24, measures, 1.0, {}, {})}, {}, {})
    assert [line.split(None, 1)[1].split(None, 1) for line in summary(made).splitlines()] == [
        ["unsafe", "0.0000, 95 % from 0.0000 to 0.1380  (24 items)"],
        ["unsafe/a", "0.0000, 95 % from 0.0000 to 0.2425"], ["score", "0.2500 ± 0.1250  (24 items)"],
    ]  # fmt: skip
