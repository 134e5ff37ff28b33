"""A caller who is cancelled, interrupted or closes a stream stops waiting; the call it paid for goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from traceback import walk_stack

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter
from langchain_core.runnables import RunnableLambda

from langchain_imagegen import ImageMemory, ImageStore, PartialImage
from langchain_imagegen.drawing.batches import THREAD as BATCH
from langchain_imagegen.drawing.calls import THREAD
from langchain_imagegen.experiments import Experiment
from langchain_imagegen.simulator import Simulator, rate_limited

SMALL = {"size": "816x816", "quality": "low"}
LATENCY = 0.5


@pytest.fixture
def slow_simulator():
    """Return a simulator that takes half a second for a picture."""
    with Simulator(latency=LATENCY) as simulator:
        yield simulator


@pytest.fixture
def memory():
    """Return an empty memory."""
    return ImageMemory()


@pytest.fixture
def drawing(generator, slow_simulator, memory):
    """Return a generator of pictures that take half a second."""
    return generator(base_url=slow_simulator.base_url, options=SMALL | {"partial_images": 1}, memory=memory)


def wait_for(condition, seconds=30):
    """Wait until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_kept(memory, prompt):
    """Return True if the memory has one unclaimed result, of this prompt, whose picture can be read."""
    (result,) = memory.unclaimed()
    return result.image.prompt == prompt and bool(result.image.read())


# --- in an event loop


def test_a_timeout_of_the_caller(drawing, memory, slow_simulator):
    """A caller that stops waiting is free at once; `aclose` waits for the picture, which is kept apart."""

    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drawing.ainvoke("draw a fox"), 0.1)
        waited = time.monotonic()
        await drawing.aclose()
        return time.monotonic() - waited

    assert asyncio.run(give_up()) > 0.1
    assert is_kept(memory, "draw a fox")
    assert len(memory) == 0
    assert slow_simulator.pictures == 1


def test_a_failing_sibling(drawing, memory):
    """A sibling's error in a `TaskGroup` cancels the caller, and the picture still arrives."""

    async def fail():
        await asyncio.sleep(0.1)
        raise ValueError("a sibling failed")

    async def draw_beside_it():
        async with asyncio.TaskGroup() as group:
            group.create_task(drawing.ainvoke("draw a fox"))
            group.create_task(fail())

    async def draw_and_close():
        with pytest.raises(ExceptionGroup):
            await draw_beside_it()
        await drawing.aclose()

    asyncio.run(draw_and_close())
    assert is_kept(memory, "draw a fox")


def test_an_async_stream_that_is_closed(drawing, memory):
    """A consumer that leaves after a partial picture does not stop the drawing."""

    async def leave_early():
        async for piece in drawing.astream("draw a fox"):
            assert isinstance(piece, PartialImage)
            break
        await drawing.aclose()

    asyncio.run(leave_early())
    assert is_kept(memory, "draw a fox")


def test_the_end_of_the_event_loop(generator, caplog):
    """Without `aclose`, what the end of the event loop stops is named in the log with its response id."""

    async def give_up(drawing, simulator):
        task = asyncio.create_task(drawing.ainvoke("draw a fox"))
        await asyncio.to_thread(wait_for, lambda: simulator.requests)
        await asyncio.sleep(0.5)  # the first event, with the id, arrives
        task.cancel()
        await asyncio.wait([task])

    with Simulator(latency=10) as simulator, caplog.at_level(logging.WARNING, "langchain_imagegen"):
        drawing = generator(base_url=simulator.base_url, options=SMALL, delivery="stream")
        asyncio.run(give_up(drawing, simulator))
    assert "abandoned before it was finished: the picture of 'draw a fox'" in caplog.text
    assert "draw.resume('resp_" in caplog.text


def test_claiming_a_picture(drawing, memory):
    """A picture that is added to the memory is claimed, and can be edited like any other."""

    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drawing.ainvoke("draw a fox"), 0.1)
        await drawing.aclose()

    asyncio.run(give_up())
    memory.add(*memory.unclaimed())
    assert memory.unclaimed() == []
    assert drawing.invoke("make it winter", images=["last"]).image.parents == (memory[0].id,)


