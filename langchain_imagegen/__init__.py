"""OpenAI's hosted image generation for LangChain and LangGraph."""

__version__ = "0.1.0"
