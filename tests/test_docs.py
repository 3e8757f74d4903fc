"""Whatever the pages tell people to type is tried: commands, flags, fields, code, links."""

import ast
import functools
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from taskfusion_jax import cli
from taskfusion_jax.data.voc_sbd import __main__ as voc_sbd
from taskfusion_jax.errors import UserError
from tests import pages
from tests.engine import runs

FLAGS_OF = tuple(verb for verb in pages.VERBS if "." not in verb)
CONTEXTS = (
    *("configs/quickstart.py", "configs/film_voc.py", "configs/takeda.py:small"),
    *("configs/matsumoto.py:piggyback,small", "configs/matsumoto.py:small"),
    *("configs/vit_pretrain.py", "configs/vit_continual.py:prefixes,small"),
    *("configs/vit_continual.py:sets,small", "configs/vit_continual.py:cifar100"),
)
"""Configs that flags standing alone may be meant for, after those of their own page."""
OF_OTHERS = {"file_format", "strict"}  # tfds, mkdocs


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the configs and all files that the pages tell to save."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(runs.ROOT / "configs", folder / "configs")
    for page in pages.pages():
        for name, code in page.files.items():
            assert not (folder / name).exists(), f"{page.name}: {name} is there already"
            (folder / name).write_text(code)
    return folder


