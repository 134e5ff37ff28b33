"""`python -m langchain_imagegen.simulator`: run the simulator on a fixed port, for any client."""

from __future__ import annotations

import argparse
import threading

from langchain_imagegen.simulator.simulator import Simulator


def main() -> None:
    """Parse the arguments and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m langchain_imagegen.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="port to listen on, 0 for a free one (default: 8080)")
    parser.add_argument(
        "--latency", type=float, default=0.0, help="seconds added to each request that makes pictures (default: 0)"
    )
    options = parser.parse_args()
    with Simulator(port=options.port, latency=options.latency) as simulator:
        print("A simulation of the image service: it draws placeholder pictures and calls no model.")
        print("To use it from a client, set")
        print(f"    export OPENAI_BASE_URL={simulator.base_url} OPENAI_API_KEY=sk-simulated")
        print("To stop it, press Ctrl-C.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
