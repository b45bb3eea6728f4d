"""Today's code gives the golden numbers; tests/golden/HOW.md says what they are and when they may change."""

import json
import re

import pytest
from golden import inputs, make, today
from golden.files import ANSWER, NETWORK, differences, read

ROOT = make.ROOT


@pytest.fixture
def compiled():
    """The compiled kernels, or a skipped test."""
    if reason := today.can_compile():
        pytest.skip(f"the kernels cannot be compiled here: {reason}")
    with today.kernels(compiled=True):
        yield


@pytest.mark.parametrize("name", [name for name in make.FILES if name != "five_losses.json"])
def test_today_gives_what_the_golden_file_holds(name):
    golden = make.FILES[name]
    assert differences(golden.make(), read(make.MADE / name), golden.tolerance) == []


def test_five_steps_of_the_shapes_configuration_lose_what_they_lost():
    if not today.draws_with_mkl():
        pytest.skip("this torch was built without MKL, so its dropout draws other numbers")
    golden = make.FILES["five_losses.json"]
    assert differences(golden.make(), read(make.MADE / "five_losses.json"), golden.tolerance) == []


def test_the_compiled_kernels_give_the_golden_outputs_of_the_bundled_checkpoint(compiled):
    found = today.grounding_outputs(today.BUNDLED, inputs.fixed_batch(*today.feature_widths(today.BUNDLED)))
    assert differences(found, read(make.MADE / "bundled_network.npz"), NETWORK) == []


def test_the_compiled_kernels_give_the_golden_features_of_the_bundled_encoder(compiled):
    found = today.mini_outputs(None, inputs.pictures(3, 8, 64), make.SENTENCES)
    assert differences(found, read(make.MADE / "bundled_encoder.npz"), NETWORK) == []


def readme_block():
    """The command at the top of README, and what it says the command prints."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```console\n(?:[^`]*?\n)?\$ (spikemba ground .*?)\n(.*?)```", text, re.DOTALL)
    assert block is not None, "README no longer begins with a grounded video"
    return block.groups()


def test_readme_shows_the_golden_answer_to_the_letter():
    command, shown = readme_block()
    assert command == f'spikemba ground {make.VIDEO} "{make.QUERY}" --checkpoint {today.BUNDLED}'
    moments = read(make.MADE / "readme_answer.json")["moments"]
    rows = [f"{one['start_s']:.2f}\t{one['end_s']:.2f}\t{one['score']:.3f}\n" for one in moments]
    assert shown == "".join(["start_s\tend_s\tscore\n", *rows])


def test_the_command_of_readme_prints_what_readme_shows():
    _, shown = readme_block()
    printed = today.spikemba("ground", ROOT / make.VIDEO, make.QUERY, "--checkpoint", today.BUNDLED)

    def table(text):
        head, *rows = text.splitlines()
        return {"columns": head.split("\t"), "rows": [[float(cell) for cell in row.split("\t")] for row in rows]}

    assert differences(table(printed), table(shown), ANSWER) == []


def test_the_golden_answer_holds_as_many_saliencies_as_clips():
    answer = json.loads((make.MADE / "readme_answer.json").read_text(encoding="utf-8"))
    assert len(answer["saliency"]) == answer["duration_s"] / answer["clip_s"]