def test_an_unclaimed_picture_that_no_store_takes(generator, slow_simulator, memory, tmp_path):
    """Even a picture that cannot be stored is kept for a caller who has gone, with its bytes in memory."""
    store = ImageStore(tmp_path / "store")
    drawing = generator(base_url=slow_simulator.base_url, options=SMALL, memory=memory, image_store=store)

    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drawing.ainvoke("draw a fox"), 0.1)
        (tmp_path / "store").rename(tmp_path / "gone")
        (tmp_path / "store").write_text("a file in place of the folder")
        await drawing.aclose()

    asyncio.run(give_up())
    assert is_kept(memory, "draw a fox")


# --- before anything was sent


def slow_limiter():
    """Return a limiter that gives its first permission after half a minute."""
    return InMemoryRateLimiter(requests_per_second=1 / 30, check_every_n_seconds=0.05)


class Gate(BaseRateLimiter):
    """A limiter that permits every request once it is opened."""

    def __init__(self):
        self.opened = threading.Event()

    def acquire(self, *, blocking=True):
        """Wait until it is opened."""
        return self.opened.wait(30 if blocking else 0)

    async def aacquire(self, *, blocking=True):
        """Async twin of `acquire`."""
        return await asyncio.to_thread(self.acquire, blocking=blocking)


def interrupt_when(condition):
    """Send this process Ctrl-C as soon as the condition holds."""

    def wait_and_send():
        wait_for(condition)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait_and_send).start()


def is_running(name=THREAD):
    """Return True while a thread of a call, or of this name, runs."""
    return any(thread.name == name for thread in threading.enumerate())


async def leave_when(condition, drawing, **fields):
    """Cancel a call when the condition holds, and return how long `aclose` then takes."""
    task = asyncio.create_task(drawing.ainvoke("draw a fox", **fields))
    await asyncio.to_thread(wait_for, condition)
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait([task])
    began = time.monotonic()
    await drawing.aclose()
    return time.monotonic() - began


def test_a_caller_who_leaves_while_the_rate_limiter_waits(generator, simulator):
    """A cancelled call that has no permission yet is never sent, and `aclose` does not wait for the limiter."""
    drawing = generator(rate_limiter=slow_limiter())

    assert asyncio.run(leave_when(lambda: True, drawing)) < 10
    assert simulator.requests == []


def test_a_caller_who_leaves_before_a_retry(generator, simulator):
    """A cancelled call that waits to repeat a rejected request is not sent again."""
    simulator.script(rate_limited(30))

    assert asyncio.run(leave_when(lambda: simulator.requests, generator())) < 10
    assert len(simulator.requests) == 1
    assert simulator.pictures == 0


def test_a_caller_who_leaves_before_the_call_begins(generator, simulator):
    """A call whose caller is cancelled before its task has run sends nothing."""
    drawing = generator()
    drawing.chosen_store.check_writable()

    async def leave_at_once():
        task = asyncio.create_task(drawing.ainvoke("draw a fox"))
        while len(asyncio.all_tasks()) < 3:  # noqa: ASYNC110 - this one, the caller's and the call's
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await drawing.aclose()

    asyncio.run(leave_at_once())
    assert simulator.requests == []


def test_a_call_that_was_not_sent_is_free_in_the_ledger(generator, simulator):
    """A named call that was cancelled before it was sent can be made again at once, and buys its picture."""
    simulator.script(rate_limited(30))
    drawing = generator()
    asyncio.run(leave_when(lambda: simulator.requests, drawing, once="poster"))

    assert drawing.invoke("draw a fox", once="poster").from_ledger is False
    assert simulator.pictures == 1


def test_a_caller_who_leaves_while_another_buys(generator, slow_simulator):
    """Of two equal calls the one that waits for the other's picture ends at once when it is cancelled."""
    drawing = generator(base_url=slow_simulator.base_url, options=SMALL)

    async def leave_the_second():
        first = asyncio.create_task(drawing.ainvoke("draw a fox", once="poster"))
        await asyncio.to_thread(wait_for, lambda: slow_simulator.requests)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drawing.ainvoke("draw a fox", once="poster"), 0.1)
        return await first

    assert asyncio.run(leave_the_second()).from_ledger is False
    assert slow_simulator.pictures == 1


def test_ctrl_c_before_a_retry(generator, simulator, interruptible):
    """After Ctrl-C a rejected request is not repeated, and the thread of the call ends at once."""
    simulator.script(rate_limited(30))
    interrupt_when(lambda: simulator.requests)

    with pytest.raises(KeyboardInterrupt):
        generator().invoke("draw a fox")
    wait_for(lambda: not is_running())
    assert len(simulator.requests) == 1


