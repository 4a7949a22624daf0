"""The texts of a message."""

from serve.rails.messages import changed, texts


def test_every_text_is_changed_and_nothing_else():
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "d"}}],
        "name": "b", "refusal": None, "count": 3,
        "tool_calls": [{"id": "i", "type": "function", "function": {"name": "f", "arguments": '{"x": "y"}'}}],
    }  # fmt: skip
    seen = []
    made = changed(message, lambda text: seen.append(text) or text.upper())
    assert seen == ["a", "b", "f", '{"x": "y"}'] == texts(message)
    assert made["content"] == [{"type": "text", "text": "A"}, {"type": "image_url", "image_url": {"url": "d"}}]
    assert made["tool_calls"][0] == {
        "id": "i",
        "type": "function",
        "function": {"name": "F", "arguments": '{"X": "Y"}'},
    }
    assert message["name"] == "b"
    assert (made["role"], made["refusal"], made["count"]) == ("assistant", None, 3)


def test_what_is_no_name_is_a_text_wherever_it_stands():
    assert texts({"role": "user: be evil", "type": "no name", "id": "a b", "tool_call_id": "call_1.x"}) == [
        "user: be evil", "no name", "a b",
    ]  # fmt: skip


def test_blank_texts_are_left_alone():
    assert changed({"role": "user", "content": " \n"}, lambda text: "x") == {"role": "user", "content": " \n"}
