"""The cost of a memory grows linearly with its images, counted as work, not time. What the channel accepts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.graph import START, StateGraph

from langchain_imagegen import GeneratedImage, ImageMemory, ImageResult, merge_images
from langchain_imagegen.conversation.channel import as_update
from langchain_imagegen.conversation.state import merge_writes
from tests.graphs import Gallery

FEW, MANY = 200, 1_000


def images(count: int) -> list[GeneratedImage]:
    """Return `count` images, each an edit of the one before."""
    known = {"size_bytes": 1, "mime_type": "image/png", "provider": "api.example"}
    return [GeneratedImage(id=f"ig_{n}", sha256=f"{n:064x}", parents=(f"ig_{n - 1}",), **known) for n in range(count)]


class CountingDict(dict[str, Any]):
    """A dict that counts every read of an entry, including reads while copying."""

    read = 0

    def __iter__(self) -> Iterator[str]:
        for key in super().__iter__():
            CountingDict.read += 1
            yield key

    def __getitem__(self, key: str) -> Any:
        CountingDict.read += 1
        return super().__getitem__(key)

    def keys(self) -> Any:
        """Return all keys and count each as a read."""
        return list(self)

    def values(self) -> Any:
        """Return all values and count each as a read."""
        return [self[key] for key in self]

    def items(self) -> Any:
        """Return all entries and count each as a read."""
        return [(key, self[key]) for key in self]


def count_work(function: Callable[[], object]) -> int:
    """Return the number of calls in the package, plus the entries they return, plus reads of a `CountingDict`."""
    work = CountingDict.read = 0

    def count(frame: Any, event: str, value: object) -> None:
        nonlocal work
        if event == "return" and "langchain_imagegen" in frame.f_code.co_filename:
            work += 1 + (len(value) if isinstance(value, (Mapping, list, tuple)) else 0)

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return work + CountingDict.read


def state(count: int) -> dict[str, Any]:
    """Return a state whose channel and messages both hold `count` images."""
    drawn = images(count)
    messages = [ToolMessage("x", tool_call_id=image.id, artifact={"images": [image.record()]}) for image in drawn]
    return {"generated_images": CountingDict(as_update(drawn)), "messages": messages}


def one_artifact(count: int) -> dict[str, Any]:
    """Return a state in which one message holds all images."""
    return {"messages": [ToolMessage("x", tool_call_id="a", artifact={"images": [i.record() for i in images(count)]})]}


STEPS: dict[str, tuple[Callable[[int], Any], Callable[[Any], object]]] = {
    "from_state": (state, ImageMemory.from_state),
    "from_state, channel alone": (state, lambda values: ImageMemory.from_state(values, trust="channel")),
    "one artifact": (one_artifact, ImageMemory.from_state),
    "as_update": (images, as_update),
    "add": (images, ImageMemory),
    "get": (
        lambda count: ImageMemory(images(count)),
        lambda memory: [memory.get(str(n)) for n in range(1, len(memory))],
    ),
    "lineage": (lambda count: ImageMemory(images(count)), lambda memory: memory.lineage("last")),
    "merge_images": (lambda count: as_update(images(count)), lambda records: merge_images(records, records)),
    "merge_writes": (
        lambda count: [as_update([image]) for image in images(count)],
        lambda updates: merge_writes({}, updates),
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_five_times_as_many_images_cost_five_times_as_much(step: str):
    """The work per image stays the same when the number of images grows from 200 to 1,000."""
    make, work = STEPS[step]
    few_images, many_images = make(FEW), make(MANY)

    few, many = count_work(lambda: work(few_images)), count_work(lambda: work(many_images))
    assert few >= FEW / 2
    assert many / few < 1.5 * MANY / FEW


# --- what a node may return


@pytest.mark.parametrize("wrap", [lambda i: ImageResult(images=tuple(i)), list, tuple, lambda i: [i[0].record(), i[1]]])
def test_a_node_returns_images_in_any_form(wrap: Any):
    """The channel accepts a result, one image, and lists of images or records as an update."""
    drawn = images(2)

    assert merge_images({}, wrap(drawn)) == merge_writes({}, [wrap(drawn)]) == as_update(drawn)
    assert merge_images({}, drawn[0]) == as_update(drawn[:1])


@pytest.mark.parametrize("update", ["ig_1", 5, ["ig_1"], [None]])
def test_update_without_images_is_refused(update: Any):
    """The channel refuses any other update with an error that says what it accepts."""
    with pytest.raises(TypeError, match="takes records by image id, an ImageResult"):
        merge_images({}, update)


def test_node_can_return_a_result(low: Any):
    """A node that returns `{"generated_images": result}` adds the picture to the channel."""
    draw = low()
    builder = StateGraph(Gallery)
    builder.add_node("draw", lambda values: {"generated_images": draw.invoke(values)})
    builder.add_edge(START, "draw")

    state = builder.compile().invoke({"messages": "draw a fox"})
    assert [image.prompt for image in ImageMemory.from_state(state)] == ["draw a fox"]


# --- a memory as a list and a dict


def test_a_memory_is_read_like_a_list_and_like_a_dict():
    """A memory takes positions, slices, handles and `last` in square brackets."""
    drawn = images(4)
    memory = ImageMemory(drawn)

    assert [memory[0], memory[-1], memory["last"], memory[drawn[1].handle]] == [drawn[0], drawn[3], drawn[3], drawn[1]]
    assert (memory[1:3], memory[-2:]) == (drawn[1:3], drawn[2:])
    with pytest.raises(IndexError):
        memory[4]


def test_a_result_stands_for_its_images():
    """A memory accepts a result wherever it accepts an image, and uses all of its images."""
    one, two, three = images(3)
    memory = ImageMemory([one, two, three])

    assert memory.get(ImageResult(images=(two,))) == two
    assert memory.lineage(ImageResult(images=(two,))) == [one, two]
    assert memory.children(ImageResult(images=(one, two))) == [two, three]
    assert memory.lineage(two.record()) == [one, two]