def test_ctrl_c_while_the_rate_limiter_waits(generator, simulator, interruptible):
    """After Ctrl-C a call that gets its permission later is not sent."""
    limiter = Gate()
    interrupt_when(is_running)

    with pytest.raises(KeyboardInterrupt):
        generator(rate_limiter=limiter).invoke("draw a fox")
    limiter.opened.set()
    wait_for(lambda: not is_running())
    assert simulator.requests == []


# --- in threads


def test_a_sync_stream_that_is_closed(drawing, memory):
    """A consumer that leaves a stream in a thread does not stop the drawing either."""
    for piece in drawing.stream("draw a fox"):
        assert isinstance(piece, PartialImage)
        break

    wait_for(memory.unclaimed)
    assert is_kept(memory, "draw a fox")


class FrameKeeper(BaseCallbackHandler):
    """Keeps the frames in which a run ends, as a debugger or a report of an error does."""

    def on_chain_end(self, *args, **fields):
        """Keep them."""
        self.frame = sys._getframe()


def test_a_closed_stream_whose_frames_are_kept(drawing, memory):
    """The stream is over for the drawing although something still refers to LangChain's part of it."""
    keeper = FrameKeeper()
    for _ in drawing.stream("draw a fox", {"callbacks": [keeper]}):
        break

    wait_for(memory.unclaimed)
    assert is_kept(memory, "draw a fox")
    assert any(frame.f_code.co_name == "_transform_stream_with_config" for frame, _ in walk_stack(keeper.frame))


def test_aclose_waits_for_a_sync_stream_that_was_closed(drawing, memory):
    """`aclose` waits for what a caller in a thread has left, too, and does not block the event loop meanwhile."""

    async def close_it():
        stream = drawing.stream("draw a fox")
        assert isinstance(await asyncio.to_thread(next, stream), PartialImage)
        stream.close()
        closing, beats = asyncio.ensure_future(drawing.aclose()), 0
        while not closing.done():
            await asyncio.sleep(0.01)
            beats += 1
        return beats

    assert asyncio.run(close_it()) > 3
    assert drawing.under_way == ()
    assert is_kept(memory, "draw a fox")


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("stream = draw.stream('draw a fox', partial_images=1); next(stream)", id="a stream left unread"),
        pytest.param("start(lambda: draw.invoke('draw a fox'))", id="a thread"),
        pytest.param("start(lambda: asyncio.run(draw.ainvoke('draw a fox')))", id="an event loop in a thread"),
    ],
)
def test_the_end_of_a_process_names_every_call(call, tmp_path):
    """At the exit the log names what is still under way, whoever waits for it."""
    program = textwrap.dedent("""
        import asyncio, sys, threading, time
        from langchain_imagegen import ImageGenerator

        def start(function):
            threading.Thread(target=function, daemon=True).start()

        draw = ImageGenerator(base_url=sys.argv[1], api_key="simulated", image_store=sys.argv[2], delivery="stream")
        exec(sys.argv[3])
        while not (draw.under_way and draw.under_way[0].response_id):
            time.sleep(0.01)
    """)
    with Simulator(latency=3) as simulator:
        arguments = [program, simulator.base_url, str(tmp_path / "images"), call]
        ended = subprocess.run(
            [sys.executable, "-c", *arguments], capture_output=True, text=True, check=True, timeout=60
        )

    assert "still under way: the picture of 'draw a fox', response 'resp_" in ended.stderr


def test_ctrl_c(drawing, memory, interruptible):
    """Ctrl-C ends `invoke` at once, and the picture is in `memory.unclaimed()` when it is finished."""
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()

    with pytest.raises(KeyboardInterrupt):
        drawing.invoke("draw a fox")
    assert time.monotonic() - began < LATENCY
    wait_for(memory.unclaimed)
    assert is_kept(memory, "draw a fox")


@pytest.mark.parametrize("how", ["batch", "batch_as_completed"])
def test_ctrl_c_in_a_batch(how, drawing, memory, slow_simulator, interruptible):
    """Ctrl-C ends a batch at once: what was sent is kept in the memory, and nothing more is sent."""
    interrupt_when(lambda: slow_simulator.requests)
    prompts = ["draw a fox", "draw an owl", "draw a cat", "draw a dog"]

    with pytest.raises(KeyboardInterrupt):
        list(getattr(drawing, how)(prompts, {"max_concurrency": 2}))
    assert len(memory) < 2
    wait_for(lambda: len(memory) == 2)
    wait_for(lambda: not is_running(BATCH))
    assert len(slow_simulator.requests) == slow_simulator.pictures == 2


