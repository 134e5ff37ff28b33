"""`ImageGenerator(library=…)`: each picture that is drawn is found again, with its thread and tags."""

from __future__ import annotations

import pickle

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langchain_imagegen import ImageGenerationTool, ImageLibrary, ImageStore
from langchain_imagegen.errors import OptionError
from tests.broken_folders import replaced_by_a_file


@pytest.fixture
def library(image_store):
    """Return the library of the test's image store."""
    return ImageLibrary(image_store)


def test_each_way_of_drawing_is_noted(half, low, library):
    """Pictures of `invoke`, `batch` and `stream` are in the library, with the tags of the call."""
    draw = low(library=library)
    half.invoke(draw, "draw a fox", config={"tags": ["cover"]})
    half.batch(draw, ["draw an owl", "draw a bear"])
    half.stream(draw, "draw a hill")

    assert {image.prompt for image in library.find()} == {"draw a fox", "draw an owl", "draw a bear", "draw a hill"}
    assert [image.prompt for image in library.find(tag="cover")] == ["draw a fox"]


def test_tomorrow_opens_the_fox_of_yesterday(half, low, image_store, library):
    """A new generator with the same store finds an earlier picture and edits it."""
    fox = half.invoke(low(library=library), "draw a fox").image

    draw = low(library=ImageLibrary(image_store))
    found = draw.library.find("fox")[0]
    winter = half.invoke(draw, "make it winter", images=[found])
    assert winter.image.parents == (fox.id,)
    assert [image.handle for image in draw.library.latest()] == [winter.image.handle, fox.handle]


def test_a_chain_leaves_no_tag_of_its_own(half, low, library):
    """The tags that LangChain gives the steps of a chain are no tags of the picture."""
    chain = RunnableLambda(lambda text: f"draw {text}") | low(library=library)
    half.invoke(chain, "a fox", config={"tags": ["cover"]})

    assert library.entry(library.latest()[0]).tags == ("cover",)


def test_the_thread_of_a_graph_is_noted(half, low, library):
    """A picture that a tool draws in a graph has the graph's thread id; a step that is run again adds nothing."""
    tool = ImageGenerationTool(generator=low(library=library))
    call = {"name": tool.name, "args": {"prompt": "draw a fox"}, "id": "call_1", "type": "tool_call"}
    graph = StateGraph(MessagesState).add_node("tools", ToolNode([tool])).add_edge(START, "tools")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "thread-7"}}
    half.invoke(compiled, {"messages": [AIMessage("", tool_calls=[call], id="message_1")]}, config=config)

    assert [image.prompt for image in library.find(thread="thread-7")] == ["draw a fox"]
    assert library.find(thread="thread-8") == []


def test_a_library_that_cannot_be_written_loses_no_picture(half, low, library, tmp_path):
    """The result has its picture, and a warning that the library has not."""
    (tmp_path / "images" / "library").mkdir(parents=True)
    with replaced_by_a_file(tmp_path / "images" / "library"):
        result = half.invoke(low(library=library), "draw a fox")

    assert result.image.read()
    assert any("not in the library" in warning for warning in result.warnings)


def test_a_library_of_another_store_is_refused(low, image_store, tmp_path):
    """A library that would find pictures it cannot read is refused at once, and so is one of another scope."""
    for library in (ImageLibrary(tmp_path / "elsewhere"), ImageLibrary(image_store.scoped("tenant-7"))):
        with pytest.raises(OptionError, match="give both the same store"):
            low(library=library)
    assert not (tmp_path / "elsewhere").exists()

    same = ImageStore(str(tmp_path / "images"), fallback=tmp_path / "fallback")
    assert low(library=ImageLibrary(image_store), image_store=same).library is not None


def test_a_place_has_several_names(low, image_store, tmp_path):
    """A symbolic link and a slash at the end of a URL name the same place."""
    (tmp_path / "images").mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to("images")

    assert low(library=ImageLibrary(tmp_path / "link")).library is not None
    assert low(library=ImageLibrary("memory://kept"), image_store="memory://kept/").library is not None


def test_a_copy_with_another_store_draws_nothing(half, low, library, simulator, tmp_path):
    """A copy of a generator that names another store than its library is refused before anything is sent."""
    moved = low(library=library).model_copy(update={"image_store": ImageStore(tmp_path / "elsewhere")})

    with pytest.raises(OptionError, match="give both the same store"):
        half.invoke(moved, "draw a fox")
    assert simulator.requests == []


def test_without_a_library_nothing_is_noted(half, low, library):
    """The library is opt-in."""
    half.invoke(low(), "draw a fox")

    assert len(library) == 0


def test_a_generator_with_a_library_is_pickled(low, library):
    """A pickle keeps the library, with its tags and its place."""
    library = ImageLibrary(library.image_store, tags=["night"])
    copy = pickle.loads(pickle.dumps(low(library=library)))

    assert copy.library.tags == ("night",)
    assert copy.library.image_store == library.image_store
