"""The fenced blocks of a page of the documentation."""

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"^(?:File `(?P<file>[^`\n]+)`:\n\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text and first line, and the file it is said to be."""

    language: str
    text: str
    line: int
    file: str | None


def blocks(page: str, language: str) -> list[Block]:
    """The blocks of a page of the repository in one language, from top to bottom."""
    content = (REPOSITORY / page).read_text()
    return [
        Block(
            found["language"],
            found["text"],
            content.count("\n", 0, found.start("text")) + 1,
            found["file"],
        )
        for found in _BLOCK.finditer(content)
        if found["language"] == language
    ]


def write_files(page: str, folder: Path) -> list[str]:
    """Write the blocks that are files into a copy of the repository, and return their names."""
    files = [
        block
        for language in ("python", "yaml")
        for block in blocks(page, language)
        if block.file is not None
    ]
    for block in files:
        path = folder / block.file
        assert not path.exists(), f"{page} calls {block.file} new, but it is there already"
        path.write_text(block.text)
    return [block.file for block in files]


def program(page: str) -> str:
    """The Python blocks that are no files, as one program with the line numbers of the page."""
    lines: list[str] = []
    for block in blocks(page, "python"):
        if block.file is None:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.text.splitlines()
    return "\n".join(lines) + "\n"
