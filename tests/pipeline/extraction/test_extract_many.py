"""Many videos, encoders and processes: the features are the same whoever makes them, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.extraction.extract import extract
from pipelines.extraction.failures import Failures
from pipelines.extraction.job import ExtractEvents, RunOptions
from pipelines.shards import Shard
from spikemba.encoders import load_encoder
from spikemba.encoders.base import EncoderOptions
from spikemba.encoding.videos import encode_video, encode_videos
from spikemba.errors import VideoError
from spikemba.features import FeatureFolder
from spikemba.video import decoding
from spikemba_cli.main import app

ROOT = Path(__file__).parents[3]


def frames(n, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Thirty short videos, two of them bad."""
    from spikemba.video.files import write_video

    folder = tmp_path_factory.mktemp("many")
    for i in range(28):
        write_video(folder / f"v{i:02d}.mp4", frames(12 + 3 * i % 40, seed=i), fps=5)
    (folder / "text.mp4").write_text("not a video")
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture
def run(random_mini):
    return RunOptions(weights={"mini": random_mini})


@pytest.fixture(scope="module")
def expected(many, random_mini, tmp_path_factory):
    out = tmp_path_factory.mktemp("expected")
    extract([many], "mini", out, run=RunOptions(weights={"mini": random_mini}, decoders=1))
    return stored(out)


def stored(out):
    return {path.stem: np.load(path)["features"] for path in sorted((out / "mini").glob("[!.]*.npz"))}


def same(found, expected):
    assert sorted(found) == sorted(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


class Recorder:
    """An encoder that notes what it is given."""

    frames_per_clip, dim, weights, name, batch_clips = 2, 1, "", "recorder", 8

    def __init__(self):
        self.sizes = []

    def frame_rule(self, clip_s):
        return load_rule(2 / clip_s)

    def encode_clips(self, clips):
        self.sizes.append(len(clips))
        return clips.astype(np.float32).mean((1, 2, 3, 4))[:, None]


def load_rule(fps):
    from spikemba.video.sampling import FrameRule

    return FrameRule(fps=fps, size_px=16)


def test_batches_are_full_and_cross_the_borders_of_files(many):
    encoder = Recorder()
    paths = sorted(many.glob("v*.mp4"))
    found = dict(encode_videos(paths, [encoder], 2.0, decoders=3))
    assert set(encoder.sizes) == {8}
    assert len(encoder.sizes) == -(-sum(len(found[path].features[0]) for path in paths) // 8)
    for path in paths[:3]:
        np.testing.assert_array_equal(encode_video(path, [Recorder()], 2.0).features[0], found[path].features[0])


def test_several_encoders_share_one_decode(many, random_mini, monkeypatch):
    opened, real = [], decoding.timed_frames
    monkeypatch.setattr("spikemba.video.clock.timed_frames", lambda *a: opened.append(1) or real(*a))
    mini = load_encoder("mini", EncoderOptions(weights=random_mini))
    found = encode_video(many / "v03.mp4", [mini, Recorder()], 2.0)
    assert len(opened) == 1
    np.testing.assert_array_equal(found.features[0], encode_video(many / "v03.mp4", [mini], 2.0).features[0])


def test_a_bad_video_among_good_ones_is_reported_in_its_place(many):
    found = dict(encode_videos([many / "v00.mp4", many / "text.mp4", many / "v01.mp4"], [Recorder()], 2.0, decoders=2))
    assert isinstance(found[many / "text.mp4"], VideoError)
    assert len(found) == 3


def test_an_encoder_that_fails_stops_the_threads(many):
    class Broken(Recorder):
        def encode_clips(self, clips):
            raise RuntimeError(f"broken at {len(clips)} clips")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="broken"):
        list(encode_videos(sorted(many.glob("v*.mp4")), [Broken()], 2.0, decoders=2))
    assert threading.active_count() == before


def test_shards_make_together_what_one_process_makes(many, run, expected, tmp_path):
    from dataclasses import replace

    parts = [extract([many], "mini", tmp_path, run=replace(run, shard=Shard(i, 3), decoders=2)) for i in range(3)]
    names = [name for part in parts for name in part.encoded]
    assert len(names) == len(set(names)) == 28
    assert all(part.encoded for part in parts)
    assert sum(len(part.failed) for part in parts) == 2
    same(stored(tmp_path), expected)


def test_what_failed_is_written_down_and_tried_again_only_when_asked_or_changed(many, run, tmp_path):
    from dataclasses import replace

    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "a.mp4").write_text("not a video")
    (folder / "b.mp4").write_bytes((many / "v00.mp4").read_bytes())
    assert len(extract([folder], "mini", tmp_path / "f", run=run).failed) == 1
    rows = [json.loads(line) for line in (tmp_path / "f" / "failures.jsonl").read_text().splitlines()]
    assert [(row["video"], "not a video" in row["problem"]) for row in rows] == [(str(folder / "a.mp4"), True)]
    told = []
    again = extract([folder], "mini", tmp_path / "f", run=run, events=ExtractEvents(failed=lambda *a: told.append(a)))
    assert len(told) == 1
    assert "--retry-failed" in again.failed[folder / "a.mp4"]
    assert len((tmp_path / "f" / "failures.jsonl").read_text().splitlines()) == 1
    extract([folder], "mini", tmp_path / "f", run=replace(run, retry_failed=True))
    assert len((tmp_path / "f" / "failures.jsonl").read_text().splitlines()) == 2
    (folder / "a.mp4").write_bytes((many / "v01.mp4").read_bytes())
    assert extract([folder], "mini", tmp_path / "f", run=run).encoded == ["a"]
    assert Failures(tmp_path / "f").known(folder / "a.mp4") is None


