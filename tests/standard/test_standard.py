"""LangChain's standard tests for tools, on `ImageGenerationTool` against the simulator.

There are none for runnables.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from langchain_imagegen import ImageGenerationTool, ImageGenerator
from langchain_imagegen.simulator import Simulator


class AtSimulator:
    """The tool, and what to call it with."""

    service: Simulator
    made: list[ImageGenerator]

    @pytest.fixture(autouse=True)
    async def _closed(self) -> AsyncIterator[None]:
        """Close the connections of a test's event loop, which nothing else can do once it is gone."""
        self.made = []
        yield
        for generator in self.made:
            await generator._transport.async_client.close()

    @property
    def tool_constructor(self) -> type[ImageGenerationTool] | ImageGenerationTool:
        """The tool's class."""
        return ImageGenerationTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        """A generator at the simulator."""
        return {"generator": self.generator}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        """What a model would ask for."""
        return {"prompt": "draw a fox", "size": "1024x1024"}

    @property
    def generator(self) -> ImageGenerator:
        """It draws what is quick to draw."""
        options = {"output_format": "jpeg", "quality": "low"}
        self.made.append(ImageGenerator(base_url=self.service.base_url, api_key="simulated", options=options))
        return self.made[-1]


@pytest.mark.usefixtures("service")
class TestTool(AtSimulator, ToolsUnitTests):
    """The tool before any call."""

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        """With key and address in the environment no generator is needed: one is made on first use."""
        environment = {"OPENAI_API_KEY": "simulated", "OPENAI_BASE_URL": self.service.base_url}
        return environment, {"exposed": ["size"]}, {"exposed": ("size",), "generator": None}

    def test_draws_from_env(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tool made from the environment draws where the environment says, with its key."""
        environment, params, _ = self.init_from_env_params
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        content = ImageGenerationTool(**params).invoke("draw a fox")
        assert json.loads(content)["images"]
        assert self.service.requests[-1].headers["authorization"] == "Bearer simulated"


@pytest.mark.usefixtures("service")
class TestCalls(AtSimulator, ToolsIntegrationTests):
    """The tool called with arguments and with a tool call, sync and async."""


@pytest.mark.usefixtures("service")
class TestCallsOfOneThatShows(AtSimulator, ToolsIntegrationTests):
    """The same for an instance whose content is blocks: text, and the picture for the model."""

    @property
    def tool_constructor(self) -> ImageGenerationTool:
        """An instance, which the standard takes too."""
        return ImageGenerationTool(generator=self.generator, show_to_model=True)

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        """None, for an instance."""
        return {}
