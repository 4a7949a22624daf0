"""Several rails as one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.serving.rails import makers
from serve.errors import RailError, ServeSettingsError
from serve.rails.compose import compose, load
from serve.rails.rails import Abandoned, Place, Placed, Rails, Refusal
from tests.align.rewards.server import served
from tests.curator.fasttext_file import write_model
from tests.curator.filter.classifier_model import write_model as write_classifier


def rails(*specs, observe=lambda event: None):
    return compose(list(specs), makers(), observe)


def user(text):
    return {"role": "user", "content": text}


def test_the_first_refusal_ends_a_check_and_later_rails_see_what_earlier_ones_left():
    events = []
    made = rails(
        {"regex": {"patterns": [r"\d+"], "action": "redact", "replacement": "bad"}},
        {"words": {"words": ["bad"], "refusal": "No."}},
        {"words": {"words": ["other"], "name": "never"}},
        observe=events.append,
    )
    assert made.check_input([user("good 12")]) == Refusal("No.", "words", "input", "1 of its words")
    assert [(e.rail, e.kind, e.side, e.outcome, e.found) for e in events] == [
        ("regex", "regex", "input", "redacted", 1), ("words", "words", "input", "refused", 1),
    ]  # fmt: skip
    assert made.check_output("good 12", [user("x")]) == Refusal("No.", "words", "output", "1 of its words")
    assert made.check_input([user("good")]) == [user("good")]
    assert [e.outcome for e in events[-3:]] == ["passed"] * 3


def test_redacted_texts_go_on_and_given_ones_stay_as_they_are():
    made = rails({"pii": {"entities": ["email"]}})
    given = [{"role": "system", "content": "ask bob@corp-mail.net"}, user("I am ann@corp-mail.net, grüße")]
    kept = [dict(message) for message in given]
    assert made.check_input(given) == [
        {"role": "system", "content": "ask <EMAIL>"}, user("I am <EMAIL>, grüße"),
    ]  # fmt: skip
    assert given == kept
    assert made.check_output("ünd write to bob@corp-mail.net.", given) == "ünd write to <EMAIL>."


def split(*texts):
    return {"role": "user", "content": [{"type": "text", "text": one} for one in texts]}


@pytest.mark.parametrize(
    ("spec", "parts", "left"),
    [
        ({"words": {"words": ["blue moon"], "replacement": "_"}}, ("a blue", "moon b"), "a _ b"),
        ({"words": {"words": ["moon"], "replacement": "_"}}, ("a mo", "on b"), "a _ b"),
        ({"regex": {"patterns": [r"blue\s+moon"], "replacement": "_"}}, ("a blue", " ", "moon b"), "a _ b"),
        ({"pii": {"entities": ["email"]}}, ("me@corp-", "mail.net"), "<EMAIL>"),
    ],
)
def test_what_is_split_over_parts_is_found(spec, parts, left):
    ((kind, settings),) = spec.items()
    assert isinstance(rails({kind: settings | {"action": "refuse"}}).check_input([split(*parts)]), Refusal)
    events = []
    flagged = rails({kind: settings | {"action": "flag"}}, observe=events.append)
    assert flagged.check_input([split(*parts)]) == [split(*parts)]
    assert (events[0].outcome, events[0].found) == ("flagged", 1)
    assert rails({kind: settings | {"action": "redact"}}).check_input([split(*parts)])[0]["content"] == left


def test_what_is_found_within_parts_is_replaced_there():
    made = rails({"words": {"words": ["bad"], "action": "redact", "replacement": "_"}})
    assert made.check_input([split("a bad", "b", "bad c")]) == [split("a _", "b", "_ c")]


def test_a_check_that_nobody_waits_for_ends_before_the_next_text():
    events, asked = [], []
    made = rails({"words": {"words": ["bad"]}}, observe=events.append)

    def left():
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Abandoned):
        made.check_input([user("good")] * 9, left)
    assert (len(asked), events) == (4, [])


def test_flags_count_and_change_nothing():
    events = []
    made = rails({"words": {"words": ["bad"], "action": "flag"}}, observe=events.append)
    given = [user("bad bad"), {"role": "tool", "content": "bad"}]
    assert made.check_input(given) == given
    assert (events[0].outcome, events[0].found) == ("flagged", 3)


def test_sides_roles_and_which_messages():
    conversation = [
        {"role": "system", "content": "bad"},
        user("bad"),
        {"role": "assistant", "content": "x"},
        user("ok"),
    ]
    words = {"words": ["bad"], "action": "redact", "replacement": "_"}

    def contents(**place):
        made = rails({"words": words | place})
        return [m["content"] for m in made.check_input(conversation)], made.check_output("bad", conversation)

    assert contents() == (["_", "_", "x", "ok"], "_")
    assert contents(side="input") == (["_", "_", "x", "ok"], "bad")
    assert contents(side="output") == (["bad", "bad", "x", "ok"], "_")
    assert contents(roles=["user"]) == (["bad", "_", "x", "ok"], "_")
    assert contents(messages="last") == (["bad", "bad", "x", "ok"], "_")
    assert contents(messages="last", roles=["system"]) == (["_", "bad", "x", "ok"], "_")
    stranger = [{"role": "narrator", "content": "bad"}]
    assert rails({"words": words | {"roles": ["user"]}}).check_input(stranger)[0]["content"] == "_"
    assert [rails({"words": words | {"side": "input"}}).guards(side) for side in ("input", "output")] == [True, False]


def test_fasttext_of_the_curator_as_classifier(tmp_path):
    model = write_model(tmp_path / "two.bin")
    events = []
    made = rails({"classifier": {"model": model, "label": "zz", "max_score": 0.6}}, observe=events.append)
    assert isinstance(made.check_input([user("vow xyz")]), Refusal)
    assert events[0].reason == "score 0.953"
    assert made.check_input([user("abba cab")]) == [user("abba cab")]


def test_a_hugging_face_model_of_the_curator_as_classifier(tmp_path):
    pytest.importorskip("onnxruntime")
    model = write_classifier(tmp_path / "model", ["nice", "vile"], table=table())
    made = rails({"classifier": {"model": model, "label": "poor"}})
    assert isinstance(made.check_input([user("vile vile")]), Refusal)
    assert made.check_input([user("nice")]) == [user("nice")]
    with pytest.raises(ServeSettingsError, match=r"label is empty.*good, fair, poor"):
        rails({"classifier": {"model": model}})


def table():
    import numpy as np

    made = np.zeros((40, 3), np.float32)
    made[1, 0] = made[2, 2] = 5
    return made


def test_a_rail_that_cannot_decide_lets_nothing_pass_and_says_no_text():
    events = []
    with served(lambda body: (500, b"my secret")) as server:
        judge = {"url": server.url, "model": "m", "wait_seconds": 0.0, "action": "flag"}
        made = rails({"judge": judge}, observe=events.append)
        with pytest.raises(RailError, match=r"^rail judge cannot decide: m at .* HTTP status 500$"):
            made.check_input([user("my secret")])
    assert events[0].outcome == "failed"
    with pytest.raises(RailError, match=r"^rail pii cannot decide: UnicodeEncodeError$"):
        rails({"pii": {}}).check_input([user("my secret \ud800")])


def test_a_judge_is_asked_once_a_message(tmp_path):
    tools = {"role": "system", "tools": [{"type": "function", "function": {"name": "f", "description": "does it"}}]}
    with served(lambda body: "Verdict: ALLOW") as server:
        made = rails({"judge": {"url": server.url, "model": "m"}})
        given = [tools, user([{"type": "text", "text": "ba"}, {"type": "text", "text": "d"}]), user(" ")]
        assert made.check_input(given) == given
    questions = sorted(body["messages"][0]["content"] for body in server.requests)
    assert len(questions) == 2
    assert any("\nf\ndoes it\n" in one for one in questions)
    assert any("\nba\nd\n" in one for one in questions)


def test_the_judge_reads_what_came_before_as_it_was_left():
    with served(lambda body: "Verdict: ALLOW") as server:
        made = rails({"pii": {}}, {"judge": {"url": server.url, "model": "m", "side": "output"}})
        left = made.check_input([user("I am ann@corp-mail.net")])
        made.check_output("Hello", left)
    assert "ann@" not in server.requests[0]["messages"][0]["content"]
    assert "I am <EMAIL>" in server.requests[0]["messages"][0]["content"]


def test_threads_do_not_mix_texts():
    made = rails({"words": {"words": ["bad"], "action": "redact"}}, {"pii": {}}, {"regex": {"patterns": ["q+"]}})
    start = threading.Barrier(4)

    def check(number):
        if number < 4:
            start.wait(20)
        text = f"{number} bad me{number}@corp-mail.net"
        return made.check_output(text, [user("x")]) == f"{number} [removed] <EMAIL>" and isinstance(
            made.check_input([user(f"{number} q")]), Refusal
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(check, range(40)))


def test_no_rails_pass_everything():
    assert Rails(()).check_input([user("x")]) == [user("x")]
    assert Rails(()).check_output("x", []) == "x"
    assert not Rails(()).guards("output")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("words", r"rails\[1\] is 'words'; it must be one kind"),
        ({"word": {}}, r"rails\[1\]: no rail is called word. Did you mean words\?"),
        ({"words": ["bad"]}, "must be a mapping of settings"),
        ({"words": {"word": ["bad"]}}, r"rails\[1\].words: Words has no field word. Did you mean words\?"),
        ({"words": {"words": ["x"], "side": "inputs"}}, "Did you mean input"),
        ({"words": {"words": ["x"], "action": "drop"}}, "it must be one of"),
        ({"words": {"words": ["x"], "roles": ["users"]}}, "Did you mean user"),
        ({"words": {"words": ["x"], "roles": []}}, "roles is empty"),
        ({"words": {"words": ["x"], "refusal": " "}}, "refusal is empty"),
        ({"words": {"words": ["x"], "name": "regex"}}, "two rails are called regex"),
        ({"judge": {"url": "http://x/v1", "model": "m", "action": "redact"}}, "judge can refuse, flag"),
        ({"pii": {"entities": ["emial"]}}, r"rails\[1\].pii: .*no entity emial. Did you mean email"),
        ({"classifier": {"model": "/nowhere.bin", "label": "x"}}, "there is no model file /nowhere.bin"),
        ({"classifier": {"model": "/nowhere.bin", "max_score": float("inf")}}, "finite"),
    ],
)  # fmt: skip
def test_a_bad_configuration_is_named_with_its_place(spec, said):
    with pytest.raises(ServeSettingsError, match=said) as raised:
        rails({"regex": {"patterns": ["x"]}}, spec)
    assert "\n" not in str(raised.value)


def test_a_yaml_file(tmp_path):
    path = tmp_path / "rails.yaml"
    (tmp_path / "bad.txt").write_text("bad\n")
    path.write_text(
        f"rails:\n- words:\n    files: [{tmp_path}/bad.txt]\n    side: input\n- pii: {{action: refuse}}\n- pii:\n"
    )
    with pytest.raises(ServeSettingsError, match=r"rails.yaml: rails\[2\]: two rails are called pii"):
        load(str(path), makers())
    path.write_text(path.read_text().removesuffix("- pii:\n"))
    made = load(str(path), makers())
    assert [one.place for one in made.placed] == [Place("words", "refuse", "input"), Place("pii", "refuse")]
    assert isinstance(made.placed[0], Placed)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"rails: [", "is no YAML"), (b"\xff", "is no UTF-8"), (b"- words: {}", "must hold `rails:` and a list"),
     (b"rails: {}", "must hold"), (b"rails: []\nmore: 1", "must hold")],
)  # fmt: skip
def test_a_bad_file(tmp_path, content, said):
    path = tmp_path / "rails.yaml"
    path.write_bytes(content)
    with pytest.raises(ServeSettingsError, match=said):
        load(str(path), makers())
    with pytest.raises(ServeSettingsError, match="cannot read"):
        load(str(tmp_path / "none.yaml"), makers())
