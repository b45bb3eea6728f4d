"""Arrays are turned, and tokens left out, only where something shows it; what can be read two ways is refused."""

import h5py
import numpy as np
import pytest
import torch

from spikemba.errors import FeaturesMismatch
from spikemba.features import FeatureFolder
from spikemba.packs.masks import true_tokens

RNG = np.random.default_rng(0)
N = 8
CLIPS = {f"v{i}": 75.0 for i in range(N)}


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def saved(folder, arrays, key="features"):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.savez(folder / f"{name}.npz", **{key: array})
    return folder


def videos(shape, n=N):
    return {f"v{i}": normal(*shape) for i in range(n)}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("clips", [None, CLIPS])
def test_a_pair_is_joined_on_the_channels_however_it_lies(tmp_path, turned, clips):
    parts = {f"v{i}{end}": normal(75, 1024) for i in range(N) for end in ("_rgb", "_opt")}
    for name, rows in parts.items():
        np.save(tmp_path / f"{name}.npy", rows.T if turned else rows)
    pack = FeatureFolder(tmp_path, "video", clips)
    assert (pack.manifest.dim, pack.n_rows("v3")) == (2048, 75)
    np.testing.assert_array_equal(pack.video("v3"), np.concatenate((parts["v3_rgb"], parts["v3_opt"]), axis=1))


def test_files_of_a_pair_with_other_rows_are_refused(tmp_path):
    np.save(tmp_path / "v_rgb.npy", normal(75, 1024))
    np.save(tmp_path / "v_opt.npy", normal(60, 1024))
    with pytest.raises(FeaturesMismatch, match=r"75 in v_rgb.npy and 60 in v_opt.npy; expected as many"):
        FeatureFolder(tmp_path, "video").video("v")


@pytest.mark.parametrize("clips", [None, CLIPS])
def test_four_rows_a_second_of_a_known_width_are_not_turned(tmp_path, clips):
    rows = videos((600, 512))
    pack = FeatureFolder(saved(tmp_path / "p", rows), "video", clips)
    np.testing.assert_array_equal(pack.video("v1"), rows["v1"])


@pytest.mark.parametrize("shape", [(600, 100), (512, 768), (75, 75), (512, 512)])
def test_what_can_be_read_two_ways_is_refused_until_it_is_said(tmp_path, shape):
    rows = videos(shape)
    path = saved(tmp_path / "p", rows)
    with pytest.raises(FeaturesMismatch, match=rf"{shape[0]} x {shape[1]}.*p:axes=nF for rows first, .*p:axes=Fn"):
        FeatureFolder(path, "video", CLIPS if shape[0] != 75 else None)
    for order, turned in (("nF", False), ("Fn", True), ("features:axes=Fn", True)):
        pack = FeatureFolder(tmp_path / f"p:{order}" if ":" in order else tmp_path / f"p:axes={order}", "video")
        expected = rows["v0"].T if turned else rows["v0"]
        assert pack.n_rows("v0") == len(expected)
        np.testing.assert_array_equal(pack.video("v0"), expected)


def test_durations_against_a_known_width_are_refused(tmp_path):
    with pytest.raises(FeaturesMismatch, match="durations say one and the width of an encoder the other"):
        FeatureFolder(saved(tmp_path / "p", videos((512, 70))), "video", dict.fromkeys(CLIPS, 512.0))


@pytest.mark.parametrize("straight", [1, 4, 7])
@pytest.mark.parametrize("width", [512, 100])
def test_the_majority_does_not_say_which_of_two_numbers_is_the_width(tmp_path, straight, width):
    rows = videos((75, width))
    path = saved(tmp_path / "p", {name: a if i < straight else a.T for i, (name, a) in enumerate(rows.items())})
    pack = FeatureFolder(path, "video", CLIPS if width == 100 else None)
    for name, expected in rows.items():
        np.testing.assert_array_equal(pack.video(name), expected)
    np.savez(path / "square.npz", features=normal(width, width))
    if straight == 4:
        with pytest.raises(FeaturesMismatch, match=r"square.npz is .* in a pack whose arrays lie both ways"):
            FeatureFolder(path, "video", CLIPS).video("square")


def test_a_file_of_another_width_is_not_turned(tmp_path):
    rows = {f"v{i}": normal(70 + i, 512) for i in range(N)}
    path = saved(tmp_path / "p", {**rows, "other": normal(512, 768)})
    with pytest.raises(FeaturesMismatch, match=r"other.npz is 512 x 768, where the others have rows of 512"):
        FeatureFolder(path, "video").video("other")


# Text


@pytest.mark.parametrize("width", [3584, 4096])
def test_text_that_is_padded_to_a_known_width_is_not_turned(tmp_path, width):
    states = {f"qid{i}": np.concatenate([normal(9, width), np.zeros((503, width), np.float32)]) for i in range(3)}
    for key in ("last_hidden_state", "x"):
        pack = FeatureFolder(saved(tmp_path / key, states, key), "text")
        np.testing.assert_array_equal(pack.text(1), states["qid1"][:9])


