"""Extraction: bad files among good ones, breaking off, provenance."""

import json
from itertools import islice

import numpy as np
import pytest

from pipelines.extraction import job
from pipelines.extraction.extract import extract
from pipelines.extraction.job import ExtractEvents
from spikemba.encoders import load_encoder
from spikemba.encoding.videos import encode_videos
from spikemba.errors import AnnotationError, FeaturesMismatch, OutputError, UnknownName, VideoError
from spikemba.features import FeatureFolder, read_manifest, write_query_features
from spikemba.video.clips import ClipCutter


def frames(n, size=32):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture
def ten(make_video, tmp_path):
    """A folder of ten videos, two of them bad."""
    for i in range(8):
        make_video(f"videos/good{i}.mp4", frames(20 + 5 * i), fps=5)
    (tmp_path / "videos" / "text.mp4").write_text("not a video")
    (tmp_path / "videos" / "empty.mp4").touch()
    return tmp_path / "videos"


def test_bad_videos_do_not_stop_the_good_ones(ten, tmp_path):
    told = []
    result = extract([ten], "mini", tmp_path / "f", events=ExtractEvents(failed=lambda path, _: told.append(path.name)))
    assert sorted(result.encoded) == [f"good{i}" for i in range(8)]
    assert sorted(told) == sorted(path.name for path in result.failed) == ["empty.mp4", "text.mp4"]
    folder = FeatureFolder(tmp_path / "f" / "mini")
    for i in range(8):
        assert folder.video(f"good{i}").shape == (int((4 + i) / 2 + 0.5), folder.manifest.dim)
    assert not [p for p in (tmp_path / "f").rglob("*") if p.name.startswith(".")]


def test_what_is_finished_is_not_done_again(ten, tmp_path, monkeypatch):
    def dying(*args, **how):
        yield from islice(encode_videos(*args, **how), 5)
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "encode_videos", dying)
    with pytest.raises(KeyboardInterrupt):
        extract([ten], "mini", tmp_path / "f")
    done = [path.stem for path in (tmp_path / "f" / "mini").glob("*.npz")]
    assert 0 < len(done) < 8
    monkeypatch.undo()
    result = extract([ten], "mini", tmp_path / "f")
    assert sorted(result.kept) == sorted(done)
    assert len(result.kept) + len(result.encoded) == 8


def test_features_do_not_depend_on_what_else_is_extracted(ten, tmp_path):
    extract([ten], "mini", tmp_path / "all")
    extract([ten / "good3.mp4"], "mini", tmp_path / "one")
    a, b = (np.load(tmp_path / name / "mini" / "good3.npz")["features"] for name in ("all", "one"))
    np.testing.assert_array_equal(a, b)


def test_the_manifest_says_what_made_the_features(corpus):
    manifest = read_manifest(corpus / "features" / "mini")
    encoder = load_encoder("mini")
    assert manifest.model_dump() == {
        "encoder": "mini",
        "kind": "video",
        "dim": encoder.dim,
        "weights": encoder.weights,
        "clip_s": 2.0,
        "frames": "4 fps, short_side_crop 64 px",
        "dtype": "float32",
        "content": None,
    }
    assert read_manifest(corpus / "features" / "mini_text").kind == "text"


def test_clips_of_another_length_do_not_go_into_the_same_folder(ten, tmp_path):
    extract([ten / "good0.mp4"], "mini", tmp_path / "f")
    with pytest.raises(FeaturesMismatch, match="clip_s 2.0 \\(now 1.0\\)"):
        extract([ten / "good1.mp4"], "mini", tmp_path / "f", clip_s=1.0)


def test_half_precision_is_stored_when_asked_for(ten, tmp_path):
    extract([ten / "good0.mp4"], "mini", tmp_path / "f", dtype="float16")
    assert np.load(tmp_path / "f" / "mini" / "good0.npz")["features"].dtype == np.float16


def test_nothing_starts_with_what_cannot_work(ten, tmp_path):
    with pytest.raises(UnknownName, match="no encoder is called 'minni'; did you mean 'mini'"):
        extract([ten], "minni", tmp_path / "f")
    (tmp_path / "bare").mkdir()
    with pytest.raises(VideoError, match="holds no videos"):
        extract([tmp_path / "bare"], "mini", tmp_path / "f")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        extract([ten], "mini", tmp_path / "file")
    assert not (tmp_path / "f").exists()