@pytest.fixture(scope="module")
def refused(workplace):
    """(verb, words) -> what the command says about the words, "" where all is well."""
    asked = {verb: [c.words for c in lone_flags()] for verb in FLAGS_OF}
    for c in pages.commands():
        if c.verb in FLAGS_OF:
            asked[c.verb].append(c.words)
    for verb, words in (lone_fields(c) for c in pages.commands() if of_a_config(c)):
        asked[verb].append(words)
    lines = {verb: [with_values(words) for words in some] for verb, some in asked.items()}
    process = subprocess.run(
        [sys.executable, runs.ROOT / "tests" / "try_flags.py"],
        input=json.dumps(lines),
        cwd=workplace,
        env=runs.environment(PYTHONPATH=f"{workplace}:{runs.ROOT}"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    return {
        (verb, words): message
        for verb, messages in json.loads(process.stdout).items()
        for words, message in zip(asked[verb], messages, strict=True)
    }


def of_a_config(command) -> bool:
    """Whether it is fields of a config alone."""
    return not command.verb and all(word.startswith("--config.") for word in command.words)


def lone_flags():
    """Flags without a command that are not all fields of a config."""
    return [c for c in pages.commands() if not c.verb and not of_a_config(c)]


def lone_fields(command) -> tuple[str, tuple[str, ...]]:
    """Verb and words with the first config that has these fields, those of the page first."""
    names = [word.removeprefix("--config.").partition("=")[0] for word in command.words]
    own = [o.config for o in pages.commands() if o.page == command.page and o.config]
    for config in (*own, *CONTEXTS):
        if builds(config) and all(has(built(config), name.split(".")) for name in names):
            valued = [w for w in command.words if "=" in w and not re.search(r"\.[A-Z]+[.=]", w)]
            return "compare" if "runs" in built(config) else "main", (f"--config={config}", *valued)
    raise AssertionError(f"{command}: no config has these fields")


def with_values(words):
    """`--batch` alone is a name; absl wants a value, of which any type takes 1."""
    known = ("help", "distributed", "json", "overwrite", "list-tasks", "list_tasks")
    return [w if "=" in w or w[2:] in known or w[:2] != "--" else f"{w}=1" for w in words]


@functools.cache
def built(config: str) -> ConfigDict:
    return cli._load(config)


def builds(config: str) -> bool:
    """Whether there is this file, and it takes this argument."""
    try:
        return bool(built(config))
    except (UserError, TypeError, ValueError):
        return False


def has(node, keys) -> bool:
    """Whether a config has a field; a word in capitals or `*` stands for any name."""
    if not keys:
        return True
    if not isinstance(node, ConfigDict):
        return False
    any_name = keys[0].isupper() or keys[0] == "*"
    found = list(node) if any_name else [key for key in keys[:1] if key in node]
    return any(has(node[key], keys[1:]) for key in found)


def test_every_command_is_understood(refused):
    """Verb, flags, config, its argument, and every field with its value."""
    assert {c.verb for c in pages.commands()} == {"", *pages.VERBS}
    asked = [c for c in pages.commands() if c.verb in FLAGS_OF]
    wrong = [f"{c}: {message}" for c in asked if (message := refused[c.verb, c.words])]
    assert not wrong, "\n".join(wrong)


def test_flags_that_stand_alone_belong_to_some_command(refused):
    files = [*(runs.ROOT / "launch").iterdir(), *(runs.ROOT / "examples").glob("*.py")]
    scripts = "".join(path.read_text() for path in files if path.is_file())
    for c in lone_flags():
        names = [word.removeprefix("--").partition("=")[0] for word in c.words]
        elsewhere = all(f"--{name}" in scripts or name in OF_OTHERS for name in names)
        assert elsewhere or any(not refused[verb, c.words] for verb in FLAGS_OF), c


def test_fields_that_stand_alone_are_fields_of_some_config(refused):
    asked = [(c, lone_fields(c)) for c in pages.commands() if of_a_config(c)]
    assert len(asked) > 20
    wrong = [f"{c}: {refused[question]}" for c, question in asked if refused[question]]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.name)
def test_names_in_the_text(page):
    """Configs, their arguments, fields and files that are named between backticks."""
    named = [c.config for c in pages.commands() if c.page == page.name and c.config]
    for span in page.spans:
        match = re.fullmatch(r"(?:configs/)?(\w+\.py)(?::(\S+))?", span)
        if match and (runs.ROOT / "configs" / match[1]).exists():
            named.append(f"configs/{match[1]}:{match[2] or ''}".removesuffix(":"))
    files = {name.partition(":")[0] for name in named} - set(_saved())
    for config in {name for name in named if name.partition(":")[0] in files}:
        built(config)
    for span in page.spans:
        match = re.match(r"config\.([\w.*]*\w|\*)(?: ?=|$)", span)
        if match and match[1] != "json":
            keys = match[1].split(".")
            some = [*(name for name in named if name.partition(":")[0] in files), *CONTEXTS]
            assert any(has(built(config), keys) for config in some), span
        if re.fullmatch(r":\w+", span):
            assert any(builds(file + span) for file in files), f"{page.name}: {span}"
        if re.fullmatch(r"[\w-]+/[\w./-]*\.(py|md|sh|yaml|sbatch|jpg|png)", span):
            assert _is_there(span), f"{page.name}: {span}"


def _saved() -> list[str]:
    return [name for page in pages.pages() for name in page.files]


def _is_there(path: str) -> bool:
    """Whether a path of the project exists; those that begin with no folder of it are the
    reader's own."""
    roots = [root for root in (runs.ROOT, runs.ROOT / "taskfusion_jax") if root.is_dir()]
    below = [root for root in roots if (root / path.partition("/")[0]).is_dir()]
    own = path in _saved() or path.startswith(("runs/", "build/"))
    return own or not below or any((root / path).exists() for root in below)


def test_data_and_launch_commands():
    script = (runs.ROOT / "launch" / "local.py").resolve()
    spec = importlib.util.spec_from_file_location("local", script)
    local = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(local)
    lines = [line for page in pages.pages() for line in page.lines]
    started = [shlex.split(x, comments=True) for x in lines if x.startswith("python launch/local")]
    assert started
    for words in started:
        local.parse(words[2:])
    source = Path(voc_sbd.__file__).read_text()
    prepared = [c for c in pages.commands() if c.verb == "data.voc_sbd"]
    assert prepared
    for word in (word for c in prepared for word in c.words):
        assert f'"{word.partition("=")[0]}"' in source


def test_pytest_commands_find_tests():
    lines = [line for page in pages.pages() for line in page.lines if "pytest " in line]
    found = [words for line in lines if (words := line.split())[0] == "pytest"]
    assert found
    for words in found:
        files = [runs.ROOT / word for word in words if word.startswith("tests/")]
        for file in files:
            assert file.exists(), words
        if "-k" in words:
            assert f"def test_{words[words.index('-k') + 1]}" in files[0].read_text() or any(
                words[words.index("-k") + 1] in name
                for name in re.findall(r"def (test_\w+)", files[0].read_text())
            ), words


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.name)
def test_python_compiles(page):
    for code in page.blocks("python"):
        ast.parse(code)


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """To files that exist, and to headings that their pages have."""
    here = (runs.ROOT / page.name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", pages.without_code(page.text)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = here / path if path else runs.ROOT / page.name
        assert file.exists(), f"{page.name}: {target}"
        titles = re.findall(r"^#+ (.*)$", file.read_text(), re.M) if anchor else []
        assert not anchor or anchor in map(_slug, titles), f"{page.name}: {target}"


def _slug(title: str) -> str:
    return re.sub(r"[^\w-]", "", title.lower().replace(" ", "-"))


@pytest.mark.parametrize("name", ["docs/data.md", "docs/troubleshooting.md"])
def test_messages_are_those_of_the_program(name):
    """First cells of the tables of errors quote messages; `...` stands for what varies."""
    files = [*runs.ROOT.glob("taskfusion_jax/**/*.py"), *runs.ROOT.glob("configs/*.py")]
    source = " ".join(re.sub(r'"\s*f?"', "", file.read_text()) for file in files)
    quoted = re.findall(r"^\| `([^`]+)` \|", pages.page(name).text, re.M)
    assert len(quoted) > 5
    for part in (part.strip() for message in quoted for part in message.split("...")):
        assert part in source or part == "No module named 'configs'", part


def test_every_page_is_in_the_navigation():
    _, _, nav = (runs.ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    named = re.findall(r"[\w/]+\.md", nav)
    there = [str(p.relative_to(runs.ROOT / "docs")) for p in runs.ROOT.glob("docs/**/*.md")]
    assert sorted(named) == sorted(there)


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings_handlers.python")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    process = subprocess.run(words, cwd=runs.ROOT, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    html = (tmp_path / "site" / "api" / "use" / "index.html").read_text()
    assert "probabilities [B, classes]" in html  # from a docstring
    remote = re.findall(r'(?:src|href)="(https?://[^"]+)"', html)
    assert not [url for url in remote if re.search(r"\.(js|css|woff2?)\b|fonts\.", url)]
