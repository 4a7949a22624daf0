"""POST /v1/score, and LoRA adapters by name."""

import time

import httpx
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from align.data.chat import Chat
from align.data.record import Message
from tests.align import tiny
from tests.serve.server.serving import served, until

TALKS = [
    [{"role": "user", "content": "the quick"}, {"role": "assistant", "content": "brown fox"}],
    [{"role": "user", "content": "count"}, {"role": "assistant", "content": "one to nine 1 2 3"}],
]


@pytest.fixture(scope="module")
def reward(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reward") / "judge"
    tiny.tokenizer(folder)
    config = tiny_config(folder)
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    torch.nn.init.normal_(model.score.weight)
    model.save_pretrained(folder)
    with served(str(folder), tmp_path_factory.mktemp("log") / "log.jsonl") as one:
        yield one, model, AutoTokenizer.from_pretrained(folder)


def tiny_config(folder):
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, num_labels=1, pad_token_id=3, eos_token_id=2,
        bos_token_id=None,
    )  # fmt: skip


def oracle(model, ids):
    with torch.no_grad():
        return float(model(torch.tensor([ids])).logits[0, 0])


def test_scores_are_those_of_transformers_on_the_templates_tokens(reward):
    server, model, tokenizer = reward
    chat = Chat(tokenizer)
    rows = [chat.masked([Message(one["role"], one["content"]) for one in talk]).tokens.tolist() for talk in TALKS]
    expected = [oracle(model, one) for one in rows]
    made = server.post("/v1/score", {"messages": TALKS}).json()
    assert [one["score"] for one in made["data"]] == pytest.approx(expected, abs=1e-4)
    assert made["usage"]["prompt_tokens"] == sum(map(len, rows))
    pairs = [{"prompt": talk[0]["content"], "response": talk[1]["content"]} for talk in TALKS]
    assert server.post("/v1/score", {"pairs": pairs}).json()["data"] == made["data"]
    assert server.post("/v1/score", {"messages": TALKS[0]}).json()["data"] == made["data"][:1]
    texts = ["the quick", "brown fox jumps"]
    told = server.post("/v1/score", {"texts": texts, "model": "judge"}).json()["data"]
    assert [one["score"] for one in told] == pytest.approx(
        [oracle(model, tokenizer(one).input_ids) for one in texts], abs=1e-4
    )


@pytest.mark.parametrize(
    "body",
    [
        {}, {"texts": []}, {"texts": [""]}, {"texts": ["a"], "messages": TALKS}, {"pairs": [{"prompt": "a"}]},
        {"messages": [{"role": "user", "content": "no answer"}]}, {"texts": ["a"] * 33}, {"text": "a"},
        {"texts": ["the quick " * 300]},
    ],
    ids=lambda one: str(one)[:30],
)  # fmt: skip
def test_what_cannot_be_scored_is_refused(reward, body):
    reward[0].refused(body, path="/v1/score")


def test_a_reward_model_completes_nothing_and_says_what_it_is(reward):
    assert reward[0].refused({"prompt": "a"})["code"] == "wrong_kind"
    with reward[0].client() as client:
        assert client.get("/v1/models").json()["data"][0]["kind"] == "reward"


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of peft's use of transformers
def test_adapters_are_models_of_their_own_names(folder, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(0)
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)).eval()
    adapted.save_pretrained(tmp_path / "lora")
    ids = [10, 20, 30, 40]
    with torch.no_grad():
        expected = adapted.generate(
            input_ids=torch.tensor([ids]), max_new_tokens=10, do_sample=False, eos_token_id=None, pad_token_id=0
        )[0, 4:].tolist()
    with served(folder, tmp_path / "log.jsonl", adapters={"poet": str(tmp_path / "lora")}) as server:
        asked = {"max_tokens": 10, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
        made = {name: server.complete(ids, model=name, **asked) for name in ("tiny", "poet")}
        assert made["poet"]["choices"][0]["token_ids"] == expected
        assert made["tiny"]["choices"][0]["token_ids"] != expected
        assert made["poet"]["model"] == "poet"
        with server.client() as client:
            listed = client.get("/v1/models").json()["data"]
        assert [(one["id"], one.get("parent")) for one in listed] == [("tiny", None), ("poet", "tiny")]
        assert "poet" in server.refused({"prompt": "a", "model": "poets"}, 404)["message"]


def test_a_client_that_leaves_ends_what_it_wanted_scored(reward):
    server = reward[0]
    texts = ["one two three four five six seven eight nine " * 5] * 32
    server.engine._decoder.hidden, hidden = slowed(server.engine._decoder.hidden), server.engine._decoder.hidden
    try:
        with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=server.url, timeout=0.3) as client:
            client.post("/v1/score", json={"texts": texts})
        until(lambda: server.front.under_way == 0, 1)
        until(lambda: server.engine.load().waiting == server.engine.load().running == 0, 1)
    finally:
        server.engine._decoder.hidden = hidden
    server.line(status=499)
    assert server.engine.load().blocks_used == 0


def slowed(hidden):
    def later(*given):
        time.sleep(0.3)
        return hidden(*given)

    return later
