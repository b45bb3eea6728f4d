"""SlowFast: the published layout, its two kinds of checkpoint, and the rule for its frames."""

import pickle
from collections import OrderedDict
from fractions import Fraction

import numpy as np
import pytest
import torch

from spikemba.encoders import load_encoder
from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.slowfast import SlowFast, SlowFastEncoder
from spikemba.encoders.slowfast_weights import read_slowfast
from spikemba.errors import CheckpointError, WeightsMissing
from spikemba.video.sampling import VideoReader


@pytest.fixture(scope="module")
def small():
    """A narrow network with random weights, norms included."""
    torch.manual_seed(0)
    network = SlowFast(width=8, n_classes=5)
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm3d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
    return network.eval()


def test_the_layout_is_the_published_one():
    with torch.device("meta"):
        network = SlowFast()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 662
    assert sum(p.numel() for p in network.parameters()) == 34_566_488
    assert network.dim == 2304
    for name, shape in {
        "blocks.0.multipathway_blocks.0.conv.weight": (64, 3, 1, 7, 7),
        "blocks.0.multipathway_blocks.1.conv.weight": (8, 3, 5, 7, 7),
        "blocks.0.multipathway_fusion.conv_fast_to_slow.weight": (16, 8, 7, 1, 1),
        "blocks.1.multipathway_blocks.0.res_blocks.0.branch1_conv.weight": (256, 80, 1, 1, 1),
        "blocks.2.multipathway_blocks.0.res_blocks.0.branch2.conv_a.weight": (128, 320, 1, 1, 1),
        "blocks.3.multipathway_blocks.0.res_blocks.5.branch2.conv_a.weight": (256, 1024, 3, 1, 1),
        "blocks.3.multipathway_fusion.norm.weight": (256,),
        "blocks.4.multipathway_blocks.1.res_blocks.2.branch2.conv_a.weight": (64, 256, 3, 1, 1),
        "blocks.6.proj.weight": (400, 2304),
    }.items():
        assert shapes[name] == shape


def caffe2(network):
    """The network's tensors as the model zoo's .pkl names them, with the momenta that lie beside them there."""
    norms = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    blobs = {"lr": np.float32(0.1), "model_iter": np.int64(7)}
    for name, value in network.state_dict().items():
        part = name.split(".")
        if part[-1] == "num_batches_tracked":
            continue
        stage = int(part[1]) + 1
        if stage == 7:
            new = {"weight": "pred_w", "bias": "pred_b"}[part[-1]]
        elif part[2] == "multipathway_fusion":
            depth = (0, 0, 2, 3, 5)[stage] if stage > 1 else 0
            base = "t_pool1_subsample" if stage == 1 else f"t_res{stage}_{depth}_branch2c_bn_subsample"
            new = f"{base}_w" if part[3].startswith("conv") else f"{base}_bn_{norms[part[-1]]}"
        else:
            fast = "t_" if part[3] == "1" else ""
            if stage == 1:
                new = f"{fast}conv1_w" if part[4] == "conv" else f"{fast}res_conv1_bn_{norms[part[-1]]}"
            else:
                block = f"{fast}res{stage}_{part[5]}_"
                kind = part[6] if part[6].startswith("branch1") else part[7]
                branch = "branch1" if part[6].startswith("branch1") else f"branch2{part[7][-1]}"
                new = f"{block}{branch}_w" if "conv" in kind else f"{block}{branch}_bn_{norms[part[-1]]}"
        blobs[new] = value.numpy()
        blobs[f"{new}_momentum"] = np.zeros(1, np.float32)
    return {"blobs": blobs}


def pyslowfast(network):
    """The same tensors as PySlowFast's own checkpoints name them."""
    out = {}
    for name, value in network.state_dict().items():
        stage = int(name.split(".")[1]) + 1
        rest = name.split(".", 2)[2]
        if stage == 7:
            out[f"head.projection.{rest.removeprefix('proj.')}"] = value
            continue
        new = rest.replace("multipathway_fusion.conv_fast_to_slow", f"s{stage}_fuse.conv_f2s")
        new = new.replace("multipathway_fusion.norm", f"s{stage}_fuse.bn")
        for pathway in "01":
            stem = f"s{stage}.pathway{pathway}_stem"
            new = new.replace(f"multipathway_blocks.{pathway}.conv.", f"{stem}.conv.")
            new = new.replace(f"multipathway_blocks.{pathway}.norm.", f"{stem}.bn.")
            new = new.replace(f"multipathway_blocks.{pathway}.res_blocks.", f"s{stage}.pathway{pathway}_res")
        new = new.replace("branch1_conv", "branch1").replace("branch1_norm", "branch1_bn")
        for part in "abc":
            new = new.replace(f"branch2.conv_{part}", f"branch2.{part}").replace(
                f"branch2.norm_{part}", f"branch2.{part}_bn"
            )
        out[new] = value
    return out


