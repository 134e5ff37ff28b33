"""Coverage-guided fuzzing of the extractor, with the same oracle as the property tests.

    pip install "atheris>=3"                                    # CPython 3.11 to 3.13
    python tests/fuzz/extract.py -max_total_time=600            # with a temporary corpus
    python tests/fuzz/extract.py corpus/ -max_total_time=600    # with a corpus that grows from run to run
    python tests/fuzz/extract.py crash-1f2e                     # runs one input again and prints its body

Other flags are libFuzzer's: `-runs=`, `-max_len=`, `-print_final_stats=1`, `-merge=1`. An empty corpus is seeded.
An input's last byte decides how the rest is read: as a body, or as choices that write a document or an event stream
with pictures, texts that look like pictures, and errors. The bytes before it choose the keys, the pictures that are
kept, and the chunk sizes.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(
    include=["langchain_imagegen.streaming.extractor", "langchain_imagegen.streaming.decoder"]
):
    from langchain_imagegen.streaming.extractor import PICTURE_KEYS

from tests.scanner_oracle import BEGINNINGS, check, to_base64

RAW = 3  # one in so many inputs is used as a body directly
KEYS = (PICTURE_KEYS, ("image",), ("re", "result", "result.0"))
MAX_FEEDS = 200  # chunks of a long body become larger, so that there are no more than this

NAMES = (
    "result",
    "partial_image_b64",
    "b64_json",
    "image",
    "re",
    "result.0",
    "id",
    "x",
    '\\"result',
    "\\u0072esult",
    "",
)
SPACES = ("", " ", "", "\n", "\r\n", "\t \r", " " * 256, " " * 257)
NEWLINES = ("\n", "\r\n", "\r")
NOISE = (
    ": keep-alive",
    "event: response.completed",
    "id: 7",
    "retry: 9",
    'data: {"text": "no end',
    "data",
    "data:",
    "\ufeff",
)
FLAWS = (
    "...",
    " ",
    "\\n",
    "\n",
    "\r",
    "=",
    "==",
    "-_",
    "\\\\",
    '\\"',
    "\\u00e9",
    "\\x",
    "\\",
    "é",
    "\0",
    "\\u0041",
    "A",
)
ESCAPES = (("/", "\\/"), ("+", "\\u002b"), ("=", "\\u003d"), ("A", "\\u0041"), ("/", "\\u002F"), ("B", "\\B"))
TRAPS = (
    '\\"result\\": \\"iVBORw0KGgoAAAANSUhEUg==\\"',
    '{\\"b64_json\\":\\"/9j/4AAQSkZJRg==\\"}',
    '\\\\\\"result\\":\\"R0lGODlh',
    "result",
    "\\\\",
    '\\"',
    "iVBORw0K",
    "bm8gcGljdHVyZQ==",
    "é€😀\\u2028",
    "data: ",
)
FILLER = bytes(range(255, 0, -1))
MAGIC = (*BEGINNINGS.values(), b"RIF", b"RIFF1234WAVE", b"\x89P", b"    \n<svg", b"", b"plain")


class Writer:
    """Writes a body by choices that an input's bytes make; when the bytes run out, it makes the shortest choices."""

    def __init__(self, data: atheris.FuzzedDataProvider) -> None:
        self.data = data

    def pick(self, choices: Sequence) -> object:
        """Return one of the choices."""
        return choices[self.upto(len(choices) - 1)]

    def upto(self, most: int) -> int:
        """Return a number from 0 to `most`."""
        return self.data.ConsumeIntInRange(0, most)

    def body(self) -> bytes:
        """Return a document or a stream, complete, truncated or with one byte changed."""
        text = self.stream() if self.upto(1) else self.value(4)
        body = text.encode("utf-8", "surrogatepass")
        match self.upto(7):
            case 5 | 6:
                return body[: self.upto(len(body))]
            case 7:
                at = self.upto(len(body))
                return body[:at] + self.data.ConsumeBytes(1) + body[at + 1 :]
        return body

    def stream(self) -> str:
        """Return events, with comments and blank lines between them."""
        newline = self.pick(NEWLINES)
        text = self.pick(("", "\ufeff"))
        for _ in range(self.upto(4)):
            noise = [self.pick(NOISE) for _ in range(self.upto(2))]
            lines = self.value(3).replace("\n", f"{newline}data:")
            text += newline.join([*noise, f"data:{self.pick(('', ' '))}{lines}", self.pick(("", newline)), ""])
        return text

    def value(self, depth: int) -> str:
        """Return a JSON value."""
        match self.upto(9):
            case 0:
                return self.pick(("null", "1", "true", '""', "-2.5e3", "[]", "{}", '{"$picture": 0}'))
            case 1 | 2 if depth:
                return self.join("[]", [self.value(depth - 1) for _ in range(self.upto(3))])
            case 3 | 4 | 5 | 6 if depth:
                return self.join("{}", [self.member(depth - 1) for _ in range(self.upto(3) + 1)])
            case 7:
                return self.text()
        return self.picture()

    def join(self, brackets: str, items: Sequence[str]) -> str:
        """Return an array or an object."""
        return brackets[0] + f"{self.pick(SPACES)},".join(items) + self.pick(SPACES) + brackets[1]

    def member(self, depth: int) -> str:
        """Return a key with its value, which is usually a picture."""
        value = self.picture() if self.upto(2) else self.value(depth)
        return f'"{self.pick(NAMES)}"{self.pick(SPACES)}:{self.pick(SPACES)}{value}'

    def text(self) -> str:
        """Return a JSON string that may look like a picture."""
        parts = [self.pick(TRAPS) for _ in range(self.upto(3))]
        return f'"{"".join(parts) * self.repetitions()}"'

    def picture(self) -> str:
        """Return a JSON string of base64, possibly with an error."""
        data = self.pick(MAGIC) + self.data.ConsumeBytes(self.upto(12)) + FILLER[: self.upto(255)] * self.repetitions()
        text = to_base64(data)
        match self.upto(5):
            case 1:
                text = text.rstrip("=")
            case 2 | 3:
                at = self.pick((len(text), self.upto(len(text))))
                text = text[:at] + self.pick(FLAWS) + text[at + self.upto(4) :]
            case 4:
                text = text.replace(*self.pick(ESCAPES))
        return f'"{text}"'

    def repetitions(self) -> int:
        """Return how often to repeat a text: mostly once, rarely so often that it exceeds one step of the extractor."""
        return self.pick((1,) * 24 + (2, 2, 2, 9, 9, 60, 300, 1100))


