"""An ASGI application on the timers of its loop: what test_asgi_timers.py asks."""
from __future__ import annotations

import asyncio
import contextvars
import json
import threading
import weakref

HANDLERS = {}
NAME = contextvars.ContextVar("NAME", default="nobody")


def handler(function):
    HANDLERS["/" + function.__name__] = function
    return function


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await asyncio.sleep(0.001)  # before the loop serves
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.sleep(0.001)  # and afterwards
        print("slept", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    value = await HANDLERS[scope["path"]](asyncio.get_running_loop())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


@handler
async def order(loop):
    """What is due first is called first, though all of it is within one millisecond; of what is due
    at once, what was asked for first."""
    told = []
    at = loop.time() + 0.05
    for number in (7, 3, 9, 1, 5, 1.5, 3):
        loop.call_at(at + number / 10000, told.append, number)
    last = loop.create_future()
    loop.call_at(at + 0.002, last.set_result, None)
    await last
    return told


@handler
async def never_early(loop):
    """By the loop's own clock."""
    early = []
    for delay in (0.0001, 0.0007, 0.0013, 0.0099, 0.01):
        began = loop.time()
        await asyncio.sleep(delay)
        if loop.time() < began + delay:
            early.append(delay)
    return early


@handler
async def handles(loop):
    told = []
    when = loop.time() + 0.01
    handle, late = loop.call_at(when, told.append, "called"), loop.call_later(60, told.append, "no")
    more = [loop.call_later(0.001 * n, told.append, n) for n in range(20)]
    for other in more[::2]:
        other.cancel()
        other.cancel()
    assert weakref.ref(handle)() is handle
    before = [handle.when() == when, late.cancelled(), more[0].cancelled(), more[1].cancelled()]
    await asyncio.sleep(0.05)
    late.cancel()
    handle.cancel()  # it was called
    return [told, before, late.cancelled()]


@handler
async def contexts(loop):
    NAME.set("asker")
    others = contextvars.Context()
    others.run(NAME.set, "other")
    told = []

    def tell():
        told.append(NAME.get())

    loop.call_later(0.001, tell)
    loop.call_later(0.002, tell, context=others)
    loop.call_later(0.003, tell, context=None)
    NAME.set("asker, later")
    await asyncio.sleep(0.01)
    return told


@handler
async def exceptions(loop):
    told = []
    loop.set_exception_handler(lambda loop, context: told.append(
        [repr(context["exception"]), context["message"].split(" <")[0], "handle" in context]))
    try:
        loop.call_later(0.001, int, "x")
        await asyncio.sleep(0.002)
    finally:
        loop.set_exception_handler(None)
    wrong = []
    for args in ((), (1,), ("1", print), (None, print)):
        try:
            loop.call_later(*args)
        except TypeError:
            wrong.append("TypeError")
    return [told, wrong]


@handler
async def cancels(loop):
    """A timeout, and a sleep that is cancelled when it is over already."""
    told = []
    try:
        await asyncio.wait_for(asyncio.sleep(60), 0.005)
    except asyncio.TimeoutError:
        told.append("timeout")

    async def sleep():
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    tasks = [asyncio.ensure_future(sleep()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return told


@handler
async def repeated(loop):
    """One that asks for itself again does not keep others waiting."""
    count = 0

    def again():
        nonlocal count
        count += 1
        if count < 1000:
            loop.call_later(0, again)

    again()
    await asyncio.sleep(0.001)
    within = count
    while count < 1000:
        await asyncio.sleep(0)
    return within <= 1000


@handler
async def threads(loop):
    """Not allowed, but it works elsewhere: other threads, of which the loop hears at its next turn."""
    told = []
    handle = loop.call_later(60, told.append, "no")

    def other():
        handle.cancel()
        loop.call_later(0.001, told.append, "other thread")
        loop.call_soon_threadsafe(lambda: None)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    while not told:
        await asyncio.sleep(0.001)
    return [told, handle.cancelled()]


@handler
async def many(loop):
    async def sleep(number):
        await asyncio.sleep(0.001 * (number % 7))
        return number

    return sum(await asyncio.gather(*(sleep(number) for number in range(2000))))
