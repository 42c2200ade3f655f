"""Transcripts of commands: what is typed, how it ends, and facts about what it prints.

    $ get pods -o name          a command; ``eventually $`` runs it again until its facts hold
    < web.yaml                  its standard input, a file beside the transcript
    EDITOR=./editor             a variable of its environment
    = 1                         its exit code, 0 when not said
    ~ REGEX                     found in what it prints (both streams)
    ! REGEX                     not found there

``#`` begins a comment line. ``{namespace}`` and ``{folder}`` stand for the test's own namespace and a scratch folder,
in files of standard input, too.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Step:
    """One command of a transcript and what must be true of it."""

    line: int
    arguments: list[str]
    patient: bool = False
    stdin: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    code: int = 0
    present: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def misses(self, code: int, printed: str) -> list[str]:
        """What is not as the transcript says."""
        found = [] if code == self.code else [f"exit code {code} instead of {self.code}"]
        found += [f"lacks {p!r}" for p in self.present if not re.search(p, printed, re.MULTILINE)]
        return found + [f"has {p!r}" for p in self.absent if re.search(p, printed, re.MULTILINE)]


_ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)")


def read(path: Path, **names: str) -> Iterator[Step]:
    """The steps of a transcript. ValueError names the line that is none."""
    step: Step | None = None
    for number, raw in enumerate(_filled(path.read_text(), names).splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        opening = re.fullmatch(r"(eventually )?\$ (.*)", line)
        if opening:
            if step is not None:
                yield step
            step = Step(number, shlex.split(opening[2]), patient=bool(opening[1]))
        elif step is None:
            raise ValueError(f"{path.name}:{number}: a transcript begins with a command")
        else:
            _add(step, line, path, number)
            if line.startswith("< "):
                step.stdin = _filled((path.parent / line[2:]).read_text(), names)
    if step is not None:
        yield step


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace("{" + name + "}", value)
    return text


def _add(step: Step, line: str, path: Path, number: int) -> None:
    sign, _, rest = line.partition(" ")
    assignment = _ASSIGNMENT.fullmatch(line)
    if assignment:
        step.environment[assignment[1]] = assignment[2]
    elif sign == "=":
        step.code = int(rest)
    elif sign == "~":
        step.present.append(rest)
    elif sign == "!":
        step.absent.append(rest)
    elif sign != "<":
        raise ValueError(f"{path.name}:{number}: {line!r} is no part of a step")
