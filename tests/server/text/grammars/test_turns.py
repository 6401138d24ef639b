"""Callers take turns, whatever each of them asks, and whoever goes away."""

import asyncio

from dragoman.server.text.grammars.turns import Turns


def test_a_caller_that_asks_much_delays_another_by_one_turn():
    """Its others come behind that one's; each caller's own are in order."""

    async def run():
        turns, said = Turns(), []

        async def ask(caller, number):
            async with turns.of(caller):
                said.append((caller, number))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for n in range(4):
                group.create_task(ask("greedy", n))
            await asyncio.sleep(0)
            for caller in ("a", "b"):
                group.create_task(ask(caller, 0))
        return said

    said = asyncio.run(run())
    assert [each for each in said if each[0] == "greedy"] == [("greedy", n) for n in range(4)]
    assert {said.index(("a", 0)), said.index(("b", 0))} <= {1, 2, 3, 4}
    assert said[-1] == ("greedy", 3)


def test_who_goes_away_holds_nobody_up():
    """While it waits, in its turn, and at the moment that the turn comes."""

    async def run():
        turns = Turns()
        begun, said = asyncio.Event(), []

        async def hold():
            async with turns.of("a"):
                begun.set()
                await asyncio.sleep(3600)

        async def ask(name):
            async with turns.of(name):
                said.append(name)

        holder = asyncio.create_task(hold())
        await begun.wait()
        waits, leaves, last = (asyncio.create_task(ask(name)) for name in ("waits", "leaves", "last"))
        await asyncio.sleep(0)
        waits.cancel()
        await asyncio.sleep(0)
        holder.cancel()
        await asyncio.sleep(0)  # the turn has come to the second
        leaves.cancel()
        await asyncio.wait_for(last, 10)
        async with turns.of("again"):
            said.append("again")
        return said

    assert asyncio.run(run())[-2:] == ["last", "again"]
