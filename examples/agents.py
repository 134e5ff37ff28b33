"""Agents for LangGraph's development server: run `langgraph dev` in this folder.

The server keeps threads, history and branches, so no agent has a checkpointer of its own. Its clients may write
messages: `trust="channel"` believes no picture that only a message names.
"""

from __future__ import annotations

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_openai import ChatOpenAI

from langchain_imagegen import ImageGenerationMiddleware, ImageGenerationTool, ImageGenerator, approval

model = ChatOpenAI(model="gpt-5.4", use_responses_api=True)
tool = ImageGenerationTool(generator=ImageGenerator(delivery="background"))
pictures = ImageGenerationMiddleware(tool=tool, hosted=False, partials=2, trust="channel")
hosted = ImageGenerationMiddleware(wire=True, partials=2, trust="channel")
review = HumanInTheLoopMiddleware(interrupt_on=approval(tool=tool))

artist = create_agent(model, middleware=[pictures])
supervised_artist = create_agent(model, middleware=[review, pictures])
hosted_artist = create_agent(model, middleware=[hosted])
