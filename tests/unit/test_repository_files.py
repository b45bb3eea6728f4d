"""What stands beside the code for people and machines stays true: versions, workflow, hooks, citation, changelog."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from container.dockerfile import context_of, stages_of, steps_of
from packaging.version import Version

import spikemba

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PAGES = [ROOT / f"{name}.md" for name in ("CONTRIBUTING", "SECURITY", "UPGRADING", "CHANGELOG")]
CFF_KEYS = {
    *("abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords"),
    *("license", "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact"),
    *("repository-code", "title", "type", "url", "version"),
}
"""Of the Citation File Format 1.2.0."""
REFERENCE_KEYS = {"type", "title", "authors", "year", "url", "identifiers", "collection-title"}
"""Those of its reference keys that are used here."""


def yaml_of(name):
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def recipe(target):
    """The commands of a target of the Makefile, the programs without their folder."""
    body = re.search(rf"(?m)^{target}:.*\n((?:\t.*\n)+)", MAKEFILE)[1]
    return [line.strip().replace("$(BIN)/", "") for line in body.splitlines()]


def test_the_version_stands_in_the_package_alone():
    assert "version" not in PROJECT["project"]
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "spikemba/__init__.py"}
    assert str(Version(spikemba.__version__)) == spikemba.__version__


def test_the_changelog_has_dated_sections_the_newest_first_and_its_first_is_this_version():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    sections = re.findall(r"(?m)^## (.*)$", text)
    parsed = [re.fullmatch(r"(\d+\.\d+\.\d+) — (unreleased|\d{4}-\d\d-\d\d)", one) for one in sections]
    assert all(parsed), sections
    versions = [Version(one[1]) for one in parsed]
    assert versions == sorted(set(versions), reverse=True)
    now = Version(spikemba.__version__)
    assert versions[0] == Version(now.base_version)
    assert (parsed[0][2] == "unreleased") == now.is_devrelease
    assert all(one[2] != "unreleased" for one in parsed[1:])
    assert set(re.findall(r"(?m)^### (.*)$", text)) <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }


def test_upgrading_has_every_version_of_the_changelog():
    text = (ROOT / "UPGRADING.md").read_text("utf-8")
    told = [re.findall(r"\d+\.\d+\.\d+", line)[-1] for line in re.findall(r"(?m)^## (.*)$", text)]
    assert told == re.findall(r"(?m)^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"))


def test_what_upgrading_tells_to_set_is_what_files_without_these_settings_get():
    from pipelines.tasks.grounding.config import RunConfig
    from spikemba import losses
    from spikemba.config import flat, parse_overrides
    from spikemba.model.spikemba import network

    text = (ROOT / "UPGRADING.md").read_text("utf-8")
    before = flat({"model": network._BEFORE, "loss": losses._BEFORE})
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    wanted = flat(yaml.safe_load(block))
    resolved = flat(RunConfig.parse(yaml.safe_load(block)).model_dump())
    assert {key: resolved[key] for key in wanted} == wanted
    assert {key: value for key, value in wanted.items() if before.get(key, value) != value} == {}
    retired = re.findall(r"`([a-z_.]+=[a-z]+)`", text.partition("Retired values")[2].partition("\n\n")[0])
    assert len(retired) == 4
    for setting in retired:
        key, _, value = setting.partition("=")
        assert flat(RunConfig.parse(parse_overrides([setting])).model_dump())[key] == value


def test_the_citation_has_the_keys_of_its_format_and_the_three_papers():
    tree = yaml_of("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(tree) <= CFF_KEYS
    assert (tree["cff-version"], tree["license"]) == ("1.2.0", PROJECT["project"]["license"])
    for one in tree["references"]:
        assert {"type", "title", "authors"} <= set(one) <= REFERENCE_KEYS
        assert all(set(author) <= {"given-names", "family-names"} for author in one["authors"])
    papers = {one["identifiers"][0]["value"].removeprefix("arXiv:") for one in tree["references"]}
    assert papers == set(re.findall(r"arxiv.org/abs/([\d.]+)", (ROOT / "README.md").read_text("utf-8")))


def test_the_workflow_calls_the_two_commands_on_every_system_and_python_that_is_promised():
    jobs = yaml_of(".github/workflows/checks.yml")["jobs"]
    runs = {job: [step["run"] for step in jobs[job]["steps"] if "run" in step] for job in jobs}
    for job in ("test", "demo"):
        program, target, *variables = shlex.split(runs[job][-1])
        assert (program, target) == ("make", job)
        assert re.search(rf"(?m)^{target}:", MAKEFILE)
        assert all(
            f"$({variable.partition('=')[0]})" in MAKEFILE.replace("$(if $(CPU)", "$(CPU)") for variable in variables
        )
        assert {system.partition("-")[0] for system in jobs[job]["strategy"]["matrix"]["os"]} == {
            "ubuntu",
            "macos",
            "windows",
        }
    pythons = jobs["test"]["strategy"]["matrix"]["python"]
    assert pythons == [f"3.{minor}" for minor in range(11, 15)]
    assert f">={pythons[0]}" == PROJECT["project"]["requires-python"]
    assert "never run" in (ROOT / "docs" / "releasing.md").read_text("utf-8")


def test_compiled_wheels_are_built_once_for_each_kind_of_machine_and_tried():
    how = PROJECT["tool"]["cibuildwheel"]
    machines = [identifier.partition("-")[2] for identifier in how["build"].split()]
    assert sorted(machines) == sorted({"manylinux_x86_64", "manylinux_aarch64", "macosx_arm64", "win_amd64"})
    assert how["environment"] == {"SPIKEMBA_WHEEL_KERNELS": "1"}
    (script,) = re.findall(r"\{project\}/(\S+)", how["test-command"])
    assert (ROOT / script).is_file()
    jobs = yaml_of(".github/workflows/wheels.yml")["jobs"]
    assert len(jobs["compiled"]["strategy"]["matrix"]["os"]) == len(machines)


def files_of(sources):
    """What git knows; in a copy without git, what lies beside and below the sources of COPY."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        return listed.stdout.splitlines()
    below = [path for source in sources for path in (ROOT / source).rglob("*")]
    return [path.relative_to(ROOT).as_posix() for path in (*ROOT.iterdir(), *below) if path.is_file()]


