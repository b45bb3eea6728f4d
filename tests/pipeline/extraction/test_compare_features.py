"""Two feature folders: how close, and why not closer."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.extraction.compare_features import compare_features
from spikemba import features
from spikemba.errors import FeaturesMissing
from spikemba.features import Manifest
from spikemba_cli.main import app

RNG = np.random.default_rng(0)
ROWS = {f"v{i}": RNG.normal(size=(20 + i, 16)).astype(np.float32) for i in range(4)}


def write(folder, rows, **manifest):
    dim = next(iter(rows.values())).shape[1]
    if manifest:
        features.write_manifest(folder, Manifest(encoder="clip", dim=dim, **manifest))
    for name, values in rows.items():
        features.write_video_features(folder, name, values)
    return folder


def only(a, b):
    (found,) = compare_features(a, b)
    return found


def test_the_same_features_are_the_same(tmp_path):
    found = only(write(tmp_path / "a" / "clip", ROWS).parent, write(tmp_path / "b" / "clip_features", ROWS).parent)
    assert (found.encoder, found.n_common, found.n_lengths, found.reasons) == ("clip", 4, 0, ())
    assert found.cosine_min == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x[:-1], "one row more or less"),
        (lambda x: x[::2], "other numbers of rows"),
        (lambda x: x / np.linalg.norm(x, axis=1, keepdims=True), "B is normalised to length 1"),
        (lambda x: np.concatenate((x[:1], x[:-1])), "rows of B come one clip late"),
        (lambda x: np.concatenate((x[1:], x[-1:])), "rows of A come one clip late"),
        (lambda x: x + 0.01 * RNG.normal(size=x.shape), "rounding"),
        (lambda x: x + 0.1 * RNG.normal(size=x.shape), "resized, cropped or decoded otherwise"),
        (lambda x: x + 0.6 * RNG.normal(size=x.shape), "other frames"),
        (lambda x: RNG.normal(size=x.shape), "other weights"),
        (lambda x: x[:, :8], "the widths differ"),
    ],
)
def test_what_differs_is_guessed_from_the_numbers(tmp_path, change, reason):
    found = only(write(tmp_path / "a", ROWS), write(tmp_path / "b", {k: change(v) for k, v in ROWS.items()}))
    assert any(reason in one for one in found.reasons), found.reasons


def test_swapped_pathways_are_recognised(tmp_path):
    wide = {"v": RNG.normal(size=(9, 2304)).astype(np.float32)}
    swapped = {"v": np.concatenate((wide["v"][:, 2048:], wide["v"][:, :2048]), axis=1)}
    found = only(write(tmp_path / "a", wide), write(tmp_path / "b", swapped))
    assert "the slow and the fast pathway are joined in the other order" in found.reasons


def test_what_the_manifests_say_comes_first(tmp_path):
    a = write(tmp_path / "a", ROWS, weights="a" * 64, clip_s=2.0, frames="0.5 fps, short_side_crop 224 px")
    b = write(tmp_path / "b", ROWS, weights="b" * 64, clip_s=1.0, frames="1 fps, short_side_crop 224 px")
    assert only(a, b).reasons[:3] == (
        "weights aaaaaaaaaaaa and bbbbbbbbbbbb",
        "clip length 2.0 and 1.0",
        "frames 0.5 fps, short_side_crop 224 px and 1 fps, short_side_crop 224 px",
    )


def test_folders_without_a_common_encoder_or_video_are_refused(tmp_path):
    a = write(tmp_path / "a" / "clip", ROWS).parent
    write(tmp_path / "a" / "x", ROWS)
    b = write(tmp_path / "b" / "slowfast", ROWS).parent
    with pytest.raises(FeaturesMissing, match="any encoder"):
        compare_features(a, b)
    c = write(tmp_path / "c", {"other": np.ones((20, 512), np.float32)})
    with pytest.raises(FeaturesMissing, match="any of the 4 items"):
        compare_features(tmp_path / "a" / "clip", c)


def test_the_command_prints_a_table_and_the_reasons(tmp_path):
    a, b = write(tmp_path / "a" / "clip", ROWS), write(tmp_path / "b" / "clip", {k: v[:-1] for k, v in ROWS.items()})
    result = CliRunner().invoke(app, ["features", "compare", str(a.parent), str(b.parent)])
    lines = result.stdout.splitlines()
    assert lines[0].split("\t")[:2] == ["encoder", "common"]
    assert lines[1].split("\t")[:5] == ["clip", "4", "0", "0", "4"]
    assert lines[2].startswith("clip: one row more or less")
    document = json.loads(CliRunner().invoke(app, ["features", "compare", str(a), str(b), "--json"]).stdout)
    assert document[0]["n_lengths"] == 4