def spawn(*arguments):
    code = "from spikemba_cli.main import main; main()"
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stderr=subprocess.DEVNULL)


def test_a_killed_process_loses_nothing_that_was_stored(many, run, random_mini, expected, tmp_path):
    command = ("extract", many, "--encoder", "mini", "--weights", f"mini={random_mini}", "--out", tmp_path)
    process = spawn(*command)
    while process.poll() is None and len(list(tmp_path.glob("mini/v*.npz"))) < 3:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = stored(tmp_path)
    assert before
    result = extract([many], "mini", tmp_path, run=run)
    assert len(result.kept) == len(before)
    same(stored(tmp_path), expected)


def test_the_command_line_takes_shards_and_weights(many, random_mini, tmp_path):
    how = ["extract", str(many), "--encoder", "mini", "--weights", f"mini={random_mini}", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, [*how, "--shard", "1/2", "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == (1 if document["failed"] else 0)
    assert 5 < len(document["encoded"]) < 23
    assert CliRunner().invoke(app, [*how, "--shard", "3/2"]).exit_code == 1
    assert CliRunner().invoke(app, [*how, "--weights", "mini"]).exit_code == 2


@pytest.fixture
def cluster():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def test_ray_makes_the_same_features_though_a_worker_is_killed(many, run, expected, tmp_path, cluster):
    from dataclasses import replace

    killed, over = [], threading.Event()

    def kill():
        """Kill the first worker that is seen at work."""
        while not over.wait(0.05):
            if (found := worker()) is not None:
                os.kill(found, signal.SIGKILL)
                killed.append(found)
                return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        result = extract([many], "mini", tmp_path, run=replace(run, engine="ray"))
    finally:
        over.set()
        killer.join()
    assert killed
    assert len(result.encoded) == 28
    assert sorted(path.name for path in result.failed) == ["empty.mp4", "text.mp4"]
    same(stored(tmp_path), expected)


def worker():
    """A process of this cluster that is at work, or None."""
    found = subprocess.run(["ps", "-eww", "-o", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    processes = [line.split(None, 2) for line in found.splitlines()]
    session = ray_session()
    raylets = {pid for pid, _, args in processes if "raylet" in args and session in args}
    return next((int(pid) for pid, parent, args in processes if "ray::_enc" in args and parent in raylets), None)


def ray_session():
    """The name that the processes of this cluster, and of no other, have in their arguments."""
    from ray._private import worker as ray_worker

    return Path(ray_worker._global_node.get_session_dir_path()).name


def test_features_folder_of_real_videos_have_the_published_lengths(shared, random_mini, tmp_path):
    extract([shared / "videos"], "mini", tmp_path, run=RunOptions(weights={"mini": random_mini}))
    assert len(FeatureFolder(tmp_path / "mini").video("charades")) == 15
