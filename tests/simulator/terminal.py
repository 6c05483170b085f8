"""A command on a pseudo-terminal, and what a person would see there: every picture that stood on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import unicodedata
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_CODE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])")
Page = tuple[str, ...]


@dataclass
class Terminal:
    """A screen that knows what rich writes; anything else is an error. pages: the screen before each return home.

    left: what stands below once the page of its own was closed.
    """

    width: int
    height: int
    pages: list[Page] = field(default_factory=list)
    left: str = ""
    own: bool = False
    """Whether the page of its own (alternate screen) is open."""
    cursor: bool = True

    def __post_init__(self) -> None:
        self._wipe()

    def _wipe(self) -> None:
        self._cells = [[" "] * self.width for _ in range(self.height)]
        self._row = self._column = 0

    def write(self, text: str) -> None:
        """Take what a program wrote."""
        at = 0
        for code in _CODE.finditer(text):
            self._print(text[at : code.start()])
            self._obey(code[1], code[2])
            at = code.end()
        self._print(text[at:])

    def _obey(self, argument: str, code: str) -> None:
        if code == "m":
            return
        if (argument, code) == ("", "H"):
            self._keep()
            self._row = self._column = 0
        elif argument == "?25":
            self.cursor = code == "h"
        elif argument == "?1049":
            self._keep()
            self.own = code == "h"
            self._wipe()
        else:
            assert self.own is False, f"unknown control ESC[{argument}{code}"  # the waiting line erases itself

    def _keep(self) -> None:
        page = tuple("".join(row).rstrip() for row in self._cells)
        if self.own and any(page):
            self.pages.append(page)

    def _print(self, text: str) -> None:
        if not self.own:
            self.left += text
            return
        for letter in text:
            if letter == "\r":
                self._column = 0
            elif letter == "\n":
                self._row += 1
                assert self._row < self.height, "the page scrolled: what stood on top is lost"
            else:
                assert unicodedata.east_asian_width(letter) in {"N", "Na", "A"}
                assert self._column < self.width, f"line {self._row} is wider than the screen"
                self._cells[self._row][self._column] = letter
                self._column += 1


def run_on_terminal(
    arguments: Sequence[str],
    *,
    width: int = 80,
    height: int = 24,
    until: Callable[[Terminal], bool] | None = None,
    stop: signal.Signals = signal.SIGINT,
) -> tuple[Terminal, int]:
    """Run `guardian` on a terminal of its own; return what was seen, and the exit code.

    until: when to press Ctrl-C, or to send another signal, `stop`; asked after everything that is written.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    clean = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    command = [sys.executable, "-m", "guardian", *arguments]
    environment = {**clean, "TERM": "xterm-256color", "PYTHONUTF8": "1"}
    terminal, rest, decoder = Terminal(width, height), "", getincrementaldecoder("utf-8")()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            while chunk := os.read(ours, 65536):
                whole, rest = _apart(rest + decoder.decode(chunk))
                terminal.write(whole)
                if until is not None and until(terminal):
                    process.send_signal(stop)
                    until = None
        except OSError:  # Linux: the other end of the terminal was closed
            pass
        code = process.wait()
    os.close(ours)
    return terminal, code


def _apart(text: str) -> tuple[str, str]:
    """Return what is complete of a text, and a control sequence at its end that is not."""
    begun = text.rfind("\x1b")
    return (text[:begun], text[begun:]) if begun >= 0 and not _CODE.match(text[begun:]) else (text, "")
