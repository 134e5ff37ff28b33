"""`imagegen simulate`: the simulated image service on a port of this machine."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Annotated

import typer

from langchain_imagegen.cli.output import Output
from langchain_imagegen.cli.simulation import SIMULATED_KEY

Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]
Latency = Annotated[float, typer.Option(help="Seconds added to each request that draws.", min=0)]
Seed = Annotated[int | None, typer.Option(help="Give the same ids in each run; by default they differ.")]


def simulate(*, port: Port = 8080, latency: Latency = 0.0, seed: Seed = None, output: Output) -> None:
    """Run a simulated image service, to try everything offline.

    It speaks the wire protocol of OpenAI's image generation on 127.0.0.1, draws placeholder pictures and calls no
    model. It prints the two variables that send any client to it. Ctrl-C stops it.
    """
    from langchain_imagegen.simulator import Simulator

    simulator = Simulator(port=port, latency=latency, seed=seed)
    try:
        simulator.start()
    except OSError as error:
        raise typer.BadParameter(f"port {port} cannot be used: {error.strerror}", param_hint="--port") from error
    try:
        output.give({"simulated": True, "base_url": simulator.base_url, "api_key": SIMULATED_KEY})
        output.say("A simulation of the image service: it draws placeholder pictures and calls no model.")
        output.say("To use it, here or in any client, set")
        output.say(f"    export OPENAI_BASE_URL={simulator.base_url} OPENAI_API_KEY={SIMULATED_KEY}")
        output.say("To stop it, press Ctrl-C.")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    finally:
        simulator.stop()