class Evil:
    """Its pickle would run a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def test_every_public_form_of_a_checkpoint_gives_the_same_network(small, tmp_path):
    extras = {"epoch": np.float64(3), "cfg": OrderedDict(a=1), "optimizer_state": {"state": {}}}
    torch.save({"model_state": small.state_dict(), **extras}, tmp_path / "ptv.pyth")
    torch.save({"model_state": pyslowfast(small), **extras}, tmp_path / "psf.pyth")
    torch.save({"model_state": small.state_dict()}, tmp_path / "old.pyth", _use_new_zipfile_serialization=False)
    for protocol, name in ((2, "py2.pkl"), (4, "py3.pkl")):
        (tmp_path / name).write_bytes(pickle.dumps(caffe2(small), protocol))
    assert "t_res3_3_branch2c_bn_subsample_w" in caffe2(small)["blobs"]
    wanted = {k: v for k, v in small.state_dict().items() if "num_batches" not in k}
    for name in ("ptv.pyth", "psf.pyth", "old.pyth", "py2.pkl", "py3.pkl"):
        found = read_slowfast(tmp_path / name)
        assert set(found) == set(small.state_dict()), name
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, rtol=0, atol=0)
    digests = {load_encoder("slowfast", EncoderOptions(weights=tmp_path / n)).weights for n in ("ptv.pyth", "py2.pkl")}
    assert len(digests) == 1


@pytest.mark.parametrize("form", ["pkl", "pyth", "old"])
def test_nothing_that_a_file_holds_is_run(small, tmp_path, form):
    sign, path = tmp_path / "ran", tmp_path / f"a.{form}"
    if form == "pkl":
        path.write_bytes(pickle.dumps({**caffe2(small), "cfg": Evil(sign)}, 2))
    else:
        tree = {"model_state": small.state_dict(), "cfg": Evil(sign)}
        torch.save(tree, path, _use_new_zipfile_serialization=form == "pyth")
    assert set(read_slowfast(path)) == set(small.state_dict())
    assert not sign.exists()


def test_what_is_no_checkpoint_is_named(small, tmp_path):
    (tmp_path / "text.pkl").write_text("no pickle")
    with pytest.raises(CheckpointError, match="not a file of weights that can be read safely"):
        read_slowfast(tmp_path / "text.pkl")
    state = {k: v for k, v in small.state_dict().items() if not k.startswith("blocks.3.")}
    torch.save({"model_state": state}, tmp_path / "part.pyth")
    with pytest.raises(CheckpointError, match=r"do not fit this network; missing: blocks\.3\."):
        load_encoder("slowfast", EncoderOptions(weights=tmp_path / "part.pyth"))
    with pytest.raises(WeightsMissing, match=r"slowfast are not on this machine: get SLOWFAST_8x8_R50.pyth"):
        load_encoder("slowfast", EncoderOptions(folder=tmp_path))


def test_features_are_the_means_of_both_pathways_slow_first_alone_or_in_a_batch(small):
    encoder = SlowFastEncoder("slowfast", small, EncoderOptions(), size_px=32)
    frames = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 32, 3), dtype=np.uint8)
    together = encoder.encode_clips(frames)
    assert together.shape == (3, 288)
    np.testing.assert_allclose(together[1:2], encoder.encode_clips(frames[1:2]), rtol=1e-4, atol=1e-5)
    x = (torch.from_numpy(frames[:1]).permute(0, 4, 1, 2, 3) / 255 - 0.45) / 0.225
    with torch.inference_mode():
        pathways = [x[:, :, [0, 4, 8, 13, 17, 22, 26, 31]], x]
        for block in list(small.blocks)[:5]:
            pathways = block(pathways)
    assert [tuple(p.shape) for p in pathways] == [(1, 256, 8, 1, 1), (1, 32, 32, 1, 1)]
    np.testing.assert_allclose(together[0, :256], pathways[0][0].mean((1, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together[0, 256:], pathways[1][0].mean((1, 2, 3)), rtol=1e-4, atol=1e-5)


def by_hand(n_frames, source_fps, clip_s):
    """The published rule, literally: frames at 30 fps, whole seconds, the last as often as fills clips, indexed."""
    frames = list(range(n_frames)) + [n_frames - 1] * (-n_frames % 30)
    length, seconds = int(30 * clip_s), Fraction(clip_s).numerator  # of as many seconds they make whole clips
    frames += frames[-30:] * (-(len(frames) // 30) % seconds)
    clips = np.array(frames).reshape(-1, length)[: int(np.ceil(n_frames / 30 / clip_s - 1e-9))]
    index = torch.linspace(0, 32 * 2 * int(source_fps) / 30 - 1, 32).clamp(0, length - 1).long().numpy()
    return clips[:, index]


@pytest.mark.parametrize("fps", [30, 15, 24, 60])
@pytest.mark.parametrize(
    ("clip_s", "seconds"),
    [(1.0, 4.0), (1.0, 2.4), (2.0, 4.0), (2.0, 2.4), (2.0, 3.0), (2.0, 0.5), (1.5, 3.6), (3.0, 3.2)],
)
def test_frames_are_those_of_the_published_pipeline(small, make_video, fps, clip_s, seconds):
    n = round(seconds * fps)
    bits = (np.arange(n)[:, None] >> np.arange(8)) & 1
    stripes = np.repeat(255 * bits, 4, axis=1).astype(np.uint8)
    images = np.broadcast_to(stripes[:, None, :, None], (n, 32, 32, 3)).copy()
    video = make_video("a.mp4", images, fps=fps, options={"crf": "10"})
    encoder = SlowFastEncoder("slowfast", small, EncoderOptions(), size_px=32)
    reader = VideoReader(video)
    rule = encoder.clip_rule(clip_s, reader.info)
    seen = [f.image for f in reader.frames(rule.frames)]
    clips = [rule.arrange(seen[i : i + rule.n_frames]) for i in range(0, len(seen), rule.n_frames)]
    numbers = np.array(
        [[int(((x.mean((0, 2)).reshape(8, 4).mean(1) > 127) << np.arange(8)).sum()) for x in c] for c in clips]
    )
    # which source frame stands at each 30th of a second: the last one before the middle of its slot
    at_30 = [max(0, int(np.ceil((k + 0.5) / 30 * fps - 1e-9)) - 1) for k in range(max(1, round(30 * seconds)))]
    np.testing.assert_array_equal(numbers, np.minimum(np.array(at_30), n - 1)[by_hand(len(at_30), fps, clip_s)])


def test_a_last_second_that_stands_alone_is_seen_twice(small, make_video):
    """As published: 3 s in clips of 2 s are (0, 1) and (2, 2), and not (2, its last frame)."""
    images = np.repeat(np.arange(0, 180, 2, np.uint8), 32 * 32 * 3).reshape(90, 32, 32, 3)
    reader = VideoReader(make_video("a.mp4", images, fps=30, options={"crf": "1"}))
    for frames, last in (("published", 128), ("corrected", 178)):
        encoder = SlowFastEncoder("slowfast", small, EncoderOptions(frames=frames), size_px=32)
        rule = encoder.clip_rule(2.0, reader.info)
        seen = [frame.image for frame in reader.frames(rule.frames)]
        clip = rule.arrange(seen[rule.n_frames :])[:, 0, 0, 0].astype(int)
        assert clip[0] == pytest.approx(120, abs=3)
        assert clip[17] == pytest.approx(last, abs=3)


def test_corrected_frames_spread_over_the_clip_whatever_the_source(small, make_video):
    encoder = SlowFastEncoder("slowfast", small, EncoderOptions(frames="corrected"), size_px=32)
    for fps in (15, 30):
        info = VideoReader(make_video(f"{fps}.mp4", np.zeros((60, 32, 32, 3), np.uint8), fps=fps)).info
        wanted = encoder.clip_rule(2.0, info).frames.wanted
        assert (wanted[0], wanted[-1], len(wanted)) == (0, 59, 32)
