"""The rules of the code base: rooms, sizes, names, thin twins, public names, and what must not be committed."""

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
agents  experiments  web
cli
"""
FLOOR = {room: number for number, line in enumerate(FLOORS.strip().split("\n")) for room in line.split()}

HERE = "|".join(re.escape(str(path)) for path in (ROOT, Path.home()) if len(path.parts) > 1)
MACHINE = re.compile(
    rf"(?<![\w.:/-])({HERE}|/(home|Users)/[a-z]\w*|/opt)/[\w.]"
    r"|\bsk-(proj-)?[A-Za-z0-9_-]{24,}|\bAKIA[A-Z0-9]{16}|\bgh[pousr]_\w{30,}"
    r"|\b(10\.\d+\.\d+\.\d+|192\.168\.\d+\.\d+)\b|--(extra-)?index-url|\.(internal|corp|local)(/|:\d)"
)


def tracked() -> list[Path]:
    """Return the committed files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def dotted(path: Path) -> str:
    """Return a module's name within the package, such as `drawing.flows`, or `drawing` for a room's `__init__`."""
    return ".".join(part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__")


def imports_of(tree: ast.AST) -> set[str]:
    """Return the names of the package that a module imports, including imports in functions and for type checkers."""
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
    """Return the modules of the package that a module imports."""
    prefixes = ({found, found.rpartition(".")[0]} for found in IMPORTS[name])
    return {module for found in prefixes for module in found if module in IMPORTS} - {""}


def room_of(name: str) -> str:
    """Return the room of a module or name."""
    return name.partition(".")[0]


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return all functions and methods, including nested ones."""
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


MODULES_IN_ROOMS = [name for name in IMPORTS if name and room_of(name) not in ("simulator", "_moved")]


@pytest.mark.parametrize("name", MODULES_IN_ROOMS)
def test_no_import_upward(name: str):
    """Each module is in a room of the table, and imports only from its own room and from lower floors."""
    room = room_of(name)
    assert room in FLOOR, f"give {room} its floor in FLOORS"

    others = {room_of(found) for found in IMPORTS[name]} - {room, "_moved", *({"simulator"} if room == "cli" else ())}
    assert not {other for other in others if FLOOR.get(other, len(FLOOR)) >= FLOOR[room]}


def test_no_import_cycle():
    """No module imports itself through others, not even inside functions."""

    def visit(name: str, before: tuple[str, ...] = ()) -> None:
        assert name not in before, f"a cycle: {' -> '.join((*before, name))}"
        if name not in seen:
            for other in sorted(modules_imported_by(name) & {*MODULES_IN_ROOMS}):
                visit(other, (*before, name))
            seen.add(name)

    seen: set[str] = set()
    for name in MODULES_IN_ROOMS:
        visit(name)


def test_the_simulator_is_independent():
    """The simulator imports nothing of the package, and only the command line imports it, to start it."""
    own = {name: found for name, found in IMPORTS.items() if room_of(name) == "simulator"}

    assert not {found for names in own.values() for found in names if room_of(found) != "simulator"}
    users = {name for name in MODULES_IN_ROOMS for found in IMPORTS[name] if room_of(found) == "simulator"}
    assert users == {"cli.simulate", "cli.simulation"}


@pytest.mark.parametrize("room", sorted(room for room in FLOOR if room != "errors"))
def test_a_room_describes_itself_and_imports_nothing(room: str):
    """A room's `__init__` has a docstring and no import, so that importing one module loads no others."""
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))

    assert ast.get_docstring(tree)
    assert not [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_the_top_level_contains_only_rooms():
    """Besides the rooms, the top level of the package contains only `__init__`, `_moved` and `errors`."""
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "_moved.py", "errors.py"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_sizes(path):
    """No module is longer than 350 lines and no function longer than 50."""
    long = [f.name for f in functions(parse(path)) if f.end_lineno - f.lineno >= 50]

    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, "cut it along a seam of its subject"
    assert not long


def test_names():
    """No module or test file has a name that says nothing, such as `utils` or `helpers`."""
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}

    assert not [path for path in (*MODULES, *TESTS) if vague & {path.stem, *path.stem.split("_"), path.parent.name}]


