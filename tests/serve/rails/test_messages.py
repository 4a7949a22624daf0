"""The texts of a message."""

from serve.rails.messages import changed


def test_every_text_is_changed_and_nothing_else():
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "d"}}],
        "name": "b", "refusal": None, "count": 3,
        "tool_calls": [{"id": "i", "type": "function", "function": {"name": "f", "arguments": '{"x": "y"}'}}],
    }  # fmt: skip
    seen = []
    made = changed(message, lambda text: seen.append(text) or text.upper())
    assert seen == ["a", "b", "f", '{"x": "y"}']
    assert made["content"] == [{"type": "text", "text": "A"}, {"type": "image_url", "image_url": {"url": "d"}}]
    assert made["tool_calls"][0] == {
        "id": "i",
        "type": "function",
        "function": {"name": "F", "arguments": '{"X": "Y"}'},
    }
    assert message["name"] == "b"
    assert (made["role"], made["refusal"], made["count"]) == ("assistant", None, 3)


def test_blank_texts_are_left_alone():
    assert changed({"role": "user", "content": " \n"}, lambda text: "x") == {"role": "user", "content": " \n"}
