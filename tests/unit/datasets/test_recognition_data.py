"""Clips of labelled videos: which frames, how they are changed, and what happens to files that cannot be read."""

import av
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from spikemba.datasets.labelled.footage import in_memory, on_disk
from spikemba.datasets.labelled.pairs import VideoDataConfig, VideoDataset, collate_videos
from spikemba.datasets.labelled.video_augment import AugmentConfig, drawing_from, training_transform, viewed_crops
from spikemba.datasets.labelled.videos import LabelledVideo
from spikemba.errors import AnnotationError, ConfigError, SpikeMbaError, VideoError
from spikemba.video.sampling import VideoReader

STILL = {"crop_area": [1, 1], "aspect": [1, 1], "flip": False, "rand_augment_ops": 0, "erase": 0}


def shades(n, height=32, width=48):
    """Images that say their number by their brightness, 10 apart."""
    return [np.full((height, width, 3), 10 * k, np.uint8) for k in range(n)]


def numbers(frames):
    """The numbers of such images, from any layout with frames first."""
    return [
        round(float(frame.float().mean() if isinstance(frame, torch.Tensor) else frame.mean()) / 10) for frame in frames
    ]


@pytest.fixture
def folder(make_video):
    """Two classes of two videos each."""
    for name in ("a/one", "a/two", "b/three", "b/four"):
        path = make_video(f"set/{name}.mp4", shades(16), fps=8)
    return path.parents[1]


def config(folder, **changes):
    plain = {"train": folder, "frames": {"n_frames": 4}, "size_px": 16, "short_side_px": 16, "augment": STILL}
    return VideoDataConfig.parse({**plain, **changes})


FORMATS = {"v.mp4": "libx264", "v.avi": "mpeg4", "v.webm": "libvpx-vp9", "v.mkv": "libx264"}


@pytest.mark.parametrize("kind", [on_disk, in_memory])
@pytest.mark.parametrize("name", FORMATS)
def test_frames_are_taken_by_their_number(make_video, kind, name):
    path = make_video(name, shades(20), fps=10, codec=FORMATS[name])
    footage = kind(LabelledVideo(path, "a"), 16)
    assert footage.n_frames == 20
    taken = footage.take(np.array([0, 7, 7, 19]))
    assert taken.shape == (4, 16, 24, 3)
    assert numbers(taken) == [0, 7, 7, 19]


def test_a_file_that_declares_no_length_is_counted(make_video):
    path = make_video("v.ts", shades(20), fps=10, container={"mpegts_flags": "resend_headers"})
    raw = path.with_suffix(".h264")
    with av.open(str(path)) as source, av.open(str(raw), "w", format="h264") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    footage = on_disk(LabelledVideo(raw, "a"), 16)
    assert VideoReader(raw).info.duration_s is None
    assert footage.n_frames == 20
    assert len(footage.take(np.array([0, footage.n_frames - 1]))) == 2


def test_memory_is_kept_within_its_bounds(folder):
    data = VideoDataset(config(folder, memory_gb=2.5 * 16 * 16 * 24 * 3 / 1e9), "train")
    for index in (0, 1, 2, 3, 0, 1):
        assert numbers(data[index].clips[0]) == [2, 6, 10, 14]
    assert len(data._memory) == 2


@pytest.mark.parametrize("kind", [on_disk, in_memory])
def test_a_labelled_part_is_a_video_of_its_own(make_video, kind):
    path = make_video("v.mp4", shades(20), fps=10)
    footage = kind(LabelledVideo(path, "a", 0.5, 1.2), 16)
    assert footage.n_frames == 7
    assert numbers(footage.take(np.arange(7))) == list(range(5, 12))
    with pytest.raises(VideoError, match=r"begins at 9 s and the video ends at 2\.0 s"):
        kind(LabelledVideo(path, "a", 9, 10), 16)


