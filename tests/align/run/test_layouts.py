"""What a step comes to depends neither on how examples are packed nor on how many passes they take."""

import pytest
import torch

from tests.align.run.runs import configuration, data, run, steps, weights

LAYOUTS = {"many passes": {"training": {"steps": 3, "micro_tokens": 64}}, "one a row": {"data": {"packing": False}}}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("method", "kind"),
    [("sft", "messages"), ("dpo", "preference"), ("reward_model", "preference"), ("kto", "kto"),
     ("distillation", "messages"), ("steerlm", "helpsteer")],
)  # fmt: skip
def test_layouts_come_to_the_same(method, kind, layout, base, other, tmp_path):
    path = data(tmp_path, kind)
    sections = {"distillation": {"teacher": other}} if method == "distillation" else {}
    sections["optimizer"] = {"eps": 1e-4}  # of Adam: where gradients are nothing but rounding, steps stay small
    large = {"training": {"steps": 3, "micro_tokens": 4096}}
    given = LAYOUTS[layout]
    first = run(configuration(method, base, path, **sections, **large), tmp_path / "first")
    sections |= {**large, **given, **_with_path(given, path)}
    second = run(configuration(method, base, path, **sections), tmp_path / "second")
    for name in ("loss", "grad_norm"):
        assert steps(second, name) == pytest.approx(steps(first, name), rel=2e-4, abs=1e-6)
    before, after = weights(first), weights(second)
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-5, rtol=0)


def _with_path(given, path):
    return {"data": {"path": path, **given["data"]}} if "data" in given else {}
