"""The documentation as a site: its front page, its order, and a reference that leaves nothing out.

`make docs` builds all of it strictly, every link and anchor included; here is what takes seconds and needs no build.
"""

import re
import shutil
import sys
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest
import yaml
from typer.main import get_command

import spikemba
from pipelines.grounding.formats import FORMATS
from pipelines.runs.config import config_names, config_path
from pipelines.serving.web.api import CALLS
from pipelines.tasks.registry import load_run_config
from spikemba.config import flat
from spikemba.datasets.registry import benchmark_names, find_benchmark
from spikemba.encoders.registry import OWN, find_encoder
from spikemba.library import __all__ as library_names
from spikemba.metrics import __all__ as metric_names
from spikemba.ops import __all__ as operator_names
from spikemba.user_folders import Settings
from spikemba_cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOORS = ("Find moments in my footage", "Reproduce and extend results", "Use the scan or VideoMamba as a library")


@pytest.fixture(scope="module")
def hook():
    """docs/site_hook.py, which makes the pages of the reference; as mkdocs loads it, from its own folder."""
    pytest.importorskip("mkdocs")
    before = sys.path[:]
    sys.path.insert(0, str(DOCS))
    try:
        yield resolve_name("site_hook")
    finally:
        sys.path[:] = before


class _Plain(yaml.SafeLoader):
    """YAML whose tags for Python are nothing here."""


_Plain.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def settings_of_the_site():
    return yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), _Plain)


def in_nav(entries):
    """Pages of a part of the navigation."""
    for entry in entries:
        for one in entry.values() if isinstance(entry, dict) else [entry]:
            yield from [one] if isinstance(one, str) else in_nav(one)


def sections(page):
    """Title -> text of a page's second-level sections."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_front_page_has_three_doors_of_a_few_steps_with_commands_and_links():
    found = sections((DOCS / "index.md").read_text("utf-8"))
    assert tuple(found) == DOORS
    for text in found.values():
        assert 3 <= len(re.findall(r"^\d\. ", text, re.MULTILINE)) <= 5
        assert len(re.findall(r"\]\([\w./#-]+\)", text)) >= 3
        assert "```" in text


def test_every_page_stands_in_the_navigation_once(hook):
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(in_nav(settings_of_the_site()["nav"])) == sorted(
        [*pages, *(f"reference/{name}.md" for name in hook.PAGES)]
    )


def test_nothing_of_the_site_comes_from_another_host():
    site = settings_of_the_site()
    assert site["theme"]["font"] is False
    for name in (*site["extra_css"], *site["extra"]["polyfills"], site["theme"]["favicon"]):
        assert "http" not in (DOCS / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    for page in DOCS.rglob("*.md"):
        assert not re.search(r"!\[[^]]*\]\(http|<(img|script|iframe)", page.read_text("utf-8")), page


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_lists_and_tables_begin_after_an_empty_line(page):
    """The site's Markdown takes them for a paragraph's text otherwise, where a forge's does not."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for before, line in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        starts = re.match(r"(- |\d+\. |\|)", line)
        assert not starts or not before or re.match(r"(\s|- |\d+\. |\|)", before), line


def commands():
    """Every command with its whole name; those of the benchmarks are made when they are asked for."""
    for name, one in get_command(app).commands.items():
        if hasattr(one, "list_commands"):
            yield from ((f"spikemba {name} {word}", one.get_command(None, word)) for word in one.list_commands(None))
        else:
            yield f"spikemba {name}", one


def test_every_command_has_its_options_arguments_and_what_it_does(hook):
    found = sections(hook.PAGES["commands"]())
    assert sorted(found) == sorted(name for name, _ in commands())
    for name, command in commands():
        for parameter in command.params:
            is_option = parameter.param_type_name == "option"
            words = parameter.opts if is_option else [(parameter.metavar or parameter.name).lower()]
            listed = [row for row in found[name].splitlines() if row.startswith("|")]
            rows = [row for row in listed if re.search(rf"[` ]{re.escape(words[0])}[`., ]", row.split("|")[1].lower())]
            assert len(rows) == 1, (name, words)
            assert len(rows[0].split("|")[2].strip()) > 3, (name, words)