def read_input(data: atheris.FuzzedDataProvider) -> tuple[bytes, list[int], dict]:
    """Return the body of an input, its chunk sizes and the settings for `check`."""
    writer = Writer(data)
    raw = writer.upto(RAW - 1) == 0
    settings = {"keys": writer.pick(KEYS), "unwanted": writer.upto(7), "copies": data.ConsumeBool()}
    sizes = [1 + writer.upto(255) for _ in range(1 + writer.upto(3))]
    body = data.ConsumeBytes(data.remaining_bytes()) if raw else writer.body()
    least = len(body) // MAX_FEEDS
    return body, [least + size for size in sizes], settings


def run_input(input: bytes) -> None:
    """Check one input; print it and raise if the oracle disagrees."""
    body, sizes, settings = read_input(atheris.FuzzedDataProvider(input))
    try:
        check(body, sizes, **settings)
    except BaseException:
        sys.stderr.write(f"check({body!r}, {sizes}, **{settings})\n")
        raise


def seeds() -> Iterator[bytes]:
    """Yield bodies like the service's, complete and truncated, and random inputs."""
    generator = random.Random(1)
    for body in bodies():
        for size in (1, 2, 7, 64, 255):
            for end in {len(body), len(body) // 2, generator.randrange(len(body))}:
                yield body[:end] + bytes([size - 1, 0, generator.randrange(2), 0, 0, 0])
    for _ in range(400):
        yield generator.randbytes(generator.choice((20, 60, 200, 600)))


def bodies() -> Iterator[bytes]:
    """Yield one answer of each kind, with pictures of a few bytes."""
    image = '"id":"ig_1","type":"image_generation_call","status":"completed","output_format":"png"'
    for name, magic in BEGINNINGS.items():
        text = to_base64(magic + bytes(range(60)))
        answer = f'{{"id":"resp_1","output":[{{{image},"result":"{text}"}},{{"content":[{{"text":"{name}"}}]}}]}}'
        partial = (
            f'{{"type":"image_generation_call.partial_image","partial_image_index":0,"partial_image_b64":"{text}"}}'
        )
        done = f'{{"type":"response.output_item.done","item":{{{image},"result":"{text}"}}}}'
        completed = f'{{"type":"response.completed","response":{answer}}}'
        events = [
            f"event: {kind}\ndata: {event}\n\n" for kind, event in (("p", partial), ("d", done), ("c", completed))
        ]
        yield answer.encode()
        yield "".join(events).encode()
        yield f'{{\n  "created": 1,\n  "data": [\n    {{\n      "b64_json": "{text}"\n    }}\n  ]\n}}'.encode()
        yield answer.replace("/", "\\/").replace("+", "\\u002b").encode()
    yield b'{"output":[{"result":null},{"result":""},{"result":"iVBORw0KGgo...AAA="},{"result":"iVBORw0KGgo"}]}'
    yield b'{"output":[{"content":[{"text":"\\"result\\": \\"iVBORw0KGgoAAAANSUhEUg==\\""}]}]}'


def tokens() -> Iterator[str]:
    """Yield the words of bodies as lines of libFuzzer's dictionary."""
    texts = [f'"{name}":"' for name in NAMES] + [to_base64(magic) for magic in MAGIC if magic]
    for text in (*texts, *TRAPS, *FLAWS, *NOISE, "\n\n", "\r\n\r\n", '"', "\\", "$picture"):
        yield '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"\n'


def main(arguments: list[str]) -> None:
    """Fuzz until a limit of libFuzzer or a disagreement with the oracle stops it."""
    work = Path(tempfile.mkdtemp(prefix="fuzz-extract-"))
    flags = [argument for argument in arguments if argument.startswith("-")]
    paths = [argument for argument in arguments if not argument.startswith("-")]
    if not paths or not Path(paths[0]).is_file():
        paths = paths or [str(work / "corpus")]
        write_seeds(Path(paths[0]))
        (work / "tokens").write_text("".join(tokens()))
        flags = [f"-artifact_prefix={work}/", f"-dict={work / 'tokens'}", "-max_len=4096", *flags]
    else:
        sys.stderr.write(f"{read_input(atheris.FuzzedDataProvider(Path(paths[0]).read_bytes()))}\n")
    atheris.Setup([sys.argv[0], *flags, *paths], run_input)
    atheris.Fuzz()


def write_seeds(corpus: Path) -> None:
    """Write the seeds into the corpus if it is empty."""
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, seed in enumerate(seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)


if __name__ == "__main__":
    main(sys.argv[1:])
