"""Every command, option and extra that a message names is there, whole, and quoted where it holds a value.

The messages are read from the code: a text in back quotes is a command, a value in it comes through `command_line`.
tests/cli/test_advice_is_pasted.py runs what can be made to fail in a moment.
"""

import ast
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from typer.main import get_command

from spikemba.errors import closest, command_line, names_like
from spikemba_cli.main import app

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path for package in ("spikemba", "pipelines", "spikemba_cli") for path in (ROOT / package).rglob("*.py")
)
FITTING = {"--form": "lance", "--ef": "100"}
"""What the value of an option may be, where 1 is none."""
VALUE = "\0"
"""What a message fills in."""
MENTION = re.compile(r"\b(that|as|by|to|of|see|next) $")
"""Behind these a command is spoken of, and need not be whole: `the folder that `spikemba train` wrote`."""
PIP = {
    "install",
    "uninstall",
    "-U",
    "-y",
    "--upgrade",
    "--force-reinstall",
    "--no-build-isolation",
    "--no-deps",
    "--index-url",
    "-c",
}
OTHERS = {"--tb", "--once", "--version"}
"""Options of other programs that are named."""


@cache
def texts(path):
    """Every text of a module but its docstrings, with VALUE where it is filled in; and every call of command_line, with
    the function that it stands in.
    """
    found, calls = [], []

    def visit(node, around):
        if isinstance(node, ast.JoinedStr):
            pieces = [str(one.value) if isinstance(one, ast.Constant) else VALUE for one in node.values]
            found.append("".join(pieces))
            children = [one for one in node.values if isinstance(one, ast.FormattedValue)]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            children = []  # a docstring, of a setting too
        else:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "command_line":
                calls.append((node, around))
            children = ast.iter_child_nodes(node)
        for child in children:
            visit(child, node if isinstance(node, ast.FunctionDef) else around)

    tree = ast.parse(path.read_text("utf-8"))
    visit(tree, tree)
    return found, calls


def words_of(call, around):
    """The words of a call of command_line, VALUE where they are only known when it is made."""
    words = []
    for argument in call.args:
        words += spread(argument.value, around) if isinstance(argument, ast.Starred) else [word(argument)]
    return words


def word(node):
    return node.value if isinstance(node, ast.Constant) else VALUE


def spread(node, around):
    """The words of a starred argument: a list, one of two, or one that was given a name before."""
    if isinstance(node, ast.IfExp):
        return spread(node.body, around) or spread(node.orelse, around)
    if isinstance(node, ast.Tuple | ast.List):
        return words_of(ast.Call(node, node.elts, []), around)
    if isinstance(node, ast.Name):
        given = [
            one.value
            for one in ast.walk(around)
            if isinstance(one, ast.Assign | ast.AnnAssign)
            and getattr(one.target if isinstance(one, ast.AnnAssign) else one.targets[0], "id", "") == node.id
        ]
        return spread(given[-1], around) if given else []
    return []


def commands():
    """Where each command of a message stands, its words, and whether they must be whole."""
    for path in MODULES:
        for text in texts(path)[0]:
            if re.match("spikemba [a-z]+", text) and VALUE not in text and "\n" not in text:
                yield path, shlex.split(text), True  # to be put into a message
            for span in re.finditer(r"`((?:spikemba|pip) [^`]*)`", text):
                words = shlex.split(span[1])
                yield path, words, not (MENTION.search(text[: span.start()]) and len(words) <= 3)
        for call, around in texts(path)[1]:
            if (words := words_of(call, around)) != [VALUE]:  # a value alone, quoted as in a command
                yield path, words, True


def test_commands_in_messages_are_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1").mkdir()
    faults, n = [], 0
    for path, words, whole in commands():
        n += 1
        try:
            understood_by_pip(words[1:]) if words[0] == "pip" else understood(words[1:], whole)
        except Exception as fault:
            faults.append(f"{path.relative_to(ROOT)}: {' '.join(words).replace(VALUE, '<value>')}: {fault!r}")
    assert n > 50
    assert not faults, "\n".join(faults)


def test_a_value_in_a_command_comes_through_the_function_that_quotes():
    raw = [
        f"{path.relative_to(ROOT)}: {span}"
        for path in MODULES
        if path.name != "first_screen.py"  # its values are constants of ours, as the tests of that screen paste them
        for text in texts(path)[0]
        for span in re.findall(r"`((?:spikemba|pip) [^`]*)`|(?:next: |then: |^)(spikemba [a-z]+ [^`]*)", text)
        if VALUE in "".join(span)
    ]
    assert not raw, "\n".join(map(str, raw))


