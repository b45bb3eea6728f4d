"""The page of the encoders: its table is the registry's, and the encoder it builds is installed and used as it says."""

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from broken_packages import spikemba

from spikemba.encoders.registry import OWN, find_encoder, load_encoder
from spikemba.video.sampling import FrameRule, sample_frames

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")


def rows():
    """Cells of the page's table, a row per encoder."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_the_table_is_what_the_entries_say():
    entries = [find_encoder(name) for name in OWN]
    for entry, (names, what, text, *_, weights) in zip(entries, rows(), strict=True):
        assert names.split(", ") == [f"`{form}`" for form in entry.forms]
        assert what.startswith(entry.what)
        assert text == ("yes" if entry.reads_text else "no")
        source = entry.source and entry.source()
        if source is not None:
            assert ("a folder" if source.file.startswith("the repository") else f"`{source.file}`") in weights


def test_the_table_has_the_sizes_of_the_bundled_encoder():
    encoder = load_encoder("mini")
    (row,) = [row for row in rows() if row[0] == "`mini`"]
    assert row[3:] == [str(encoder.frames_per_clip), str(encoder.dim), "in the package"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which pip would put the page's package."""
    project, place = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("installed")
    (project / "colour_encoder.py").write_text(block("python"))
    (project / "pyproject.toml").write_text(block("toml"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (project / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place)
    return place


def test_the_pages_encoder_is_known_wherever_one_is_named(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    shutil.copy(ROOT / "examples" / "shapes.mp4", "videos")
    done = {}
    for line in block("sh").splitlines():
        _, command, *words = shlex.split(line)
        done[command] = spikemba(installed, command, *words)
        assert done[command].returncode == 0, done[command].stderr
    assert "colour\tcolour-encoder" in done["config"].stdout.splitlines()
    assert "encoder colour\tok\ta clip of 2 frames to (1, 3)" in done["doctor"].stdout.splitlines()
    features = np.load(tmp_path / "features" / "colour" / "shapes.npz")["features"]
    pictures = [frame.image for frame in sample_frames(Path("videos/shapes.mp4"), FrameRule(fps=1, size_px=32))]
    wanted = np.stack(pictures).reshape(-1, 2 * 32 * 32, 3).mean(1)  # clips of 2 s by default, two frames each
    np.testing.assert_allclose(features, wanted, rtol=1e-5)
    assert len(features) == len(np.load(tmp_path / "features" / "mini" / "shapes.npz")["features"])


def test_without_its_package_the_name_is_unknown(tmp_path):
    done = spikemba(tmp_path, "extract", ROOT / "examples" / "shapes.mp4", "--encoder", "colour", "--out", tmp_path)
    assert done.returncode == 1
    assert re.search("no encoder is called 'colour'; there are 13: clap, clip, .*mini, ", " ".join(done.stderr.split()))
