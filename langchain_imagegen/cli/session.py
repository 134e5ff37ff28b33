"""The remembered session: what the command line drew last, in a file that survives the terminal.

The file has one JSON object a line, so that commands that run at the same time only append to it: pictures, and the
requests that began and ended. It holds records and prompts, and no bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from langchain_imagegen.conversation.memory import ImageMemory
from langchain_imagegen.errors import ImageStoreError, OptionError
from langchain_imagegen.images.image import GeneratedImage
from langchain_imagegen.images.result import ImageResult
from langchain_imagegen.storage.processes import is_gone, this_process
from langchain_imagegen.storage.store import ImageStore

STATE_VARIABLE = "LANGCHAIN_IMAGEGEN_STATE"
OFF = "off"
_NAME = re.compile(r"\w[\w.-]{0,63}")
_KEPT, _LONGEST = 1000, 4000  # pictures after the file is shortened, and lines before


@dataclass(frozen=True)
class Purchase:
    """The name of a request in the ledger, and whether an earlier command began it and did not end it."""

    once: str
    begun_before: bool = False


def state_folder() -> Path:
    """Return the folder of the sessions: `LANGCHAIN_IMAGEGEN_STATE`, or the user's folder for state.

    Raises:
        ImageStoreError: There is no home folder.
    """
    from platformdirs import user_state_path

    chosen = os.environ.get(STATE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    try:
        return user_state_path("langchain_imagegen", appauthor=False).expanduser()
    except RuntimeError as error:
        raise ImageStoreError(f"there is no home folder for the session: set {STATE_VARIABLE}, or --session off") from (
            error
        )


class Session:
    """The pictures of one session, the latest last, and the requests whose end is not known.

    Args:
        name: Its name; `off` remembers nothing.
        image_store: The store of the command. Pictures from other stores are read from where they were drawn.
    """

    def __init__(self, name: str, image_store: ImageStore) -> None:
        if not _NAME.fullmatch(name):
            raise OptionError(f"--session {name!r} is no name: use letters, digits, '.', '-' and '_', or off")
        self._store = image_store
        self.path = None if name == OFF else state_folder() / "sessions" / f"{name}.jsonl"

    @cached_property
    def memory(self) -> ImageMemory:
        """The pictures, among which `last`, ordinals and handles are found."""
        return ImageMemory(self._records.values(), image_store=self._store)

    @property
    def last(self) -> GeneratedImage | None:
        """The picture that was drawn, edited or fetched last; None if there is none."""
        drawn = [id for line in self._lines if (id := _id_in(line)) and not line.get("source")]
        return self.bound(self.memory.get(drawn[-1])) if drawn else None

    def bound(self, image: GeneratedImage) -> GeneratedImage:
        """Return a picture of the session with its bytes read from the store into which it was drawn."""
        place = self._places.get(image.id)
        return image if place in (None, self._store.location) else image.bind(ImageStore(place))

    def add(self, result: ImageResult) -> None:
        """Remember the pictures of a result, and what is now known of those that it was made from."""
        for image in (*result.sources, *result.images):
            source = {"source": True} if image in result.sources else {}
            place = self._places.get(image.id, self._store.location)
            self._append({"image": image.record(), "store": place, **source})
        self._read_again()

    def begin(self, request: Mapping[str, Any]) -> Purchase | None:
        """Return the name under which the ledger finds the picture of a request; None where nothing is remembered.

        A request gets the name again under which an earlier command began it, if that command has left it without an
        answer or is certainly gone.
        """
        if self.path is None:
            return None
        digest = hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()
        earlier = [
            once
            for once, line in self._unfinished().items()
            if line.get("request") == digest and (line.get("left") or is_gone(line.get("process", {})))
        ]
        purchase = Purchase(earlier[-1], begun_before=True) if earlier else Purchase(f"imagegen {_unique()}")
        self._append({"begun": purchase.once, "request": digest, "process": this_process()})
        return purchase

    def end(self, purchase: Purchase | None) -> None:
        """Note that a request is over: its picture is here, or it certainly has none."""
        if purchase is not None:
            self._append({"ended": purchase.once})

    def leave(self, purchase: Purchase | None) -> None:
        """Note that this command ends without an answer to a request, whose picture a later one may look for."""
        if purchase is not None:
            self._append({"left": purchase.once})

    def forget(self, images: Iterable[GeneratedImage]) -> int:
        """Remove pictures, and return how many of them were remembered."""
        ids = {image.id for image in images}
        known = ids & self._records.keys()
        if known:
            self._rewrite(line for line in self._lines if _id_in(line) not in ids)
        return len(known)

    def clear(self) -> None:
        """Forget everything."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    @cached_property
    def _records(self) -> dict[str, dict[str, Any]]:
        """The records by id, in the order in which the pictures first appeared."""
        found: dict[str, dict[str, Any]] = {}
        for line in self._lines:
            if id := _id_in(line):
                found[id] = line["image"]
        return found

    @cached_property
    def _places(self) -> dict[str, str]:
        """The places of the stores into which pictures were drawn, by id."""
        return {id: str(line["store"]) for line in self._lines if (id := _id_in(line)) and "store" in line}

    def _unfinished(self) -> dict[str, dict[str, Any]]:
        """Return the requests whose end is not known, by their names in the ledger."""
        return _unfinished_in(self._lines)

    @cached_property
    def _lines(self) -> list[dict[str, Any]]:
        if self.path is None or not self.path.is_file():
            return []
        lines = list(_parsed(self.path.read_text(encoding="utf-8", errors="replace")))
        if len(lines) <= _LONGEST:
            return lines
        shorter = [*_unfinished_in(lines).values(), *[line for line in lines if _id_in(line)][-_KEPT:]]
        self._rewrite(shorter)
        return shorter

    def _append(self, line: Mapping[str, Any]) -> None:
        if self.path is None:
            return
        self._make_folder(self.path)
        data = (json.dumps(line, ensure_ascii=False) + "\n").encode(errors="replace")
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            file.write(data)

    def _rewrite(self, lines: Iterable[Mapping[str, Any]]) -> None:
        assert self.path is not None
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        unfinished = self.path.with_name(f".{_unique()}.partial")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode(errors="replace"))
        unfinished.replace(self.path)
        self._read_again()

    def _read_again(self) -> None:
        """Forget what was read of the file."""
        for name in ("memory", "_lines", "_records", "_places"):
            self.__dict__.pop(name, None)

    def _make_folder(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ImageStoreError(
                f"the session cannot be kept in {path.parent}: {error.strerror}; set {STATE_VARIABLE} to another "
                "folder, or --session off"
            ) from error


def _parsed(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file; a line that was cut by a crash is passed over."""
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _unfinished_in(lines: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the requests that began and did not end, by name; `left` says that nobody waits for them any more."""
    requests: dict[str, dict[str, Any]] = {}
    for line in lines:
        if "begun" in line:
            requests[str(line["begun"])] = dict(line)
        elif "ended" in line:
            requests.pop(str(line["ended"]), None)
        elif "left" in line and (request := requests.get(str(line["left"]))):
            request["left"] = True
    return requests


def _id_in(line: Mapping[str, Any]) -> str | None:
    """Return the id of the picture of a line, if it is about one."""
    record = line.get("image")
    return record.get("id") if isinstance(record, dict) else None


def _unique() -> str:
    return secrets.token_hex(8)
