"""Pages of the documentation as programs: their Python blocks, in order, and what they are to print.

What stands in a page beside its blocks, in comments that readers do not see:

* ``<!-- hidden`` on a line of its own, code, ``-->``: runs too. It makes what the page takes for granted.
* ``<!-- slow -->`` before a block: it runs under ``--slow`` only.
* ``<!-- not run: why -->`` before a block: it is compiled, so that it is Python at least.
* ``<!-- prints -->`` before a block that is not Python: the Python block above it prints these lines, spaces aside.
  ``<!-- prints, numbers within 20 % -->``: so far numbers may be off, for other processors round differently.
"""
import re
from pathlib import Path
from typing import List, NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[2]
_COMMENT = re.compile(r"<!-- (slow|not run: .+|prints(?:, numbers within (\d+) %)?) -->")
_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?|[-+]?\.\d+")
MARK = "\x1e"       # begins the line that says which block has ended


class Block(NamedTuple):
    """Code of a page, its first line counted from 1, how it is run, and what it prints."""

    code: str
    line: int
    kind: str                           # 'run', 'hidden', 'slow' or 'not run'
    printed: Optional[str] = None
    within: float = 0.0                 # relative; of the numbers in what it prints


# The README and all pages of docs, by their names.
PAGES = {str(path.relative_to(ROOT)): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}


def blocks_of(text: str) -> List[Block]:
    """All Python blocks of a page."""
    found: List[Block] = []
    lines, at, mark, within = text.splitlines(), 0, "", 0.0
    while at < len(lines):
        line, at = lines[at].rstrip(), at + 1
        comment = _COMMENT.fullmatch(line)
        if comment:
            mark, within = comment.group(1).split(",")[0].split(":")[0], float(comment.group(2) or 0) / 100.0
        elif line == "<!-- hidden":
            end = lines.index("-->", at)
            found.append(Block("\n".join(lines[at:end]), at + 1, "hidden"))
            at = end + 1
        elif line.startswith("```"):
            end = next(k for k in range(at, len(lines)) if lines[k].rstrip() == "```")
            code = "\n".join(lines[at:end])
            if line == "```python":
                found.append(Block(code, at + 1, mark or "run"))
            elif mark == "prints":
                found[-1] = found[-1]._replace(printed=code, within=within)
            mark, at = "", end + 1
        elif line and mark == "prints" and line.startswith("    "):
            end = next((k for k in range(at, len(lines)) if not lines[k].startswith("    ")), len(lines))
            found[-1] = found[-1]._replace(printed="\n".join(lines[at - 1:end]), within=within)
            mark, at = "", end
    return found


def program(blocks: List[Block], slow: bool) -> str:
    """The blocks to run as one file with the page's line numbers, which says after each block that it has ended."""
    lines: List[str] = []
    for block in blocks:
        if block.kind in ("run", "hidden") or (slow and block.kind == "slow"):
            lines += [""] * (block.line - 1 - len(lines)) + block.code.splitlines()
            lines.append(f"if __name__ == '__main__': print('\\n{MARK}{block.line}', flush=True)")
    return "\n".join(lines) + "\n"


def differences(blocks: List[Block], output: str) -> List[str]:
    """Where the output of :func:`program` is not what the page says."""
    parts = re.split(rf"\n{MARK}(\d+)\n", output)
    printed = {int(line): text for text, line in zip(parts[::2], parts[1::2])}
    return [f"line {b.line}: the page says\n{b.printed}\nand the block prints\n{printed[b.line]}" for b in blocks
            if b.printed is not None and b.line in printed and not same(b.printed, printed[b.line], b.within)]


def same(said: str, printed: str, within: float) -> bool:
    """Whether two texts have the same words, and numbers that are as near as ``within`` or a unit of the last digit."""
    def words(text: str) -> str:
        return " ".join(_NUMBER.sub("#", text).split())

    if words(said) != words(printed):
        return False
    pairs = zip(_NUMBER.findall(said), _NUMBER.findall(printed))
    return all(_near(a, b, within) for a, b in pairs)


def _near(said: str, printed: str, within: float) -> bool:
    if not within:
        return said == printed
    a, b = (float(number.replace(",", "").rstrip(".")) for number in (said, printed))
    digits = len(said.split(".")[1]) if "." in said and "e" not in said else 0
    return abs(a - b) <= max(within * abs(a), 1.01 * 10.0 ** -digits)