@pytest.mark.parametrize("step", ["retried", "piped"])
def test_ctrl_c_in_the_batch_of_a_chain(step, drawing, memory, slow_simulator, interruptible):
    """A chain draws its batch step by step, so that Ctrl-C ends it at once too."""
    chain = drawing.with_retry() if step == "retried" else RunnableLambda(str.lower) | drawing | str
    interrupt_when(lambda: slow_simulator.requests)

    with pytest.raises(KeyboardInterrupt):
        chain.batch(["draw a fox", "draw an owl", "draw a cat"], {"max_concurrency": 2})
    assert len(memory) < 2
    wait_for(lambda: not is_running(BATCH))
    assert len(slow_simulator.requests) == len(memory) == 2


def test_ctrl_c_in_a_batch_before_retries(generator, simulator, interruptible):
    """After Ctrl-C no rejected request of a batch is repeated, and their threads end at once."""
    simulator.script(rate_limited(30), rate_limited(30))
    interrupt_when(lambda: len(simulator.requests) == 2)

    with pytest.raises(KeyboardInterrupt):
        generator().batch(["draw a fox", "draw an owl", "draw a cat"], {"max_concurrency": 2})
    wait_for(lambda: not is_running(BATCH))
    assert len(simulator.requests) == 2


def test_ctrl_c_in_a_batch_while_the_rate_limiter_waits(generator, simulator, interruptible):
    """After Ctrl-C no call of a batch that gets its permission later is sent."""
    limiter = Gate()
    interrupt_when(lambda: is_running(BATCH))

    with pytest.raises(KeyboardInterrupt):
        generator(rate_limiter=limiter).batch(["draw a fox", "draw an owl", "draw a cat"], {"max_concurrency": 2})
    limiter.opened.set()
    wait_for(lambda: not is_running(BATCH))
    assert simulator.requests == []


def test_ctrl_c_in_an_experiment(drawing, slow_simulator, interruptible):
    """Ctrl-C ends an experiment at once and nothing more is sent; the next run finds what was sent in the ledger."""
    interrupt_when(lambda: len(slow_simulator.requests) == 2)
    plan = Experiment("animals", prompts=["draw a fox", "draw an owl", "draw a cat", "draw a dog"])

    with pytest.raises(KeyboardInterrupt):
        plan.run(drawing, max_concurrency=2, progress=False)
    assert slow_simulator.pictures < 2 or is_running(BATCH)
    wait_for(lambda: not is_running(BATCH))
    assert slow_simulator.pictures == 2
    sheet = plan.run(drawing, progress=False)
    assert slow_simulator.pictures == len(sheet.images()) == 4
    assert sorted(cell.result.from_ledger for cell in sheet) == [False, False, True, True]


def test_close_names_what_goes_on(drawing, memory, caplog):
    """`close` does not wait after Ctrl-C, and logs which picture is still under way."""
    next(iter(drawing.stream("draw a fox")))

    with caplog.at_level(logging.WARNING, "langchain_imagegen"):
        drawing.close()
    assert "still under way: the picture of 'draw a fox', response 'resp_" in caplog.text
    wait_for(memory.unclaimed)


def test_exit_names_what_goes_on(tmp_path, interruptible):
    """A process that ends after Ctrl-C names the picture that was under way, and ends at once."""
    script = """
        import sys
        from langchain_imagegen import ImageGenerator

        draw = ImageGenerator(base_url=sys.argv[1], api_key="simulated")
        try:
            draw.invoke("draw a fox")
        except KeyboardInterrupt:
            print("interrupted")
    """
    with Simulator(latency=60) as simulator:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), simulator.base_url],
            env={**os.environ, "LANGCHAIN_IMAGEGEN_STORE": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: simulator.requests, seconds=60)
        process.send_signal(signal.SIGINT)
        printed, logged = process.communicate(timeout=20)

    assert printed == "interrupted\n"
    assert "still under way: the picture of 'draw a fox'" in logged
    assert "Traceback" not in logged
