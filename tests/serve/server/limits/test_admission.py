"""The bounded queue."""

import asyncio

import pytest

from serve.server.limits.admission import Admission
from serve.server.refusal import Refusal


async def turns(times=5):
    for _ in range(times):
        await asyncio.sleep(0)


def test_places_go_by_order_of_arrival_and_no_more_wait_than_may():
    async def main():
        admission, order, go = Admission(2, 3), [], asyncio.Event()

        async def asking(name, count):
            async with admission.places(count):
                order.append(name)
                await go.wait()

        tasks = [asyncio.ensure_future(asking(*one)) for one in (("a", 2), ("b", 2), ("c", 1))]
        await turns()
        assert (order, admission.running, admission.waiting) == (["a"], 2, 3)
        with pytest.raises(Refusal) as refused:
            async with admission.places(1):
                pass
        assert (refused.value.status, refused.value.reason) == (429, "queue_full")
        assert refused.value.retry_after >= 1
        go.set()
        await asyncio.gather(*tasks)
        assert (order, admission.running, admission.waiting) == (["a", "b", "c"], 0, 0)

    asyncio.run(main())


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
def test_one_that_gives_up_leaves_no_place_behind(after):
    """Whenever it is cancelled: waiting, at its turn, or running."""

    async def main():
        admission, go = Admission(1, 5), asyncio.Event()

        async def asking():
            async with admission.places(1):
                await go.wait()

        first, second, third = (asyncio.ensure_future(asking()) for _ in range(3))
        await turns()
        first.cancel()
        await turns(after)
        second.cancel()
        await turns()
        assert (admission.running, admission.waiting) == (1, 0)
        go.set()
        await third
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(main())


def test_the_wait_that_is_told_follows_how_long_places_are_held():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    async def main():
        clock = Clock()
        admission = Admission(1, 100, clock)
        for _ in range(11):
            async with admission.places(1):
                clock.now += 2.0
        clock.now += 1000.0  # nobody asks
        admission.waiting = 10
        assert admission.retry_after() == pytest.approx(10, abs=1)
        admission.waiting = 100
        assert admission.retry_after() == 60

    asyncio.run(main())