def test_every_setting_of_every_configuration_has_its_meaning(hook):
    rows = {}
    for row in hook.PAGES["settings"]().splitlines():
        if found := re.match(r"\| `([\w.]+)`\{ #\S+ \} \| (.+) <small>(.+)</small> \|", row):
            rows.setdefault(found[1], []).append(found.groups()[1:])
    keys = {key for name in config_names() for key in flat(load_run_config(config_path(name), []).model_dump())}
    keys |= set(Settings.model_fields)
    below = {key for key in keys if not any(key == row or key.startswith(f"{row}.") for row in rows)}
    assert below == set(), "settings without a row"
    for meaning, facts in (row for found in rows.values() for row in found):
        assert meaning.strip()
        assert re.search("; (default .+|required)$", facts), facts
    assert rows["train.learning_rate"] == [("Highest learning rate.", "number, > 0; default `0.0002`")]
    assert len(rows["data.benchmark"]) == 1
    assert len(rows["model.width"]) == 2, "of SpikeMba and of VideoMamba"


def test_every_encoder_benchmark_format_and_call_has_its_facts(hook):
    encoders, benchmarks = sections(hook.PAGES["encoders"]()), sections(hook.PAGES["benchmarks"]())
    assert list(encoders) == list(OWN)
    for name, text in encoders.items():
        assert all(f"`{form}`" in text for form in find_encoder(name).forms)
    assert list(benchmarks) == benchmark_names()
    for name, text in benchmarks.items():
        files = [file for names in find_benchmark(name).files.values() for file in names]
        assert all(f"`{one}`" in text for one in [*files, *(pack.name for pack in find_benchmark(name).packs)])
    assert re.findall(r"^\| `([\w.]+)`\{", hook.PAGES["formats"](), re.MULTILINE) == list(FORMATS)
    assert all(f"`{call.method}` `{call.path}`" in hook.PAGES["calls"]() for call in CALLS)


def test_every_public_name_has_its_place_in_the_python_pages_and_is_there(hook):
    pages = {name: re.findall(r"^::: (\S+)$", page(), re.MULTILINE) for name, page in hook.PAGES.items()}
    assert sorted(pages["python"]) == sorted(f"spikemba.{name}" for name in spikemba.__all__)
    rooms = {
        "python-scan": ("ops", operator_names),
        "python-metrics": ("metrics", metric_names),
        "python-library": ("library", library_names),
    }
    for page, (room, names) in rooms.items():
        assert {f"spikemba.{room}.{name}" for name in names} <= set(pages[page])
    for name in (name for names in pages.values() for name in names):
        resolve_name(name)  # raises where there is none


def test_docstrings_keep_their_lines_and_signs(hook):
    markdown = resolve_name("reference.prose").as_markdown(
        "h[t] = a*b of <name> in `a*b`.\n\nx: (B, L, E).\nReturns y: _same_."
    )
    assert markdown == "h\\[t\\] = a\\*b of &lt;name> in `a*b`.\n\nx: (B, L, E).  \nReturns y: \\_same\\_."


def test_links_that_leave_the_pages_name_the_file_and_others_stay(hook):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="scan.md"))
    config = SimpleNamespace(docs_dir=str(DOCS))
    text = "[RESULTS](../pyproject.toml), [`spikemba/ops`](../spikemba/ops/), [terms](glossary.md)"
    shown = hook.on_page_markdown(text, page=page, config=config)
    assert shown == "RESULTS (`pyproject.toml`), `spikemba/ops`, [terms](glossary.md)"


def test_the_python_of_the_page_from_python_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    shutil.copy(ROOT / "examples" / "shapes.mp4", tmp_path)
    monkeypatch.chdir(tmp_path)
    variables = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text("utf-8"), re.DOTALL):
        exec(block, variables)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("22 to 26 s, score 0.9")
    assert printed[-1] == "100.0"
