"""`python -m langchain_imagegen.simulator`: the simulator on a fixed port, for any client."""

from __future__ import annotations

import argparse
import threading

from langchain_imagegen.simulator.simulator import Simulator


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m langchain_imagegen.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds spent before each picture")
    options = parser.parse_args()
    with Simulator(port=options.port, latency=options.latency) as simulator:
        print("A simulation of the image service: it draws placeholder pictures and calls no model.")
        print("Point a client at it with")
        print(f"    export OPENAI_BASE_URL={simulator.base_url} OPENAI_API_KEY=sk-simulated")
        print("and end it with Ctrl-C.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
