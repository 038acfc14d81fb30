"""Large messages have their turns, and small ones need none."""

from __future__ import annotations

import asyncio

from pusher.rest.turns import Turns

_LARGE = b"x" * (16 << 10)


def test_large_messages_come_in_order_and_small_ones_between() -> None:
    seen: list[str] = []

    async def work() -> None:
        turns = Turns(1)
        hold = asyncio.Event()

        async def one(name: str, body: bytes) -> None:
            async with turns.turn(body):
                seen.append(name)
                await hold.wait()

        tasks = [asyncio.create_task(one("first", _LARGE))]
        await asyncio.sleep(0)
        assert not turns.crowded  # it waits for nobody
        tasks += [asyncio.create_task(one(name, _LARGE)) for name in ("gone", "second", "third")]
        tasks.append(asyncio.create_task(one("small", b"x")))
        await asyncio.sleep(0)
        assert turns.crowded and seen == ["first", "small"]
        tasks[1].cancel()  # who asked does not wait for the answer
        hold.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not turns.crowded

    asyncio.run(asyncio.wait_for(work(), 10))
    assert seen == ["first", "small", "second", "third"]