OTHERS = {
    "aclosing": "closing",
    "aiter_bytes": "iter_bytes",
    "aiter_raw": "iter_raw",
    "aiter_stream": "iter_stream",
}  # twins of other libraries


class _Sync(ast.NodeTransformer):
    """Rewrites an async function as its sync twin would be written."""

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
        node.attr = self._sync_name(node.attr)
        return node

    def visit_Name(self, node):
        node.id = {"asyncio": "time"}.get(node.id) or self._sync_name(node.id)
        return node

    def _sync_name(self, name: str) -> str:
        return self.twins.get(name) or OTHERS.get(name, name.removeprefix("async_"))


def _twin(name: str) -> str | None:
    """Return the name of an async method's sync twin, or None for any other name."""
    match = re.fullmatch(r"(_{0,2})a(\w+)", name)
    return match and match[1] + match[2]


def _body(function: ast.AST, twins: dict[str, str]) -> str:
    """Return the source of a function's body without its docstring, rewritten as sync code."""
    copy = ast.parse(ast.unparse(function)).body[0]
    copy.body = copy.body[1:] if ast.get_docstring(copy) else copy.body
    return "\n".join(ast.unparse(ast.fix_missing_locations(_Sync(twins).visit(statement))) for statement in copy.body)


def pairs() -> list[tuple[str, ast.FunctionDef, ast.AsyncFunctionDef, dict[str, str]]]:
    """Return every async method that has a sync twin: its name, the twin, the method, and all names of twins."""
    owners = [(p, node) for p in MODULES for node in ast.walk(parse(p)) if isinstance(node, ast.ClassDef)]
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
    """An async method equals its sync twin except for `await`, or has at most eight statements."""
    statements = [node for node in ast.walk(half) if isinstance(node, ast.stmt)]

    assert _body(half, twins) == _body(sync, twins) or len(statements) <= 8


def test_twins_are_compared():
    """The comparison above finds the important twins and notices when they differ."""
    found = {name: (sync, half, twins) for name, sync, half, twins in PAIRS}
    sync, half, twins = found["runner.Runner.arun"]
    changed = ast.parse(ast.unparse(half).replace("step.url", "step.url * 2")).body[0]

    assert "store.ImageStore.aput" in found
    assert _body(half, twins) == _body(sync, twins)
    assert _body(changed, twins) != _body(sync, twins)


def test_public_names():
    """`__all__` is exactly these names in this order, and the package has each of them."""
    names = """AsyncImageTransport Cost GeneratedImage ImageGenerationError ImageGenerationMiddleware
    ImageGenerationTool ImageGenerator ImageLibrary ImageMemory ImageOptions ImageOutputParser ImageRequest
    ImageResult ImageState ImageStore ImageTransport ImageUsage PartialImage Region __version__ approval ashow_events
    box estimate hide_pictures http_clients images_from merge_images polygon retry_on show_events show_pictures"""

    assert langchain_imagegen.__all__ == names.split()
    assert all(hasattr(langchain_imagegen, name) for name in names.split())


def test_no_path_host_or_key_is_committed():
    """No committed text contains a path or host of a machine or a key."""
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
    """Each test has a docstring, and no test is defined twice in a file, which would hide the first."""
    tests = [function for function in functions(parse(path)) if function.name.startswith("test")]
    names = sorted(function.name for function in parse(path).body if isinstance(function, ast.FunctionDef))

    assert not [function.name for function in tests if not ast.get_docstring(function)]
    assert not [first for first, second in pairwise(names) if first == second]


def test_no_mocks():
    """No test file imports a mocking library."""
    used = {path.name for path in TESTS for node in ast.walk(parse(path)) if _imports_mock(node)}

    assert not used


def _imports_mock(node: ast.AST) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    return "mock" in (module, *names) or any(name.startswith(("unittest.mock", "respx")) for name in (module, *names))
