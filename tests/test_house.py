"""The habits of the house: rooms, sizes, names, thin twins, public names, and nothing committed that must not be."""

from __future__ import annotations

import ast
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

import langchain_imagegen

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "langchain_imagegen"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

# The rooms, floor by floor, the lowest first. A module imports from rooms on lower floors and from its own room.
FLOORS = """
errors
images  options
storage  api
streaming
conversation  http
drawing
agents
"""
FLOOR = {room: number for number, line in enumerate(FLOORS.strip().split("\n")) for room in line.split()}

HERE = "|".join(re.escape(str(path)) for path in (ROOT, Path.home()) if len(path.parts) > 1)
MACHINE = re.compile(
    rf"(?<![\w.:/-])({HERE}|/(home|Users)/[a-z]\w*|/opt)/[\w.]"
    r"|\bsk-(proj-)?[A-Za-z0-9_-]{24,}|\bAKIA[A-Z0-9]{16}|\bgh[pousr]_\w{30,}"
    r"|\b(10\.\d+\.\d+\.\d+|192\.168\.\d+\.\d+)\b|--(extra-)?index-url|\.(internal|corp|local)(/|:\d)"
)


def tracked() -> list[Path]:
    """The committed files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def dotted(path: Path) -> str:
    """A module's name within the package: `drawing.flows`, or `drawing` for a room itself."""
    return ".".join(part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__")


def imports_of(tree: ast.AST) -> set[str]:
    """The names within the package that a module imports, inside functions and for type checkers too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix(f"{PACKAGE.name}.") for name in found if name.startswith(f"{PACKAGE.name}.")}


IMPORTS = {dotted(path): imports_of(ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES}


def modules_imported_by(name: str) -> set[str]:
    """The modules of the package that a module imports."""
    prefixes = ({found, found.rpartition(".")[0]} for found in IMPORTS[name])
    return {module for found in prefixes for module in found if module in IMPORTS} - {""}


def room_of(name: str) -> str:
    """The room in which a module or name lives."""
    return name.partition(".")[0]


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods, nested ones too."""
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


ROOMED = [name for name in IMPORTS if name and room_of(name) not in ("simulator", "_moved")]


@pytest.mark.parametrize("name", ROOMED)
def test_no_import_upward(name: str):
    """Each module stands in a room of the table, and imports only from its own room and from lower floors."""
    room = room_of(name)
    assert room in FLOOR, f"give {room} its floor in FLOORS"

    others = {room_of(found) for found in IMPORTS[name]} - {room, "_moved"}
    assert not {other for other in others if FLOOR.get(other, len(FLOOR)) >= FLOOR[room]}


def test_no_circle():
    """No module imports itself by way of others, inside functions neither."""

    def reached(name: str, before: tuple[str, ...] = ()) -> None:
        assert name not in before, f"a circle: {' -> '.join((*before, name))}"
        if name not in seen:
            for other in sorted(modules_imported_by(name)):
                reached(other, (*before, name))
            seen.add(name)

    seen: set[str] = set()
    for name in ROOMED:
        reached(name)


def test_the_simulator_stands_alone():
    """The simulator imports nothing of the package, and nothing of the package imports it."""
    own = {name: found for name, found in IMPORTS.items() if room_of(name) == "simulator"}

    assert not {found for names in own.values() for found in names if room_of(found) != "simulator"}
    assert not {name for name in ROOMED for found in IMPORTS[name] if room_of(found) == "simulator"}


@pytest.mark.parametrize("room", sorted(room for room in FLOOR if room != "errors"))
def test_a_room_says_what_lives_in_it(room: str):
    """A room's `__init__` says what lives there and imports nothing, so that a module loads nothing beside itself."""
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))

    assert ast.get_docstring(tree)
    assert not [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_the_top_level_shows_the_rooms():
    """Beside the rooms, the top level of the package holds its public names and its errors alone."""
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "_moved.py", "errors.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_sizes(path):
    """No module is longer than 350 lines and no function longer than 50."""
    long = [f.name for f in functions(parsed(path)) if f.end_lineno - f.lineno >= 50]

    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, "cut it along a seam of its subject"
    assert not long


def test_names():
    """No module is a drawer for what belongs nowhere."""
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}

    assert not [path for path in (*MODULES, *TESTS) if drawers & {path.stem, *path.stem.split("_"), path.parent.name}]


OTHERS = {
    "aclosing": "closing",
    "aiter_bytes": "iter_bytes",
    "aiter_raw": "iter_raw",
    "aiter_stream": "iter_stream",
}  # twins of other libraries


