"""What stands on the pages for people: commands, code, links. Read by the tests of the docs."""

import ast
import dataclasses
import functools
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERBS = (
    *("main", "compare", "predict", "export", "evaluate", "describe", "benchmark", "scaling"),
    *("demo", "data.voc_sbd"),
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)((?: {4}.*\n)+)")
_SPAN = re.compile(r"(?<!`)`([^`]+?)`(?!`)")
_NAMED = re.compile(r"# ([\w/]+\.py)\b")
_OPTIONAL = re.compile(r"\[((?:--|:)[^\]]*)\]")


@dataclasses.dataclass(frozen=True)
class Page:
    """A Markdown file, or the docstrings of a config.

    Attributes:
      name: path below the root.
      text: what people read.
    """

    name: str
    text: str

    def blocks(self, language: str) -> list[str]:
        """Fenced code of a language."""
        return [code for kind, code in _FENCE.findall(self.text) if kind == language]

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """name -> Python code that the page tells to save; the first line names the file."""
        named = [(_NAMED.match(code), code) for code in self.blocks("python")]
        return {match[1]: code for match, code in named if match}

    @property
    def scripts(self) -> list[str]:
        """Python code that is to be run as it stands."""
        return [code for code in self.blocks("python") if not _NAMED.match(code)]

    @functools.cached_property
    def spans(self) -> list[str]:
        """What stands between single backticks, on one line each."""
        paragraphs = re.split(r"\n\s*\n", _FENCE.sub("\n\n", self.text))
        found = [span for part in paragraphs for span in _SPAN.findall(part)]
        return [" ".join(span.split()) for span in found]

    @functools.cached_property
    def lines(self) -> list[str]:
        """Shell commands and flags, one after another, without what continues a line."""
        shell = [*self.blocks("bash"), *_INDENTED.findall(_FENCE.sub("\n", self.text))]
        shell += re.findall(r"^# \S+\.py: (python -m .*)$", self.text, re.M)
        if self.name.endswith(".py"):
            shell += re.findall(r"^python -m .*$", self.text, re.M)
        found = [_OPTIONAL.sub(r"\1", span) for span in self.spans]
        for code in shell:
            for line in code.replace("\\\n", " ").splitlines():
                found += _OPTIONAL.sub(r"\1", line).split(" && ")
        return [" ".join(line.split()) for line in found]


@functools.cache
def pages() -> tuple[Page, ...]:
    """All of them."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
    found = [Page(str(path.relative_to(ROOT)), path.read_text()) for path in files]
    for path in sorted([*ROOT.glob("configs/*.py"), *ROOT.glob("examples/*.py")]):
        tree = ast.parse(path.read_text())
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        words = [ast.get_docstring(node) or "" for node in (tree, *functions)]
        found.append(Page(str(path.relative_to(ROOT)), "\n\n".join(words) + "\n"))
    return tuple(found)


def page(name: str) -> Page:
    """The one of this name."""
    return next(page for page in pages() if page.name == name)


_PLACEHOLDERS = {"CONFIG": "configs/film_voc.py", "N": "4", "NUMBER": "3", "WORK": "forward"}


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the project as a page gives it.

    Attributes:
      page: where it stands.
      verb: should be one of `VERBS`; "" where flags stand alone.
      words: what follows, placeholders filled in.
    """

    page: str
    verb: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.verb} {' '.join(self.words)}"

    @property
    def config(self) -> str:
        """FILE.py:ARGUMENT, or ""."""
        return next((w[9:] for w in self.words if w.startswith("--config=")), "")


def command(page: str, line: str) -> Command | None:
    """The command that a line is; None where it is something else."""
    if not re.match(r"(python |\w+ --|--\w|(configs/)?\w+\.py:\S+ --|[A-Z_]+=\S+ python)", line):
        return None
    words = [word for word in shlex.split(line, comments=True) if word != "..."]
    while words and re.match(r"[A-Z_]+=", words[0]):
        words.pop(0)
    if words[:2] == ["python", "-m"] and words[2].startswith("taskfusion_jax."):
        words = [words[2].removeprefix("taskfusion_jax."), *words[3:]]
    elif words[:2] == ["python", "launch/local.py"]:
        words = ["main", *words[words.index("--") + 1 :]] if "--" in words else ["main"]
    elif words[0].startswith("--"):
        words = ["", *words]
    elif ".py:" in words[0]:
        words = ["", f"--config=configs/{words[0].removeprefix('configs/')}", *words[1:]]
    ours = "python -m taskfusion_jax." in line or " --config=" in line  # a misspelt verb, too
    if words[0] not in ("", *VERBS) and (words[0] == "sbatch" or not ours):
        return None
    return Command(page, words[0], tuple(map(_filled, _whole(words[1:]))))


def _whole(words: list[str]) -> list[str]:
    """Those that leave nothing open."""
    words = words[: words.index(">")] if ">" in words else words
    return [word for word in words if not word.endswith(("...", "."))]


def _filled(word: str) -> str:
    name, equals, value = word.partition("=")
    if value.endswith(":PART"):
        value = value.replace("PART", "prefixes")
    return f"{name}{equals}{_PLACEHOLDERS.get(value, value)}"


def commands() -> list[Command]:
    """Of all pages, each once."""
    found = [command(page.name, line) for page in pages() for line in page.lines]
    return list(dict.fromkeys(filter(None, found)))


def without_code(text: str) -> str:
    """Markdown without its code, in which brackets are no links."""
    return _SPAN.sub("", _FENCE.sub("", text))
