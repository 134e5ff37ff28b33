"""`make wheels`: build sdist and wheel, install them outside the checkout with pip and uv, and try what they promise.

`--quick` is what CI runs: the wheel with pip, without extras and with `simulator`, the demo, and mypy on a user's file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from environments import ROOT, Environment, clean_environment, output_of

PACKAGE = "langchain_imagegen"
PROMISES = ROOT / "tools" / "promises.py"
DATA = ("py.typed", "web/gallery.css", "web/gallery.js", "web/ui.tsx")
"""What the wheel has besides modules."""

IN_SDIST = {PACKAGE, "examples", "docs", "README.md", "CHANGELOG.md", "LICENSE", "SECURITY.md"}
"""What the sdist has besides what the build writes."""


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def build(folder: Path, variables: Mapping[str, str]) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from the sdist; return both."""
    options = ("--installer", "uv", "--outdir", str(folder), str(ROOT))
    output_of(sys.executable, "-m", "build", *options, variables=variables, cwd=ROOT)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


def check_contents(sdist: Path, wheel: Path) -> None:
    """Raise `RuntimeError` if something is missing in the sdist or the wheel, or should not be in it."""
    listed = output_of("git", "ls-files", "-z", PACKAGE, variables=os.environ, cwd=ROOT)
    tracked = {name for name in listed.split("\0") if name}
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    info = {name for name in in_wheel if name.partition("/")[0].endswith(".dist-info")}
    with tarfile.open(sdist) as archive:
        in_sdist = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    written = {"PKG-INFO", "pyproject.toml", ".gitignore"}
    problems = [
        *(f"the wheel has {name}" for name in sorted(in_wheel - info - tracked)),
        *(f"the wheel lacks {name}" for name in sorted(tracked - in_wheel)),
        *(f"the wheel lacks {name}" for name in DATA if f"{PACKAGE}/{name}" not in in_wheel),
        *(f"the wheel lacks its {name}" for name in ("LICENSE",) if not any(each.endswith(name) for each in info)),
        *(
            f"the sdist has {name}"
            for name in sorted({each.partition("/")[0] for each in in_sdist} - IN_SDIST - written)
        ),
        *(f"the sdist lacks {name}" for name in sorted((tracked | {"LICENSE", "examples/demo.py"}) - in_sdist)),
    ]
    if problems:
        raise RuntimeError("\n".join(problems))
    others = sorted(name for name in in_wheel if not name.endswith(".py"))
    say(f"the wheel has {len(in_wheel) - len(others)} modules, {', '.join(others)}")
    say(f"the sdist has {', '.join(sorted({name.partition('/')[0] for name in in_sdist}))}")


@contextmanager
def simulated_service() -> Iterator[dict[str, str]]:
    """Start a simulated image service; give its address."""
    from langchain_imagegen.simulator import Simulator

    with Simulator() as simulator:
        yield {"service": simulator.base_url}


@contextmanager
def simulated_bucket() -> Iterator[dict[str, str]]:
    """Start an S3 server that has a bucket `pictures`; give its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    connection = HTTPConnection(host, port)
    connection.request("PUT", "/pictures")
    connection.getresponse()
    connection.close()
    yield {"s3": f"http://{host}:{port}"}
    server.stop()


def try_promises(environment: Environment, extras: Sequence[str], addresses: Mapping[str, str]) -> str:
    """Return which promises held in an environment, or raise `RuntimeError`."""
    profile = json.dumps({"extras": list(extras), **addresses})
    return environment.run("-I", str(PROMISES), profile).strip()


def draw_demo(environment: Environment, sdist: Path, folder: Path) -> str:
    """Run the demo of the sdist in a folder of its own; return how many pictures it saved."""
    folder.mkdir()
    with tarfile.open(sdist) as archive:
        member = next(each for each in archive.getmembers() if each.name.endswith("/examples/demo.py"))
        content = archive.extractfile(member)
        assert content is not None
        (folder / "demo.py").write_bytes(content.read())
    environment.run("-I", "demo.py", cwd=folder)
    saved = sorted(path.name for path in (folder / "demo").glob("*.png"))
    if saved != ["picture.png", "winter.png"]:
        raise RuntimeError(f"the demo saved {saved}")
    return " and ".join(saved)


def check_types(environment: Environment, folder: Path, checker: str) -> str:
    """Check a user's file against the installed package by the strict rules of mypy or pyright."""
    folder.mkdir()
    (folder / "user.py").write_bytes((ROOT / "tests" / "typing_api.py").read_bytes())
    if checker == "mypy":
        arguments = ("--strict", "--config-file=", "--python-executable", str(environment.python))
    else:
        arguments = ("--pythonpath", str(environment.python))
    said = output_of(sys.executable, "-m", checker, *arguments, "user.py", variables=environment.variables, cwd=folder)
    return said.strip().splitlines()[-1]