class _Sync(ast.NodeTransformer):
    """An async function as its sync twin would be written."""

    def __init__(self, twins: dict[str, str]) -> None:
        self.twins = twins

    def visit_Await(self, node):
        return self.visit(node.value)

    def visit_AsyncFor(self, node):
        return self.visit(ast.For(node.target, node.iter, node.body, node.orelse, None))

    def visit_For(self, node):
        self.generic_visit(node)
        match node.body:
            case [ast.Expr(ast.Yield(ast.Name(id=name)))] if (
                isinstance(node.target, ast.Name) and name == node.target.id
            ):
                return ast.Expr(ast.YieldFrom(node.iter))
        return node

    def visit_AsyncWith(self, node):
        return self.visit(ast.With(node.items, node.body, None))

    def visit_comprehension(self, node):
        node.is_async = 0
        return self.generic_visit(node)

    def visit_Call(self, node):
        self.generic_visit(node)
        if ast.unparse(node.func).endswith(".to_thread"):
            node = ast.Call(node.args[0], node.args[1:], node.keywords)
        return node

    def visit_Attribute(self, node):
        self.generic_visit(node)
        node.attr = self._named(node.attr)
        return node

    def visit_Name(self, node):
        node.id = {"asyncio": "time"}.get(node.id) or self._named(node.id)
        return node

    def _named(self, name: str) -> str:
        return self.twins.get(name) or OTHERS.get(name, name.removeprefix("async_"))


def _twin(name: str) -> str | None:
    match = re.fullmatch(r"(_{0,2})a(\w+)", name)
    return match and match[1] + match[2]


def _body(function: ast.AST, twins: dict[str, str]) -> str:
    """What a function does, without its docstring, as if it were sync."""
    copy = ast.parse(ast.unparse(function)).body[0]
    copy.body = copy.body[1:] if ast.get_docstring(copy) else copy.body
    return "\n".join(ast.unparse(ast.fix_missing_locations(_Sync(twins).visit(said))) for said in copy.body)


def pairs() -> list[tuple[str, ast.FunctionDef, ast.AsyncFunctionDef, dict[str, str]]]:
    """Every async method with its sync twin."""
    owners = [(p, node) for p in MODULES for node in ast.walk(parsed(p)) if isinstance(node, ast.ClassDef)]
    names = {f.name for _, owner in owners for f in functions(owner)}
    twins = {name: twin for name in names if (twin := _twin(name)) in names}
    return [
        (f"{path.stem}.{owner.name}.{half.name}", methods[twins[half.name]], half, twins)
        for path, owner in owners
        for methods in [{f.name: f for f in owner.body if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef))}]
        for half in methods.values()
        if isinstance(half, ast.AsyncFunctionDef) and twins.get(half.name) in methods
    ]


PAIRS = pairs()


@pytest.mark.parametrize(("sync", "half", "twins"), [pair[1:] for pair in PAIRS], ids=[pair[0] for pair in PAIRS])
def test_thin_twins(sync, half, twins):
    """An async half says what its sync twin says but for `await`, or is too short to hold logic."""
    statements = [node for node in ast.walk(half) if isinstance(node, ast.stmt)]

    assert _body(half, twins) == _body(sync, twins) or len(statements) <= 8


def test_twins_are_compared():
    """The comparison above sees the twins that do the work, and would see them drift apart."""
    found = {name: (sync, half, twins) for name, sync, half, twins in PAIRS}
    sync, half, twins = found["runner.Runner.arun"]
    drifted = ast.parse(ast.unparse(half).replace("step.seconds", "2 * step.seconds")).body[0]

    assert "store.ImageStore.aput" in found
    assert _body(half, twins) == _body(sync, twins)
    assert _body(drifted, twins) != _body(sync, twins)


def test_public_names():
    """The package exports exactly these names, in order, and has each of them."""
    names = """AsyncImageTransport GeneratedImage ImageGenerationError ImageGenerationMiddleware ImageGenerationTool
    ImageGenerator ImageMemory ImageOptions ImageOutputParser ImageRequest ImageResult ImageState ImageStore
    ImageTransport ImageUsage PartialImage __version__ http_clients images_from merge_images retry_on"""

    assert langchain_imagegen.__all__ == names.split()
    assert all(hasattr(langchain_imagegen, name) for name in names.split())


def test_nothing_of_a_machine_is_committed():
    """No committed text names a path or host of a machine or holds a key."""
    texts = [path for path in tracked() if path.suffix not in {".png", ".jpg", ".webp", ".gif"}]
    found = {
        f"{path.relative_to(ROOT)}:{number}": match[0]
        for path in texts
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), 1)
        if (match := MACHINE.search(line))
    }

    assert not found


def test_no_large_file_is_committed():
    """No committed file is larger than 300 KB."""
    assert not [path for path in tracked() if path.stat().st_size > 300_000]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_every_test_states_its_promise(path):
    """Each test has a docstring, and none is defined twice in its file, which would hide the first."""
    tests = [function for function in functions(parsed(path)) if function.name.startswith("test")]
    owned = sorted(function.name for function in parsed(path).body if isinstance(function, ast.FunctionDef))

    assert not [function.name for function in tests if not ast.get_docstring(function)]
    assert not [first for first, second in pairwise(owned) if first == second]


def test_no_mocks():
    """Tests talk to the simulator or to a real server; nothing is mocked."""
    used = {path.name for path in TESTS for node in ast.walk(parsed(path)) if _imports_mock(node)}

    assert not used


def _imports_mock(node: ast.AST) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    return "mock" in (module, *names) or any(name.startswith(("unittest.mock", "respx")) for name in (module, *names))
