"""From a correction on the page to another answer: kept, prepared beside the table, trained on, asked again."""

import numpy as np
import pytest

import spikemba
from pipelines.extraction.extract import extract
from pipelines.preparation.prepare import prepare_custom
from pipelines.serving.messages import Correction
from pipelines.serving.service import Service, ServiceOptions
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train
from spikemba.datasets.annotations import read_annotations

QUERY = "a red circle enters"
OLD, NEW = (2.0, 6.0), (12.0, 18.0)
LEARNT = [  # by heart, in a second or two
    "model.width=32",
    "model.n_blocks=1",
    "model.slots.n_slots=2",
    "model.spiking_saliency.n_spike_steps=2",
    "model.spiking_saliency.n_heads=2",
    "train.epochs=20",
    "train.batch_size=1",
    "train.learning_rate=5e-3",
]


@pytest.fixture
def footage(make_video, tmp_path):
    """Three videos of 20 s, red and then blue for a while, and a table that gives the red part of each."""
    for i in range(3):
        images = np.full((80, 32, 32, 3), 30 * i, np.uint8)
        for (start_s, end_s), colour in ((OLD, 0), (NEW, 2)):
            images[int(4 * start_s) : int(4 * end_s), ..., colour] = 255
        make_video(f"footage/v{i}.mp4", images, fps=4)
    rows = [f"v{i}.mp4,{OLD[0]},{OLD[1]},{QUERY}" for i in range(3)]
    (tmp_path / "moments.csv").write_text("\n".join(["video,start,end,query", *rows]) + "\n")
    return tmp_path


def trained(folder, *sources, name):
    """A run folder, trained on what the sources say."""
    out = folder / "data"
    prepared = prepare_custom(sources, out, videos=folder / "footage", encoder="mini", val_share=0)
    extract([folder / "footage"], "mini", out / "features", queries=[out / "train.jsonl"])
    train(load_config(prepared.config, LEARNT), folder / name)
    return folder / name


def overlap(answer, window):
    """IoU of the best moment with a window."""
    best = answer.answer.moments[0]
    shared = max(0.0, min(best.end_s, window[1]) - max(best.start_s, window[0]))
    return shared / (best.end_s - best.start_s + window[1] - window[0] - shared)


def test_a_correction_becomes_a_training_row_and_changes_the_retrained_answer(footage):
    before = spikemba.load(str(trained(footage, footage / "moments.csv", name="before")))
    service = Service([footage / "footage"], {"before": before}, ServiceOptions(corrections=footage / "corrections"))
    try:
        video = service.videos.all()[0]
        first = before.ground(video.path, QUERY)
        assert overlap(first, OLD) > 0.5 > overlap(first, NEW)
        said = Correction(name="Ana", video=video.id, query=QUERY, windows=[[*NEW]], wrong=[[*OLD]], model="before")
        service.correct(said)
        assert [one.by for one in service.truth(video.id).queries] == ["Ana"]
    finally:
        service.close()

    sources = footage / "moments.csv", footage / "corrections"
    after = spikemba.load(str(trained(footage, *sources, name="after")))
    windows = {row.video_id: row.windows for row in read_annotations(footage / "data" / "train.jsonl")}
    assert windows.pop(video.video_id) == (NEW,)
    assert {*windows.values()} == {(OLD,)}
    second = after.ground(video.path, QUERY)
    assert overlap(second, NEW) > 0.3 > overlap(second, OLD)
