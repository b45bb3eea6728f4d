"""From a correction on the page to another answer: kept, prepared beside the table, trained on, asked again."""

from retrained import NEW, OLD, QUERY, film, overlap, trained

import spikemba
from pipelines.serving.corrections_messages import Correction
from pipelines.serving.service import Service, ServiceOptions
from spikemba.datasets.annotations import read_annotations


def best(answer):
    """The window of the best moment."""
    return answer.answer.moments[0][:2]


def test_a_correction_becomes_a_training_row_and_changes_the_retrained_answer(tmp_path):
    film(tmp_path)
    before = spikemba.load(str(trained(tmp_path, tmp_path / "moments.csv", name="before")))
    service = Service([tmp_path / "footage"], {"before": before}, ServiceOptions(corrections=tmp_path / "corrections"))
    try:
        video = service.videos.all()[0]
        first = before.ground(video.path, QUERY)
        assert overlap(best(first), OLD) > 0.5 > overlap(best(first), NEW)
        said = Correction(name="Ana", video=video.id, query=QUERY, windows=[[*NEW]], wrong=[[*OLD]], model="before")
        service.correct(said)
        assert [one.by for one in service.truth(video.id).queries] == ["Ana"]
    finally:
        service.close()

    sources = tmp_path / "moments.csv", tmp_path / "corrections"
    after = spikemba.load(str(trained(tmp_path, *sources, name="after")))
    windows = {row.video_id: row.windows for row in read_annotations(tmp_path / "data" / "train.jsonl")}
    assert windows.pop(video.video_id) == (NEW,)
    assert {*windows.values()} == {(OLD,)}
    second = after.ground(video.path, QUERY)
    assert overlap(best(second), NEW) > 0.3 > overlap(best(second), OLD)