def test_the_dockerfile_copies_what_its_context_holds_and_ends_without_a_compiler_and_without_root():
    stages = stages_of((ROOT / "Dockerfile").read_text("utf-8"))
    sources = [
        source
        for steps in stages.values()
        for step in steps
        if step.name == "COPY" and not step.rest.startswith("--from")
        for source in step.words[:-1]
    ]
    context = context_of(ROOT, files_of(sources))
    assert not any("__pycache__" in path or path.startswith(("tests", "docs", ".venv")) for path in context)
    for source in sources:
        assert any(path == source or path.startswith(source.rstrip("/") + "/") for path in context), source
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    built, image = ({step.name: step for step in steps} for steps in stages.values())
    copied = {word.rstrip("/") for step in stages["wheel"] if step.name == "COPY" for word in step.words[:-1]}
    assert {*packages["packages"], *packages["force-include"], packages["hooks"]["custom"]["path"]} <= copied
    assert built["RUN"].rest.startswith("SPIKEMBA_WHEEL_KERNELS=1 ")
    assert not any("gcc" in step.rest for step in list(stages.values())[-1])
    assert image["USER"].rest != "root"
    assert image["ENTRYPOINT"].words == list(PROJECT["project"]["scripts"])


def test_a_line_of_a_dockerfile_that_is_not_understood_is_named():
    assert [*steps_of('# a\nRUN a \\\n  && b\nENTRYPOINT ["c"]\n')] == [("RUN", "a   && b"), ("ENTRYPOINT", '["c"]')]
    with pytest.raises(ValueError, match="HEALTHCHECK is not one of ARG, COPY"):
        steps_of("FROM a\nHEALTHCHECK NONE\n")


def test_the_hooks_are_the_ruff_of_make_lint():
    (repository,) = yaml_of(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # so that the one version is that of constraints.txt
    hooks = [shlex.split(hook["entry"]) for hook in repository["hooks"]]
    assert all(hook["language"] == "system" for hook in repository["hooks"])
    assert all(entry[0] == ".venv/bin/ruff" for entry in hooks)
    asked = [[part for part in entry[1:] if part != "--force-exclude"] for entry in hooks]
    assert asked == [line.split()[1:-1] for line in recipe("lint") if line.startswith("ruff ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere_and_make_has_every_target_that_is_named(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE):
        assert re.search(rf"(?m)^{target}:", MAKEFILE), target
    for path in re.findall(r"`((?:spikemba|pipelines|tests|configs|docs)/[\w./-]*)`", text):
        assert "NAME" in path or (ROOT / path).exists(), path


def test_every_package_says_that_it_is_typed():
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert [name for name in packages if not (ROOT / name / "py.typed").is_file()] == []
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]