def row(name: str, pip: str, uv: str, held: str) -> str:
    """Return a line of the table."""
    return f"{name:<12} {pip:>8} {uv:>8}  {held}"


def all_extras() -> list[list[str]]:
    """Return what is installed in turn: nothing, each extra alone, and all of them together."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = list(tomllib.load(file)["project"]["optional-dependencies"])
    return [[], *([extra] for extra in extras), extras]


def try_extras(folder: Path, wheel: Path, variables: Mapping[str, str], chosen: Sequence[str]) -> list[str]:
    """Install each extra alone and all together, with pip and with uv; print a table, and return what failed."""
    say(row("extra", "pip", "uv", "what was tried"))
    failed = []
    with simulated_service() as service, simulated_bucket() as bucket:
        addresses = {**service, **bucket}
        for extras in all_extras():
            name = "none" if not extras else extras[0] if len(extras) == 1 else "together"
            if chosen and name not in chosen:
                continue
            cells, held = [], ""
            for installer in ("pip", "uv"):
                began = time.monotonic()
                try:
                    environment = Environment(folder / f"{installer}-{name}", installer, variables)
                    environment.install(f"{wheel}[{','.join(extras)}]" if extras else str(wheel))
                    took = f"{time.monotonic() - began:.0f} s"
                    held = try_promises(environment, extras, addresses)
                    cells.append(took)
                except RuntimeError as error:
                    cells.append("FAILED")
                    failed.append(f"{installer}, {name}: {error}")
            say(row(name, *cells, held))
    return failed


def quick(folder: Path, sdist: Path, wheel: Path, variables: Mapping[str, str]) -> None:
    """Try the wheel as CI does, on two cores; raise `RuntimeError` if a promise is broken."""

    def types() -> str:
        typed = Environment(folder / "typed", "uv", variables)
        typed.install(f"{wheel}[agents,simulator]")
        return check_types(typed, folder / "mypy", "mypy")

    with ThreadPoolExecutor() as pool, simulated_service() as addresses:
        checked = pool.submit(types)
        environment = Environment(folder / "plain", "pip", variables)
        environment.install(str(wheel))
        say(f"no extra: {try_promises(environment, [], addresses)}")
        environment.install(f"{wheel}[simulator]")
        say(f"simulator: {try_promises(environment, ['simulator'], addresses)}")
        say(f"demo: {draw_demo(environment, sdist, folder / 'demo')}")
        say(f"mypy: {checked.result()}")


def whole(folder: Path, sdist: Path, wheel: Path, variables: Mapping[str, str], chosen: Sequence[str]) -> None:
    """Try everything, or the chosen extras; raise `RuntimeError` if a promise is broken."""
    failed = try_extras(folder, wheel, variables, chosen)
    for kind, file in (("wheel", wheel), ("sdist", sdist)):
        environment = Environment(folder / f"from-{kind}", "pip", variables)
        environment.install(f"{file}[agents,simulator]")
        say(f"demo from the {kind}: {draw_demo(environment, sdist, folder / f'demo-{kind}')}")
        for checker in ("mypy", "pyright"):
            say(f"{checker} with the {kind}: {check_types(environment, folder / f'{checker}-{kind}', checker)}")
    if failed:
        raise RuntimeError("\n\n".join(failed))


def main() -> None:
    """Build, check, and exit with status 1 if something is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="what CI runs")
    parser.add_argument("extras", nargs="*", help="the rows of the table: none, an extra, or together (default: all)")
    chosen = parser.parse_args()
    variables = clean_environment()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        folder, began = Path(made), time.monotonic()
        try:
            sdist, wheel = build(folder / "dist", variables)
            say(f"{sdist.name}: {sdist.stat().st_size // 1000} KB; {wheel.name}: {wheel.stat().st_size // 1000} KB")
            check_contents(sdist, wheel)
            if chosen.quick:
                quick(folder, sdist, wheel, variables)
            else:
                whole(folder, sdist, wheel, variables, chosen.extras)
        except RuntimeError as error:
            say(f"\nBROKEN: {error}")
            sys.exit(1)
        say(f"The package is whole: {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
