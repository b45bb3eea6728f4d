"""What an error advises is pasted: a mistake is made, its advice is run as it stands, and the command then works.

Words in CAPITALS are what only the user knows. Advice that costs minutes, a network or a GPU is read by
tests/cli/test_commands_in_messages.py alone.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typed import run

EXAMPLE = Path(__file__).parents[2] / "examples" / "shapes.mp4"
ASKED = "a red circle enters"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a blank in its name, with a short piece of footage, as the current one."""
    place = tmp_path / "my work"
    (place / "my videos").mkdir(parents=True)
    shutil.copy(EXAMPLE, place / "my videos" / "shapes.mp4")
    monkeypatch.chdir(place)
    return place


def advised(*command, **known):
    """The last command in back quotes of what a failing command says, its words in CAPITALS filled in."""
    said = fails(*command)
    words = shlex.split(re.findall(r"`spikemba ([^`]*)`", said)[-1])
    return [str(known.get(word, word)) for word in words]


def fails(*command):
    """What a command says that exits with 1 or 2, as one line."""
    result = run(*command)
    assert result.exit_code in (1, 2), result.output
    return " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())


def works(*command):
    result = run(*command)
    assert result.exit_code == 0, (command, result.output)
    return result


def added(command, said):
    """The command with the first `--option value` that the message advises, in place of its own or behind it."""
    option, value = re.search(r"(--[a-z-]+) ([a-z]+)", said).groups()
    changed = [str(word) for word in command]
    if option in changed:
        changed[changed.index(option) + 1] = value
        return changed
    return [*changed, option, value]


def test_a_library_that_is_not_there_is_made_and_one_of_other_rows_is_begun_anew():
    search = "search", ASKED, "--checkpoint", "mini", "--library", "my library"
    index = advised(*search, VIDEOS="my videos", ENCODER="mini")
    assert index == ["index", "my videos", "--encoder", "mini", "--library", "my library"]
    works(*index, "--clip-length", "4")  # other rows than the checkpoint reads
    dropped = advised(*search)
    assert dropped[:2] == ["library", "drop"]
    works(*dropped)
    works(*advised(*search, VIDEOS="my videos"))
    assert "shapes.mp4" in works(*search).stdout
    works(*advised("library", "drop", "--below", "no such folder", "--library", "my library"))


def test_features_that_are_missing_are_made(here):
    row = {"qid": 1, "query": ASKED, "vid": "shapes", "duration": 30, "relevant_windows": [[21.3, 25.8]]}
    Path("rows.jsonl").write_text(json.dumps(row))
    Path("my config.yaml").write_text(
        "data: {val: rows.jsonl, video_features: [my features/mini], text_features: my features/mini_text}"
    )
    evaluate = "evaluate", "mini", "--config", "my config.yaml"
    (here / "my features" / "mini").mkdir(parents=True)
    for _ in ("videos", "sentences"):
        works(*advised(*evaluate, VIDEOS="my videos", ANNOTATIONS="rows.jsonl"))
    assert "no features" not in run(*evaluate).output


def test_without_weights_the_encoder_that_needs_none_works():
    ground = "ground", "my videos/shapes.mp4", ASKED, "--encoder", "siglip2"
    said = fails(*ground)
    works(*added(ground, said[said.index("offline, ") :]))
    works(*shlex.split(re.findall(r"`spikemba ([^`]*)`", fails("extract", "my videos", "--encoder", "clip"))[-1]))


def test_a_folder_that_nothing_prepared_leads_to_what_prepares(here):
    (here / "empty").mkdir()
    works(*advised("train", "--dataset", "shapes", "--data", "empty", "--dry-run"))


def test_a_video_encoder_asked_to_ground_is_asked_what_it_knows(here):
    from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, save_video_checkpoint
    from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig

    config = VideoMambaConfig(preset="park-s", n_blocks=1, width=8, n_frames=2, size_px=32, n_classes=2)
    save_video_checkpoint(here / "my model", VideoCheckpoint(VideoMamba(config), ["a", "b"]))
    video = "my videos/shapes.mp4"
    works(*advised("ground", video, ASKED, "--checkpoint", "my model", VIDEO=video))


MISTYPED = {
    "a checkpoint": (["ground", "my videos/shapes.mp4", ASKED, "--checkpoint", "minni"], "minni", 0),
    "an encoder": (["extract", "my videos", "--encoder", "mni"], "mni", 0),
    "an encoder of weights": (["extract", "my videos", "--encoder", "mini", "--weights", "clpi=x"], "clpi", 0),
    "a format": (["ground", "my videos/shapes.mp4", ASKED, "--checkpoint", "mini", "--format", "cvs"], "cvs", 0),
    "a configuration": (["config", "show", "shapse"], "shapse", 0),
    "a data set": (["train", "--dataset", "shapse"], "shapse", 1),  # which is not prepared
    "a section": (["config", "show", "shapes", "--set", "modle.width=8"], "modle", 0),
    "a setting": (["config", "show", "shapes", "--set", "model.widht=8"], "widht", 0),
    "a split": (["evaluate", "mini", "--split", "tset"], "tset", 1),  # of no data
    "a command": (["confgi", "list"], "confgi", 0),
    "a command's command": (["config", "lits"], "lits", 0),
    "a line of doctor": (["doctor", "--only", "torhc"], "torhc", None),
    "an ablation": (["ablate", "shapes", "--only", "slto", "--list"], "slto", 0),
    "a benchmark": (["config", "show", "shapes", "--set", "data.benchmark=tvsumm"], "tvsumm", 0),
}


@pytest.mark.parametrize("what", MISTYPED)
def test_a_name_that_there_is_not_comes_back_with_the_one_that_was_meant(what):
    command, wrong, code = MISTYPED[what]
    said = fails(*command)
    assert len(said) < 600, said
    meant = re.search(r"[Dd]id you mean '([^']*)'", said)
    assert meant, said
    if code is not None:  # None: it takes long
        assert run(*(word.replace(wrong, meant[1]) for word in command)).exit_code == code


def test_an_option_that_there_is_not_comes_back_with_the_one_that_was_meant():
    said = fails("config", "list", "--jsno")
    works("config", "list", re.search(r"Possible options: (--\S+)\)", said)[1])
