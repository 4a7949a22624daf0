import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.cache import Blocks, beginnings


@given(st.lists(st.tuples(st.sampled_from(["take", "find", "release", "name"]), st.integers(0, 9)), max_size=80))
def test_a_block_is_never_held_and_free_at_once(moves):
    blocks = Blocks(6, 4)
    held: list[list[int]] = []
    names = [bytes([n]) for n in range(10)]
    for move, number in moves:
        if move == "take" and blocks.free >= number % 4:
            held.append(blocks.take(number % 4))
        elif move == "find":
            found = blocks.find(iter(names[number : number + 2]))
            blocks.hold(found)
            held.append(found)
        elif move == "release" and held:
            blocks.release(held.pop(number % len(held)))
        elif move == "name" and held and held[number % len(held)]:
            blocks.name(held[number % len(held)][0], names[number])
        mine = {block for one in held for block in one}
        assert blocks.used == len(mine)
        assert blocks.free == 6 - len(mine)
    for one in held:
        blocks.release(one)
    blocks.forget_all()
    assert sorted(blocks.take(6)) == list(range(6))


def test_a_beginning_is_found_until_its_block_is_needed():
    blocks = Blocks(3, 2)
    first, second = blocks.take(2)
    blocks.name(first, b"a")
    blocks.name(second, b"ab")
    blocks.release([first, second])
    assert blocks.find(iter([b"a", b"ab", b"abc"])) == [first, second]
    assert blocks.take(1) not in ([first], [second])  # one that nobody remembers comes first
    assert blocks.take(1) == [second]  # then the longest beginning, which needs the others
    assert blocks.find(iter([b"a", b"ab"])) == [first]


def test_names_tell_prompts_and_adapters_apart_and_leave_a_token_to_read():
    prompt = np.arange(12)
    names = beginnings(prompt, 4, -1)
    assert len(names) == 2  # the third block would leave nothing to read
    assert len(beginnings(np.arange(13), 4, -1)) == 3
    assert beginnings(np.arange(13), 4, -1)[:2] == names
    changed = prompt.copy()
    changed[1] = 99
    assert not set(names) & set(beginnings(changed, 4, -1))
    assert not set(names) & set(beginnings(prompt, 4, 0))
