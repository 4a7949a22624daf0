"""Rails in a server that answers over a socket."""

from __future__ import annotations

import json

import pytest

from pipelines.serving.rails import makers
from serve.rails.compose import compose
from serve.rails.folding import tokens
from serve.rails.words import Words
from tests.align import tiny
from tests.align.rewards.server import served as judging
from tests.serve.server.serving import served


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("model")
    tiny.model(made)
    config = json.loads((made / "config.json").read_text())
    (made / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2048}))  # room for a judge
    return str(made)


def placed(*specs):
    return compose(list(specs), makers()).placed


def asked(server, text, **more):
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 12, "temperature": 0, **more}
    return server.post("/v1/chat/completions", body)


def test_prompts_and_answers_pass_the_rails(folder, tmp_path):
    with served(folder, tmp_path / "log") as server:
        plain = asked(server, "who is <EMAIL>").json()["choices"][0]["message"]["content"]
    word = next(token for token, _, _ in tokens(plain) if token.isalnum())
    rails = placed(
        {"pii": {"side": "input"}}, {"words": {"words": ["fox"], "refusal": "No foxes.", "side": "input"}},
        {"words": {"name": "said", "words": [word], "action": "redact", "side": "output"}},
    )  # fmt: skip
    with served(folder, tmp_path / "log", rails=rails) as server:
        refused = asked(server, "F\u200box")
        assert (refused.status_code, refused.json()["error"]["message"]) == (400, "No foxes.")
        answer = asked(server, "who is bob@corp-mail.net").json()["choices"][0]
        assert answer["message"]["content"] == Words(words=(word,)).check(plain, "output", ()).text != plain
        assert server.metric('millrace_rail_verdicts_total{outcome="refused",rail="words",side="input"}') == 1
        assert server.metric('millrace_rail_verdicts_total{outcome="redacted",rail="pii",side="input"}') == 1
        assert server.metric('millrace_rail_verdicts_total{outcome="redacted",rail="said",side="output"}') == 1
    assert "corp-mail" not in (tmp_path / "log").read_text()


def test_a_judge_that_is_a_model_that_rambles_lets_nothing_pass(folder, tmp_path):
    with served(folder, tmp_path / "judge") as judge:
        rail = {"url": f"{judge.url}/v1", "model": "model0", "attempts": 1, "rubric": "x", "max_tokens": 8}
        with served(folder, tmp_path / "log", rails=placed({"judge": rail})) as server:
            answer = asked(server, "hello")
        assert len(judge.lines()) == 1
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "rail_failed")


def test_a_stream_begins_after_the_judge_has_read_the_answer(folder, tmp_path):
    with judging(
        lambda body: "Verdict: REFUSE" if "the assistant's answer" in str(body) else "Verdict: ALLOW"
    ) as judge:
        rails = placed({"judge": {"url": judge.url, "model": "m", "refusal": "Sorry."}})
        with served(folder, tmp_path / "log", rails=rails) as server:
            text = asked(server, "hello", stream=True).text
    assert '"content":"Sorry."' in text.replace('": "', '":"')
    assert "content_filter" in text
    assert text.count("data: ") <= 5
