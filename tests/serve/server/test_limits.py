"""Keys and limits, over a socket."""

import threading

import pytest

from tests.serve.server.serving import served, until
from tests.serve.server.test_connections import endless

KEYS = """
alice secret-of-alice requests_a_minute=3
bob secret-of-bob tokens_a_minute=40
carol secret-of-carol concurrent=1
dave secret-of-dave
"""


def bearer(name):
    return {"Authorization": f"Bearer secret-of-{name}"}


@pytest.fixture(scope="module")
def keyed(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("keyed")
    (place / "keys").write_text(KEYS)
    with served(
        folder, place / "log.jsonl", keys=str(place / "keys"), max_running=2, max_waiting=1, max_completions=2
    ) as one:
        yield one


ASKED = {"prompt": "the", "max_tokens": 2}


def asking(served, name, count):
    """Return threads that each have asked for a long completion."""
    args, more = ("/v1/completions", endless(max_tokens=60)), {"headers": bearer(name)}
    threads = [threading.Thread(target=served.post, args=args, kwargs=more) for _ in range(count)]
    for one in threads:
        one.start()
    return threads


def test_without_a_key_nothing_is_told_but_health_and_metrics(keyed):
    for path in ("/v1/completions", "/v1/chat/completions", "/v1/score"):
        assert keyed.refused(ASKED, 401, path)["code"] == "invalid_api_key"
    with keyed.client() as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/v1/models", headers=bearer("dave")).status_code == 200
        assert client.get("/health").status_code == client.get("/metrics").status_code == 200
    assert not any("secret" in str(line) for line in keyed.lines())


def test_requests_a_minute(keyed):
    for _ in range(3):
        assert keyed.post("/v1/completions", ASKED, headers=bearer("alice")).status_code == 200
    response = keyed.post("/v1/completions", ASKED, headers=bearer("alice"))
    assert response.status_code == 429
    assert 1 <= int(response.headers["retry-after"]) <= 20
    assert response.json()["error"]["code"] == "rate_limit_exceeded"
    assert keyed.post("/v1/completions", ASKED, headers=bearer("dave")).status_code == 200


def test_tokens_a_minute_count_what_was_used_not_what_was_reserved(keyed):
    asked = {"prompt": [5], "max_tokens": 30, "temperature": 0, "stop_token_ids": [40], "logit_bias": {"40": 100}}
    for _ in range(4):  # each may need 31 and uses 2
        assert keyed.post("/v1/completions", asked, headers=bearer("bob")).status_code == 200
    response = keyed.post("/v1/completions", {**asked, "max_tokens": 38}, headers=bearer("bob"))
    assert response.status_code == 429
    assert "tokens a minute" in response.json()["error"]["message"]
    assert keyed.refused({**asked, "max_tokens": 50}, 400, headers=bearer("bob"))["code"] == "rate_limit_exceeded"


def test_requests_of_a_key_at_once(keyed):
    with keyed.standing():
        (holding,) = asking(keyed, "carol", 1)
        until(lambda: keyed.front.admission.running == 1)
        assert keyed.refused(ASKED, 429, headers=bearer("carol"))["code"] == "rate_limit_exceeded"
    holding.join()
    assert keyed.post("/v1/completions", ASKED, headers=bearer("carol")).status_code == 200


def test_a_full_queue_is_told_with_the_time_to_come_back(keyed):
    with keyed.standing():
        threads = asking(keyed, "dave", 3)
        until(lambda: keyed.front.admission.waiting == 1)
        response = keyed.post("/v1/completions", ASKED, headers=bearer("dave"))
    for one in threads:
        one.join()
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["code"] == "queue_full"
    assert keyed.metric('millrace_rejected_total{reason="queue_full"}') == 1
    assert keyed.metric('millrace_requests_total{route="/v1/completions",status="429"}') >= 1


def test_the_official_client_comes_back_by_itself_after_429(keyed):
    import openai

    refused, found = 'millrace_rejected_total{reason="queue_full"}', []
    before = keyed.metric(refused)
    with openai.OpenAI(base_url=f"{keyed.url}/v1", api_key="secret-of-dave", max_retries=20) as client:
        with keyed.standing():
            threads = asking(keyed, "dave", 3)
            until(lambda: keyed.front.admission.waiting == 1)
            again = threading.Thread(target=lambda: found.append(client.completions.create(model="tiny", **ASKED)))
            again.start()
            until(lambda: keyed.metric(refused) > before)
        for one in [*threads, again]:
            one.join()
    assert found[0].usage.completion_tokens == 2


def test_counts_of_the_log_are_those_of_the_metrics(keyed):
    until(lambda: keyed.front.under_way == 0)
    asked = [one for one in keyed.lines() if one["route"] == "/v1/completions"]
    assert sum(one.get("completion_tokens", 0) for one in asked) == keyed.metric(
        'millrace_completion_tokens_total{model="tiny"}'
    )
    assert sum(one.get("prompt_tokens", 0) for one in asked) == keyed.metric(
        'millrace_prompt_tokens_total{model="tiny"}'
    )
    assert keyed.metric("millrace_first_token_seconds_count") == sum("first_token_seconds" in one for one in asked)
