"""Pictures added to messages for the user, and taken out again for the chat model."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import get_buffer_string

from langchain_imagegen import GeneratedImage
from langchain_imagegen.conversation.display import (
    Link,
    links_in,
    with_fresh_links,
    with_pictures,
    without_pictures,
    without_pictures_in_text,
)

FORMS = ("markdown", "image_url", "image")
OWN = "Done. ![a map](https://maps.example.com/a.png)"
URL = "https://images.example.com/a.png"
CONTENTS = {
    "text": OWN,
    "nothing": "",
    "blocks": [{"type": "text", "text": OWN, "id": "msg_1"}, {"type": "image_generation_call", "id": "ig_1"}],
    "picture of its own": [{"type": "image_url", "image_url": {"url": URL}}],
}


def image(id: str = "ig_1", prompt: str = "draw a fox") -> GeneratedImage:
    """Return the record of a picture."""
    return GeneratedImage(id=id, sha256="a" * 64, size_bytes=1, mime_type="image/png", prompt=prompt)


def shown(content, form: str, *, prompt: str = "draw a fox", url: str = URL) -> AIMessage:
    """Return an answer of this content that shows one picture."""
    fox = image(prompt=prompt)
    return with_pictures(AIMessage(content), [(fox, Link.of(fox.handle, url, 2_000_000_000))], form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_exactly_what_was_added_is_taken_out(content, form):
    """An answer that showed a picture is afterwards what it was, with the pictures that the model itself wrote."""
    answer = shown(content, form)

    assert answer.content != content
    assert [link.url for link in links_in(answer)] == [URL]
    assert without_pictures(answer).content == content


@given(text=st.text(max_size=80), prompt=st.text(max_size=80), form=st.sampled_from(FORMS))
def test_any_text_and_prompt(text, prompt, form):
    """Whatever the model wrote and whatever the prompt says, taking the picture out gives the model's text again."""
    answer = shown(text, form, prompt=prompt)

    assert links_in(answer) == [Link(image().handle, URL, 2_000_000_000)]
    assert without_pictures(answer).content == text


@pytest.mark.parametrize("form", FORMS)
def test_a_front_end_that_keeps_nothing_but_content(form):
    """The picture is taken out though a front end sent the message back without ids and other facts."""
    sent_back = json.loads(json.dumps(shown("Done.", form).content))

    assert without_pictures(AIMessage(sent_back)).content == "Done."


@pytest.mark.parametrize(
    ("edited", "read"),
    [
        ("Look:\n![my fox]({}) nice!", "Look:  nice!"),
        ('Look: ![fox]({} "a title") here', "Look:  here"),
        ("Look: ![fox](<{}>)", "Look: "),
        ("Look at [it]({})", "Look at [it](img_…)"),
        ("<img src='{}'> {}", "<img src='img_…'> img_…"),
    ],
)
def test_text_that_a_front_end_edited(edited, read):
    """A picture that was moved, renamed or turned into a link leaves no address in what the model reads."""
    address = f"{URL}?sig=x#imagegen:{image().handle}@2000000000"
    message = without_pictures(AIMessage(edited.replace("{}", address)))

    assert URL not in message.content
    assert message.content.replace("\n", " ") == read.replace("img_…", image().handle)


def test_no_picture_twice():
    """A picture that an answer already shows is not added again."""
    once = shown("Done.", "markdown")

    assert with_pictures(once, [(image(), Link.of(image().handle, URL))], "markdown") == once


def test_what_a_user_pastes():
    """An address that a user copies from an answer names the picture, without a mark that the model could repeat."""
    fox = image().handle
    pasted = without_pictures(HumanMessage(f"edit {URL}#imagegen:{fox}@2000000000"))
    attached = without_pictures(HumanMessage([{"type": "image_url", "image_url": {"url": f"{URL}#imagegen:{fox}"}}]))

    assert pasted.content == f"edit {URL}#{fox}"
    assert attached.content[0] == {"type": "image_url", "image_url": {"url": URL}}


@pytest.mark.parametrize("form", FORMS)
def test_what_a_sub_agent_answers(form):
    """A tool's message that holds an answer with a picture names the picture by handle."""
    answer = shown("Here it is.", form).content
    read = without_pictures(ToolMessage(answer, tool_call_id="a"))

    assert URL not in str(read.content)
    assert read.text.replace("\n", " ") == f"Here it is. ({image().handle})" or read.text == (
        f"Here it is.({image().handle})"
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("style", ["prefix", "xml"])
def test_a_conversation_as_text(form, style):
    """The text of a conversation, as a summary is made from it, holds no picture after they are taken out."""
    messages = [HumanMessage("draw <a fox> & ![x](https://x.example.com)"), AIMessage("Done.")]
    text = get_buffer_string([messages[0], shown("Done.", form, url=f"{URL}?a=1&b=2")], format=style)

    assert "#imagegen:" in text or (form, style) in {("image", "prefix"), ("image_url", "prefix")}
    assert "images.example.com" not in without_pictures_in_text(text)
    assert without_pictures_in_text(text).split() == get_buffer_string(messages, format=style).split()


@pytest.mark.parametrize("form", FORMS)
def test_fresh_links(form):
    """A link is replaced where it stands, and a picture that is gone is taken out."""
    answer = shown("Done.", form)
    moved = with_fresh_links(answer, lambda link: Link.of(link.handle, "https://new.example.com/a.png"))

    assert links_in(moved) == [Link(image().handle, "https://new.example.com/a.png")]
    assert without_pictures(moved).content == "Done."
    assert links_in(with_fresh_links(answer, lambda _: None)) == []
    assert with_fresh_links(answer, lambda link: link) is answer


def test_a_long_text_is_read_in_no_time():
    """A text of a megabyte without a space, and one of half-open pictures, are read in linear time."""
    for text in ("a" * 1_000_000, "![" * 300_000, "![a](" * 200_000, "<image " * 150_000):
        assert (
            f"#imagegen:{image().handle}" not in without_pictures(AIMessage(f"{text}#imagegen:{image().handle}")).text
        )