def test_text_is_turned_where_a_mask_shows_it_and_refused_where_nothing_does(tmp_path):
    states = normal(77, 512)
    (tmp_path / "m").mkdir()
    np.savez(tmp_path / "m" / "qid1.npz", last_hidden_state=states.T, attention_mask=np.arange(77) < 9)
    np.testing.assert_array_equal(FeatureFolder(tmp_path / "m", "text").text(1), states[:9])
    with pytest.raises(FeaturesMismatch, match=r"512 rows of 77 numbers or 77 rows of 512; say which"):
        FeatureFolder(saved(tmp_path / "p", {"qid1": states.T}, "last_hidden_state"), "text")


FIRST = np.array([1, 1, 1, 0, 0, 0])
DENSE = np.arange(12.0).reshape(6, 2) + 1
PADDED = DENSE * FIRST[:, None]


@pytest.mark.parametrize(
    ("states", "mask", "by_padding", "kept"),
    [
        (DENSE, FIRST, False, slice(3)),
        (DENSE, FIRST == 1, False, slice(3)),
        (DENSE, np.where(FIRST == 1, 0, -1e4), False, slice(3)),
        (DENSE, np.where(FIRST == 1, 0, -np.inf), False, slice(3)),
        (DENSE, FIRST == 0, True, slice(3)),
        (PADDED, FIRST == 0, False, slice(3)),
        (PADDED[::-1], FIRST[::-1], False, slice(3, 6)),
        (PADDED[::-1], None, False, slice(3, 6)),
    ],
)
def test_a_mask_whose_meaning_is_certain_is_read(states, mask, by_padding, kept):
    found = true_tokens(states, mask, "q", marks_padding=by_padding)
    np.testing.assert_array_equal(found, states[kept])


@pytest.mark.parametrize(
    ("mask", "problem"),
    [
        (FIRST == 0, "a mask of 000111, which may mark real tokens or padding"),
        (np.array([1, 0, 1, 1, 0, 0]), "a mask of 101100, which may"),
        (np.array([np.nan, 1, 0, 0, 0, 0]), "a mask of 0, 1, nan; expected 1 for real tokens"),
        (np.array([0.5, 1, 0, 0, 0, 0]), "a mask of 0, 0.5, 1; expected"),
        (np.array([0, 0, 0, -1, -1, -1]), "a mask of -1, 0; expected"),
    ],
)
def test_a_mask_that_may_mean_either_is_refused(mask, problem):
    with pytest.raises(FeaturesMismatch, match=problem):
        true_tokens(DENSE, mask, "q")


# Files


def test_numbers_that_wait_for_their_sign_are_read_as_they_are_meant(tmp_path):
    lazy = torch.complex(torch.randn(75, 512), torch.randn(75, 512)).conj().imag
    assert lazy.is_neg()
    torch.save(lazy, tmp_path / "v.pt")
    expected = torch.load(tmp_path / "v.pt", weights_only=True).resolve_neg().numpy()
    np.testing.assert_array_equal(FeatureFolder(tmp_path, "video").video("v"), expected)


def test_numbers_of_eight_bits_are_refused_in_a_line(tmp_path):
    torch.save(torch.randn(75, 512).to(torch.float8_e4m3fn), tmp_path / "v.pt")
    with pytest.raises(FeaturesMismatch, match=r"a tensor of float8_e4m3fn; expected float16 or float32"):
        FeatureFolder(tmp_path, "video").video("v")


def test_two_files_of_one_video_are_refused(tmp_path):
    np.savez(tmp_path / "v0.npz", features=normal(75, 512))
    np.save(tmp_path / "v0.npy", normal(75, 768))
    with pytest.raises(FeaturesMismatch, match=r"v0.npz and v0.npy beside it are both of 'v0'"):
        FeatureFolder(tmp_path, "video")


def test_advice_names_what_works(tmp_path):
    rows = videos((75, 512))
    with h5py.File(tmp_path / "p.h5", "w") as file:
        for name, array in rows.items():
            file[f"clip/{name}"], file[f"slowfast/{name}"] = array, array
    with pytest.raises(FeaturesMismatch, match=r"holds groups: clip \(8 arrays\), .*say which, as in .*p.h5:clip$"):
        FeatureFolder(tmp_path / "p.h5", "video")
    np.testing.assert_array_equal(FeatureFolder(tmp_path / "p.h5:clip", "video").video("v1"), rows["v1"])
    (tmp_path / "t").mkdir()
    torch.save({name: torch.from_numpy(array) for name, array in rows.items()}, tmp_path / "t" / "all.pt")
    with pytest.raises(FeaturesMismatch, match="or, if these are videos or queries, save them as one .npz"):
        FeatureFolder(tmp_path / "t", "video")
