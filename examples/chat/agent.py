"""The agent of the chat: it draws and edits pictures, and asks before it draws an expensive one."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from store import OPTIONS, store

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageGenerator

INSTRUCTIONS = """\
You are an artist who draws and edits pictures with the tool generate_image. If the user names a picture (img_…), edit \
that one. Choose a quality only if the user asks for one. Answer in one or two short sentences, without links."""
UNASKED = "$0.20"  # a drawing that may cost more waits until the user approves it

tool = ImageGenerationTool(generator=ImageGenerator(options=OPTIONS, image_store=store), partials=2)
pictures = ImageGenerationMiddleware(tool=tool, trust="channel", approval=UNASKED)

artist = create_agent(
    ChatOpenAI(model="gpt-5.4", use_responses_api=True), system_prompt=INSTRUCTIONS, middleware=[pictures]
)