def test_queries_are_encoded_once_and_bad_ones_named(tmp_path, corpus):
    rows = [json.loads(line) for line in (corpus / "val.jsonl").read_text().splitlines()]
    good = tmp_path / "good.jsonl"
    good.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert extract([], "mini", tmp_path / "f", queries=[good]).n_queries == len(rows)
    assert extract([], "mini", tmp_path / "f", queries=[good]).n_queries == 0
    tokens = FeatureFolder(tmp_path / "f" / "mini_text").text(rows[0]["qid"])
    assert tokens.shape[0] == len(rows[0]["query"].split())
    bad = tmp_path / "bad.jsonl"
    bad.write_text(
        json.dumps({**rows[0], "qid": 1, "query": " "}) + "\n" + json.dumps({**rows[1], "query": "w " * 99, "qid": 2})
    )
    with pytest.raises(
        AnnotationError, match=r"2 bad rows:(?s:.*)qid 1: the query is empty(?s:.*)qid 2: the query has 99 words"
    ):
        extract([], "mini", tmp_path / "f", queries=[bad])


def sentences(path, **queries):
    """A file of annotations, by qid."""
    rows = [{"qid": int(qid[1:]), "query": query, "vid": "v", "duration": 4} for qid, query in queries.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_sentence_that_changed_is_encoded_anew(tmp_path):
    table = tmp_path / "train.jsonl"
    out, folder = tmp_path / "f", tmp_path / "f" / "mini_text"
    assert extract([], "mini", out, queries=[sentences(table, q0="a red circle enters", q1="a star")]).n_queries == 2
    before = FeatureFolder(folder).text(1)
    # a row was put in front, so that all identifiers moved by one
    moved = sentences(table, q0="a blue ring", q1="a red circle enters", q2="a star")
    assert extract([], "mini", out, queries=[moved]).n_queries == 3
    np.testing.assert_array_equal(FeatureFolder(folder).text(2), before)
    assert [FeatureFolder(folder).asked(qid) for qid in range(3)] == ["a blue ring", "a red circle enters", "a star"]


def test_features_that_do_not_tell_their_sentence_are_kept(tmp_path):
    out, folder = tmp_path / "f", tmp_path / "f" / "mini_text"
    assert extract([], "mini", out, queries=[sentences(tmp_path / "a.jsonl", q0="a star")]).n_queries == 1
    stored = FeatureFolder(folder)
    write_query_features(folder, 0, stored.text(0), stored.sentence(0))  # as published packs are
    assert extract([], "mini", out, queries=[sentences(tmp_path / "a.jsonl", q0="a ring")]).n_queries == 0


def test_one_identifier_for_two_sentences_is_refused(tmp_path):
    one, two = sentences(tmp_path / "one.jsonl", q0="a star"), sentences(tmp_path / "two.jsonl", q0="a ring")
    with pytest.raises(AnnotationError, match=r"qid 0 is 'a ring' here and 'a star' in .*one\.jsonl; .*\(--out\)"):
        extract([], "mini", tmp_path / "f", queries=[one, two])


@pytest.mark.parametrize(("n_frames", "n_clips"), [(1, 1), (3, 1), (4, 1), (5, 1), (6, 2), (8, 2), (9, 2), (10, 3)])
def test_a_clip_that_is_half_full_counts(n_frames, n_clips):
    cutter = ClipCutter(4)
    images = frames(n_frames, 2)
    clips = [clip for image in images for clip in cutter.add(image)] + list(cutter.finish())
    assert len(clips) == cutter.n_clips == n_clips
    assert all(len(clip) == 4 and clip[0].shape == (2, 2, 3) for clip in clips)
    np.testing.assert_array_equal(np.concatenate(clips)[: min(n_frames, 4 * n_clips)], images[: 4 * n_clips])


def test_every_real_video_extracts(shared, tmp_path):
    result = extract([shared / "videos"], "mini", tmp_path)
    assert sorted(result.encoded) == ["av1_video", "charades", "h265_10bits", "h265_video", "nasa_13013"]
    assert FeatureFolder(tmp_path / "mini").video("charades").shape[0] == 15


def test_what_a_killed_extraction_was_writing_is_cleared_by_the_next(make_video, tmp_path):
    import subprocess
    import sys

    from spikemba.files import _machine

    make_video("videos/a.mp4", frames(20), fps=5)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folder = tmp_path / "f" / "mini"
    folder.mkdir(parents=True)
    (folder / f".a.{_machine()}-{dead.pid}.abcdefgh.npz").write_bytes(b"half")
    (folder / ".theirs.npz").write_bytes(b"x")
    extract([tmp_path / "videos"], "mini", tmp_path / "f")
    assert sorted(path.name for path in folder.iterdir()) == [".theirs.npz", "a.npz", "manifest.json"]
