"""The texts of a message."""

from serve.rails.messages import changed, joined, parts, texts


def test_every_text_is_changed_and_nothing_else():
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://a.test/d"}}],
        "name": "b", "refusal": None, "count": 3,
        "tool_calls": [{"id": "i", "type": "function", "function": {"name": "f", "arguments": '{"x": "y"}'}}],
    }  # fmt: skip
    seen = []
    made = changed(message, lambda text: seen.append(text) or text.upper())
    assert seen == ["a", "b", "f", '{"x": "y"}'] == texts(message)
    assert made["content"] == [
        {"type": "text", "text": "A"},
        {"type": "image_url", "image_url": {"url": "https://a.test/d"}},
    ]
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


def test_only_data_of_images_sounds_and_files_is_no_text():
    assert texts({"content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "file_id": "f-1"}},
    ]}) == ["low", "wav"]  # fmt: skip
    assert texts({"image_url": "a bad word", "file": ["worse"], "input_audio": {"data": "the worst of all"}}) == [
        "a bad word", "worse", "the worst of all",
    ]  # fmt: skip
    assert texts({"content": [{"type": "image_url", "image_url": {"url": "say it", "file_data": "aa"}}]}) == [
        "say it",
        "aa",
    ]
    assert texts({"content": [{"type": "file", "file": {"filename": "bad.pdf"}}]}) == ["bad.pdf"]


def test_parts_are_those_of_the_content_and_become_one():
    image = {"type": "image_url", "image_url": {"url": "https://a.test/d"}}
    message = {"role": "user", "name": "n", "content": [{"type": "text", "text": "a"}, image, " ", "b"]}
    assert parts(message) == ["a", " ", "b"]
    assert joined(message, "x")["content"] == [{"type": "text", "text": "x"}, image]
    assert joined({"role": "user", "content": ["a", "b"]}, "x") == {"role": "user", "content": "x"}
