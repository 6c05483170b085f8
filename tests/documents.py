"""Reads the commands out of a document and carries them out, as its reader would, top to bottom in one folder.

What is understood in a fenced block:

    ```console        commands behind `$ `, continued behind `> `; the lines below a command are what it prints:
                      each must appear, `...` in it stands for anything. Exit code 0, or `# exits 3` at the end.
                      A command that ends in ` &` stays until the document ends; its lines are waited for.
    ```yaml NAME      any language with a file name: the block is that file
    any other         shown, not run; `sh`, `bash` and `shell` are not allowed, nor is a block without a language

It does not judge prose. Addresses 127.0.0.1:PORT are moved to free ports, the same one for the same port.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

COMMAND_SECONDS: Final = 90.0
READY_SECONDS: Final = 30.0
ADDRESS: Final = re.compile(r"(?<=127\.0\.0\.1:)\d+")
EXITS: Final = re.compile(r"\s+# exits (?P<code>\d+)$")


class DocumentError(AssertionError):
    """A document is wrong: what stands there is not what happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A block that is a file of the reader's folder."""

    name: str
    content: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command with what it prints. stays: it runs on in the background."""

    text: str
    printed: tuple[str, ...]
    code: int
    stays: bool
    line: int


Step = File | Command


def steps(text: str) -> Iterator[Step]:
    """What a reader does, in order. Raises DocumentError for a block that could not be checked."""
    for token in MarkdownIt().parse(text):
        if token.type != "fence":
            continue
        line = (token.map or [0])[0] + 1
        language, *name = token.info.split()[:2] or [""]
        if language in {"", "bash", "sh", "shell"}:
            raise DocumentError(f"line {line}: a block of {language or 'no language'!r}; write ```console")
        if name:
            yield File(name=name[0], content=token.content, line=line)
        elif language == "console":
            yield from commands(token.content.splitlines(), first_line=line + 1)


def links(text: str) -> Iterator[str]:
    """Where the links of a document lead, without the part behind `#`; addresses of the web are left out."""
    for token in MarkdownIt().parse(text):
        for inner in token.children or ():
            target = str(inner.attrGet("href") or inner.attrGet("src") or "").partition("#")[0]
            if target and "://" not in target and not target.startswith("mailto:"):
                yield target


def commands(lines: Sequence[str], *, first_line: int) -> Iterator[Command]:
    """The commands of one console block."""
    typed: list[str] = []
    printed: list[str] = []
    began = first_line
    for number, line in enumerate(lines, start=first_line):
        if line.startswith("$ "):
            if typed:
                yield command(typed, printed, line=began)
            typed, printed, began = [line[2:]], [], number
        elif line.startswith("> ") and typed and not printed:
            typed.append(line[2:])
        elif line.strip():
            printed.append(line.strip())
    if not typed:
        raise DocumentError(f"line {first_line}: a console block without a command behind `$ `")
    yield command(typed, printed, line=began)


def command(typed: Sequence[str], printed: Sequence[str], *, line: int) -> Command:
    """One command from what is typed and what is said to be printed."""
    text = "\n".join(typed).rstrip()
    exits = EXITS.search(text)
    if exits:
        text = text[: exits.start()]
    stays = text.endswith(" &")
    return Command(
        text=text.removesuffix(" &"),
        printed=tuple(printed),
        code=int(exits["code"]) if exits else 0,
        stays=stays,
        line=line,
    )


def missing(printed: Sequence[str], output: str) -> list[str]:
    """Which of the promised lines are not in the output; `...` stands for anything."""
    got = [line.strip() for line in output.splitlines()]
    wanted = {line: re.compile(".*".join(map(re.escape, line.split("...")))) for line in printed}
    return [line for line, pattern in wanted.items() if not any(map(pattern.fullmatch, got))]


@dataclass(slots=True)
class Reader:
    """Somebody who does what a document says, in an empty folder."""

    folder: Path
    ports: dict[str, str] = field(default_factory=dict)

    def follow(self, text: str, *, left_out: Sequence[str]) -> int:
        """Do it all; returns how many commands were run. left_out: commands that are not run here."""
        ran = 0
        with ExitStack() as background:
            for step in steps(text):
                if isinstance(step, File):
                    self._write(step)
                elif step.text not in left_out:
                    if step.stays:
                        background.enter_context(self._start(step))
                    else:
                        self._run(step)
                    ran += 1
        return ran

    def _write(self, file: File) -> None:
        place = self.folder / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(self._moved(file.content), encoding="utf-8")

    def _run(self, command: Command) -> None:
        done = subprocess.run(
            ["bash", "-c", self._moved(command.text)],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        output = done.stdout + done.stderr
        absent = missing(tuple(map(self._moved, command.printed)), output)
        if done.returncode != command.code or absent:
            raise DocumentError(
                f"line {command.line}: `{command.text}` exited {done.returncode}, {command.code} is promised;"
                f" not printed: {absent}\n{output}"
            )

    @contextmanager
    def _start(self, command: Command) -> Iterator[None]:
        """Run it until the document ends; goes on as soon as the promised lines were printed."""
        log = self.folder / f".line-{command.line}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {self._moved(command.text)}"],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_for(command, process, log)
            yield
        finally:
            end(process)

    def _wait_for(self, command: Command, process: subprocess.Popen[bytes], log: Path) -> None:
        printed = tuple(map(self._moved, command.printed))
        deadline = time.monotonic() + READY_SECONDS
        while absent := missing(printed, log.read_text(encoding="utf-8")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DocumentError(
                    f"line {command.line}: `{command.text} &` did not print {absent}\n{log.read_text()}"
                )
            time.sleep(0.05)

    def _moved(self, text: str) -> str:
        return ADDRESS.sub(lambda found: self._port(found.group()), text)

    def _port(self, written: str) -> str:
        if written not in self.ports:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                self.ports[written] = str(taken.getsockname()[1])
        return self.ports[written]

    def _environment(self) -> dict[str, str]:
        tools = Path(sys.executable).parent
        return os.environ | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "COLUMNS": "160",
            "PYTHONUNBUFFERED": "1",
        }


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process and its children to end, and see to it."""
    for sign, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
