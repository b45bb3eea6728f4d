"""Sound as one more stream: trained on, evaluated, and heard again when a checkpoint grounds a raw video."""

import numpy as np
import pytest
import yaml
from sound_files import tone, write_sound_video

import spikemba
from pipelines.extraction.extract import extract
from pipelines.extraction.job import RunOptions
from pipelines.extraction.show_features import show_features
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.grounding.evaluate import evaluate
from pipelines.tasks.train import train
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.encoders.registry import find_encoder
from spikemba.encoding.videos import encode_video
from spikemba.errors import WeightsMissing
from spikemba.features import FeatureFolder
from spikemba.moments import Window

SILENT = "v3"


@pytest.fixture(scope="module")
def heard(tmp_path_factory, tiny, random_mini):
    """A run of a tiny network on mini + clap about four videos, of which one has no sound."""
    out = tmp_path_factory.mktemp("heard")
    name, folder = find_encoder("clap").tiny(tmp_path_factory.mktemp("clap"))
    weights = {name: folder, "mini": random_mini}
    for i in range(4):
        samples = None if f"v{i}" == SILENT else tone(300 * (i + 1), 16000, 12, [(4, 8)])
        write_sound_video(out / f"videos/v{i}.mov", samples, seconds=12)
    rows = [Annotation(i, "a red dog", f"v{i}", 12.0, (Window(4, 8),)) for i in range(4)]
    write_annotations(out / "rows.jsonl", rows)
    done = extract(
        [out / "videos"], "mini+clap", out / "features", queries=[out / "rows.jsonl"], run=RunOptions(weights=weights)
    )
    assert done.lacking == {"sound": [SILENT]}
    data = {
        **dict.fromkeys(("train", "val"), str(out / "rows.jsonl")),
        "video_features": [str(out / "features/mini"), str(out / "features/clap")],
        "text_features": str(out / "features/mini_text"),
    }
    (out / "config.yaml").write_text(yaml.safe_dump({"data": data}))
    train(load_config(out / "config.yaml", tiny), out / "run")
    return out, weights


def test_a_data_set_of_pictures_and_sound_is_trained_and_evaluated(heard):
    out, _ = heard
    assert 0 <= evaluate(out / "run", "val")["brief"]["MR-full-mAP"] <= 100


def test_the_checkpoint_grounds_a_raw_video_by_what_is_seen_and_heard(heard, tmp_path):
    out, weights = heard
    grounder = spikemba.load(out / "run", weights=weights)
    assert [one.name for one in grounder.encoders] == ["mini", "clap"]
    encoded = grounder.read(out / "videos/v0.mov")
    for name, rows in zip(("mini", "clap"), encoded.features, strict=True):
        np.testing.assert_allclose(rows, FeatureFolder(out / "features" / name).video("v0"), atol=1e-6)
    loud = grounder.ground(out / "videos/v0.mov", "a red dog")
    assert loud.moments
    assert len(loud.saliency) == 6
    # the same pictures without their sound: only what is heard can differ
    mute = grounder.ground(write_sound_video(tmp_path / "mute.mov", seconds=12), "a red dog")
    assert len(mute.saliency) == 6
    assert np.abs(mute.saliency - loud.saliency).max() > 1e-6


def test_without_the_weights_of_what_hears_one_line_says_so(heard):
    out, weights = heard
    with pytest.raises(WeightsMissing, match=r"^the weights of clap are not on this machine .*--weights clap=FOLDER"):
        spikemba.load(out / "run", weights={"mini": weights["mini"]})


def test_streams_that_are_encoded_together_or_alone_are_the_same(heard):
    out, weights = heard
    (clap,) = (one for one in spikemba.load(out / "run", weights=weights).encoders if one.name == "clap")
    (rows,) = encode_video(out / "videos/v1.mov", [clap], 2.0).features
    np.testing.assert_array_equal(rows, FeatureFolder(out / "features/clap").video("v1"))
    (silent,) = encode_video(out / f"videos/{SILENT}.mov", [clap], 2.0).features
    np.testing.assert_array_equal(silent, np.zeros((6, clap.dim), np.float32))


def test_features_show_tells_silent_videos_from_damaged_ones(heard):
    out, _ = heard
    found = show_features(out / "features/clap", [out / "rows.jsonl"])
    assert [(one.stops, one.what, one.cure) for one in found.findings] == [
        (False, f"1 of 4 have no sound: {SILENT}", "")
    ]
