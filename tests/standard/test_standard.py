"""LangChain's standard tests for tools, run on `ImageGenerationTool` against the simulator.

LangChain has no standard tests for runnables.
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


class ToolAtSimulator:
    """The tool and its example arguments."""

    service: Simulator
    generators: list[ImageGenerator]

    @pytest.fixture(autouse=True)
    async def _close(self) -> AsyncIterator[None]:
        """Close the connections that belong to the test's event loop; no other loop can close them."""
        self.generators = []
        yield
        for generator in self.generators:
            await generator._transport.async_client.close()

    @property
    def tool_constructor(self) -> type[ImageGenerationTool] | ImageGenerationTool:
        """Return the tool's class."""
        return ImageGenerationTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        """Return a generator that talks to the simulator."""
        return {"generator": self.generator}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        """Return arguments as a chat model gives them."""
        return {"prompt": "draw a fox", "size": "1024x1024"}

    @property
    def generator(self) -> ImageGenerator:
        """Return a generator of low-quality pictures, which are quick to draw."""
        options = {"output_format": "jpeg", "quality": "low"}
        self.generators.append(ImageGenerator(base_url=self.service.base_url, api_key="simulated", options=options))
        return self.generators[-1]


@pytest.mark.usefixtures("service")
class TestTool(ToolAtSimulator, ToolsUnitTests):
    """The unit tests of the tool's class."""

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        """Return environment, arguments and attributes of a tool without a generator; its first call makes one."""
        environment = {"OPENAI_API_KEY": "simulated", "OPENAI_BASE_URL": self.service.base_url}
        return environment, {"exposed": ["size"]}, {"exposed": ("size",), "generator": None}

    def test_draws_from_env(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tool without a generator draws with the key and the address of the environment."""
        environment, params, _ = self.init_from_env_params
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        content = ImageGenerationTool(**params).invoke("draw a fox")
        assert json.loads(content)["images"]
        assert self.service.requests[-1].headers["authorization"] == "Bearer simulated"


@pytest.mark.usefixtures("service")
class TestCalls(ToolAtSimulator, ToolsIntegrationTests):
    """The integration tests of the tool's class: calls with arguments and with a tool call, sync and async."""


@pytest.mark.usefixtures("service")
class TestCallsThatShowThePicture(ToolAtSimulator, ToolsIntegrationTests):
    """The integration tests of a tool that shows the picture to the model, so that its content is a list of blocks."""

    @property
    def tool_constructor(self) -> ImageGenerationTool:
        """Return a tool, which the standard tests accept in place of a class."""
        return ImageGenerationTool(generator=self.generator, show_to_model=True)

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        """Return no arguments, since the tool is already made."""
        return {}
