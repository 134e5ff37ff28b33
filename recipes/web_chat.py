"""A chat with an artist: pictures sharpen in the page while they are drawn, and later messages edit them.

    python recipes/web_chat.py             # http://127.0.0.1:8000

Needs: pip install '.[agents,web,simulator]' langchain-openai
OpenAI draws if OPENAI_API_KEY is set, otherwise a simulator. `examples/chat` has versions, approval and branches too.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator

import uvicorn
from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Mount, Route

from langchain_imagegen import ImageGenerationMiddleware, ImageStore
from langchain_imagegen.simulator import start_without_key
from langchain_imagegen.web import UrlSigner, images_app

PAGE = """<!doctype html><meta charset="utf-8"><title>Artist</title>
<style>body{font:16px system-ui;max-width:40em;margin:2em auto}img{max-width:100%}b{display:block;margin:2em 0}</style>
<main></main><form><input name="text" size="60" placeholder="Draw …" autofocus required> <button>Send</button></form>
<script type="module">
const thread = crypto.randomUUID(), form = document.querySelector('form')
window.onunhandledrejection = failed => { add('p').textContent = `No answer: ${failed.reason}` }
const add = tag => document.querySelector('main').appendChild(document.createElement(tag))
form.onsubmit = async submitted => {
  submitted.preventDefault()
  const pictures = {}, body = form.elements.text.value
  let said, rest = ''
  add('b').textContent = body
  form.reset()
  const answer = await fetch(`/chat/${thread}`, {method: 'POST', body})
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\\n')
    rest = lines.pop()
    for (const event of lines.map(line => JSON.parse(line))) {
      if (event.url) Object.assign(pictures[event.handle] ??= add('img'), {src: event.url, alt: event.prompt ?? ''})
      if (event.text) (said ??= add('p')).append(event.text)
    }
  }
}
</script>"""

start_without_key(latency=2)
store = ImageStore(public_url="/images/{sha256}.{ext}", url_signer=UrlSigner(secrets.token_urlsafe(32)))
pictures = ImageGenerationMiddleware({"quality": "low"}, image_store=store, hosted=False, partials=2, trust="channel")
model = ChatOpenAI(model="gpt-5.4", use_responses_api=True)
agent = create_agent(model, middleware=[pictures], checkpointer=InMemorySaver())


async def events(thread: str, text: str) -> AsyncIterator[str]:
    """Yield what happens while the agent answers, a line of JSON each: the events of pictures, and its words."""
    config = {"configurable": {"thread_id": thread}}
    async for mode, chunk in agent.astream({"messages": text}, config, stream_mode=["custom", "messages"]):
        if mode == "custom":
            yield json.dumps(chunk) + "\n"
        elif isinstance(chunk[0], AIMessageChunk) and chunk[0].text:
            yield json.dumps({"text": chunk[0].text}) + "\n"


async def chat(request: Request) -> StreamingResponse:
    """Answer a message of a thread."""
    return StreamingResponse(events(request.path_params["thread"], (await request.body()).decode()))


show = Route("/", lambda _: HTMLResponse(PAGE))
app = Starlette(routes=[show, Route("/chat/{thread}", chat, methods=["POST"]), Mount("/images", images_app(store))])

if __name__ == "__main__":
    uvicorn.run(app)