def test_a_test_looks_at_the_same_views_every_time(folder):
    data = VideoDataset(config(folder, test_segments=2, test_crops=3), "train")
    example = data[0]
    assert example.clips.shape == (6, 4, 3, 16, 16)
    assert example.clips.dtype == torch.uint8
    assert numbers(example.clips[0]) == [1, 5, 9, 13]
    assert numbers(example.clips[3]) == [3, 7, 11, 15]
    assert torch.equal(example.clips, data[0].clips)
    assert (data.labels, data.numbers) == (["a", "b"], [0, 0, 1, 1])


def test_equal_seeds_draw_equal_clips_whatever_was_drawn_before(folder):
    data = VideoDataset(config(folder, repeats=2, augment={"crop_area": [0.3, 1.0], "erase": 0.9}), "train")
    first = data.drawn(1, 5).clips
    torch.manual_seed(123)
    before = torch.get_rng_state()
    assert torch.equal(first, data.drawn(1, 5).clips)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, data.drawn(1, 6).clips)
    assert not torch.equal(first[0], first[1])
    assert first.shape == (2, 4, 3, 16, 16)


def test_what_is_kept_in_memory_is_what_is_decoded(folder):
    read, kept = (VideoDataset(config(folder, memory_gb=gb), "train") for gb in (0, 1))
    for seed in range(3):
        assert numbers(read.drawn(2, seed).clips[0]) == numbers(kept.drawn(2, seed).clips[0])
    assert torch.equal(kept.drawn(2, 0).clips, kept.drawn(2, 0).clips)


def test_a_broken_file_is_one_line_also_from_a_loading_process(folder):
    (folder / "b" / "five.mp4").write_bytes(b"not a video")
    data = VideoDataset(config(folder), "train")
    loader = DataLoader(data, batch_size=5, collate_fn=collate_videos, num_workers=1)
    batch = next(iter(loader))
    assert len(batch) == 4
    with pytest.raises(SpikeMbaError) as raised:
        batch.check()
    assert "\n" not in str(raised.value)
    assert "five.mp4: is not a video that FFmpeg can read" in str(raised.value)


def test_classes_of_other_splits_must_be_known(folder, make_video):
    make_video("other/c/x.mp4", shades(4))
    with pytest.raises(AnnotationError, match="no class is called 'c'; 2 classes are known: a, b"):
        VideoDataset(config(folder, val=folder.parent / "other"), "val")
    with pytest.raises(ConfigError, match="val: is required and was not given"):
        VideoDataset(config(folder), "val")


def test_crops_lie_evenly_along_the_longer_side():
    clip = torch.arange(40).expand(2, 3, 10, 40)
    assert [crop[0, 0, 0, 0].item() for crop in viewed_crops(clip, 10, 3)] == [0, 15, 30]
    assert viewed_crops(clip, 10, 1)[0][0, 0, 0, 0] == 15
    upright = viewed_crops(clip.transpose(-1, -2), 10, 4)
    assert [crop[0, 0, 0, 0].item() for crop in upright] == [0, 10, 20, 30]
    assert viewed_crops(clip.to(torch.uint8), 5, 2)[1].shape == (2, 3, 5, 5)


def test_all_frames_of_a_clip_are_changed_alike():
    still = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8).expand(5, 3, 40, 40).contiguous()
    transform = training_transform(AugmentConfig(erase=1.0), 24)
    for seed in range(20):
        with drawing_from(seed):
            changed = transform(still)
        assert changed.shape == (5, 3, 24, 24)
        assert changed.dtype == torch.uint8
        assert (changed == changed[:1]).all()


def test_augmentation_that_is_off_leaves_the_middle():
    clip = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8)
    changed = training_transform(AugmentConfig.parse(STILL), 20)(clip)
    assert torch.equal(changed, clip[..., 5:25])


@pytest.mark.parametrize("name", ["av1_video.mkv", "h265_10bits.mp4", "nasa_13013.mp4", "charades.mp4"])
def test_real_videos_are_read_by_number_and_by_time_alike(shared, name):
    video = LabelledVideo(shared / "videos" / name, "a", 0.0, 1.0)
    indices = np.array([0, 5, 9])
    assert (on_disk(video, 32).take(indices) == in_memory(video, 32).take(indices)).all()