def understood(words, whole):
    """Raise what Typer has against a command; of one that need not be whole, that there is none."""
    rest = [as_given(one) for one in words]
    command, name = get_command(app), "spikemba"
    context = command.make_context(name, list(rest), resilient_parsing=True)
    while hasattr(command, "resolve_command") and rest and not rest[0].startswith("-"):
        rest[0] = rest[0] if rest[0] != "1" else any_of(command, context, rest)
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, list(rest), resilient_parsing=True)
    if whole and rest != ["--help"]:
        assert not hasattr(command, "resolve_command"), f"{name} has commands of its own; name one"
        # raises on an unknown option, a missing argument, a value out of range
        command.make_context(name, [FITTING.get(before, one) for before, one in zip(["", *rest], rest, strict=False)])


def any_of(group, context, rest):
    """A command of a group that has the options, and needs no others."""
    given = {one for one in rest if one.startswith("--") and one != "--help"}
    for name in group.list_commands(context):
        taken = group.get_command(context, name).params
        needed = {option.opts[0] for option in taken if option.required}
        if needed <= given <= {name for option in taken for name in option.opts}:
            return name
    raise AssertionError(f"no command takes {given}")


def as_given(one):
    """What a person types for a value, or for a word in CAPITALS, that would do as a number and as a folder."""
    return "1" if one == VALUE or re.fullmatch("[A-Z]+", one) else one


def understood_by_pip(words):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for one in words:
        if one in PIP or VALUE in one or one == ".":
            continue
        wanted = Requirement(one)
        assert wanted.name != "spikemba" or wanted.extras <= set(extras), one


def options():
    """Every option of every command."""
    found, todo = {"--help"}, [get_command(app)]
    while todo:
        command = todo.pop()
        found |= {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        if hasattr(command, "resolve_command"):
            context = command.make_context("any", [], resilient_parsing=True)
            todo += [command.get_command(context, name) for name in command.list_commands(context)]
    return found


def test_options_in_messages_are_those_of_some_command():
    known = options() | PIP | OTHERS
    unknown = [
        f"{path.relative_to(ROOT)}: {option}: {text}"
        for path in MODULES
        for text in texts(path)[0]
        if " " in text and not re.search(r"color-scheme|var\(--", text)  # a word alone is passed on; a style has others
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)
        if option not in known
    ]
    assert not unknown, "\n".join(unknown)


def settings():
    """`section.key` of every setting that a message tells people to set."""
    texts_of_all = [text for path in MODULES for text in texts(path)[0]]
    return sorted({key for text in texts_of_all for key in re.findall(r"--set ([a-z_]+(?:\.[a-z_]+)+)=", text)})


def test_a_setting_in_a_message_is_one_of_some_configuration():
    from pipelines.tasks.registry import kind, kinds

    assert settings()
    roots = [kind(name).config for name in kinds()]
    for path in settings():
        assert any(has(root, path.split(".")) for root in roots), path


def has(section, keys):
    """Whether a configuration has a setting."""
    field = section.model_fields.get(keys[0])
    return field is not None and (len(keys) == 1 or has(field.annotation, keys[1:]))


def test_a_command_is_quoted_as_a_shell_reads_it():
    words = ["spikemba", "index", "a folder", "it's", "spikemba[serve]", "$HOME", "plain/path.mp4"]
    assert shlex.split(command_line(*words)) == words
    assert command_line("spikemba", "index", Path("plain/path.mp4")) == "spikemba index plain/path.mp4"


def test_of_a_name_that_there_is_not_the_closest_are_told_in_a_line():
    assert names_like("Clpi", ["clip", "mini"]) == "there are: clip, mini; did you mean 'clip'?"
    assert names_like("zzz", ["clip", "mini"]) == "there are: clip, mini"
    many = [f"model{i}" for i in range(60)] + ["encoder clip"]
    assert names_like("model5", many).startswith("did you mean 'model5'")
    assert names_like("clipp", many) == "did you mean 'encoder clip'?"
    assert names_like("zzz", many) == f"there are 61: {', '.join(many[:12])}, ..."
    assert names_like("zzz", []) == "there are none"
    assert closest("SHAPES", ["shapes", "claims"]) == ["shapes"]
