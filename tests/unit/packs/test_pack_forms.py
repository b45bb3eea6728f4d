"""Every form of a pack gives the same rows and tokens; what fits none is refused by name."""

import itertools
import pickle

import h5py
import numpy as np
import pytest
import torch

from spikemba.errors import FeaturesMismatch, FeaturesMissing
from spikemba.features import FeatureFolder
from spikemba.reading import hdf5, zips

RNG = np.random.default_rng(0)
ROWS = {f"v{i}": RNG.normal(size=(20 + i, 768)).astype(np.float32) for i in range(4)}
STATES = {str(i): RNG.normal(size=(5 + i, 512)).astype(np.float32) for i in range(4)}


def in_folder(save, ending):
    def write(folder, arrays, prefix=""):
        path = folder / "pack"
        path.mkdir()
        for name, array in arrays.items():
            save(path / f"{prefix}{name}{ending}", array)
        return path

    return write


def in_npz(folder, arrays, prefix=""):
    path = folder / "pack.npz"
    np.savez_compressed(path, **{prefix + name: array for name, array in arrays.items()})
    return path


def in_hdf5(place):
    def write(folder, arrays, prefix=""):
        path = folder / "pack.h5"
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(place.format(prefix + name), data=array)
        return path

    return write


def torch_saved(make):
    return lambda path, array: torch.save(make(torch.from_numpy(array)), path)


def older_stream(path, array):
    torch.save(torch.from_numpy(array), path, _use_new_zipfile_serialization=False)


FORMS = {
    "npz, its usual key": in_folder(lambda path, array: np.savez(path, features=array), ".npz"),
    "npz, any key": in_folder(lambda path, array: np.savez(path, x=array, fps=30.0), ".npz"),
    "npy": in_folder(np.save, ".npy"),
    "pt, a tensor": in_folder(torch_saved(lambda x: x), ".pt"),
    "pt, a dictionary": in_folder(torch_saved(lambda x: {"x": x, "name": "v"}), ".pt"),
    "pt, the older stream": in_folder(older_stream, ".pth"),
    "one npz": in_npz,
    "one h5": in_hdf5("{}"),
    "one h5 of groups": in_hdf5("{}/x"),
    "one h5, ids below a group": in_hdf5("video/{}"),
    "float16": in_folder(lambda path, array: np.save(path, array.astype(np.float16)), ".npy"),
    "float64": in_folder(lambda path, array: np.save(path, array.astype(np.float64)), ".npy"),
    "bfloat16": in_folder(torch_saved(lambda x: x.bfloat16()), ".pt"),
    "(1, n, F)": in_folder(torch_saved(lambda x: x[None]), ".pt"),
    "(n, F, 1, 1)": in_folder(lambda path, array: np.save(path, array[..., None, None]), ".npy"),
    "(F, n)": in_folder(lambda path, array: np.save(path, array.T), ".npy"),
    "(1, F, n)": in_hdf5("{}"),
}
every_form = pytest.mark.parametrize("form", FORMS)


def stored(form, array):
    return array.T[None] if form == "(1, F, n)" else array


def close(form):
    return {"float16": {"rtol": 1e-3, "atol": 1e-4}, "bfloat16": {"rtol": 1e-2}}.get(form, {"rtol": 0})


@every_form
def test_a_video_has_the_same_rows_in_every_form(tmp_path, form):
    path = FORMS[form](tmp_path, {name: stored(form, rows) for name, rows in ROWS.items()})
    pack = FeatureFolder(path, "video")
    assert (pack.manifest.dim, pack.manifest.kind) == (768, "video")
    for name, rows in ROWS.items():
        assert pack.has_video(name)
        assert pack.n_rows(name) == len(rows)
        np.testing.assert_allclose(pack.video(name).astype(np.float32), rows, **close(form))
    assert pack.items() == sorted(ROWS)
    assert not pack.has_video("other")
    cure = "features show" if path.is_file() else "extract"
    with pytest.raises(FeaturesMissing, match=f"no features for video 'other' in .*; run `spikemba {cure}"):
        pack.video("other")
    assert pack.files(videos=[*ROWS, "other"])[0].is_file()


@every_form
@pytest.mark.parametrize("prefix", ["", "qid"])
def test_a_query_has_the_same_tokens_in_every_form(tmp_path, form, prefix):
    path = FORMS[form](tmp_path, {name: stored(form, states) for name, states in STATES.items()}, prefix)
    pack = FeatureFolder(path, "text")
    assert (pack.manifest.dim, pack.manifest.kind) == (512, "text")
    for number, states in STATES.items():
        assert pack.has_text(int(number))
        np.testing.assert_allclose(pack.text(int(number)).astype(np.float32), states, **close(form))
        assert pack.sentence(number) is None
        assert pack.asked(number) is None


def test_the_same_numbers_have_the_same_mark_in_every_form_but_the_coarser(tmp_path):
    marks = {}
    for n, (form, write) in enumerate(FORMS.items()):
        (tmp_path / str(n)).mkdir()
        path = write(tmp_path / str(n), {name: stored(form, rows) for name, rows in ROWS.items()})
        marks[form] = FeatureFolder(path, "video").manifest.content
    coarse = marks.pop("bfloat16")
    assert len({tuple(sorted(of_form.items())) for of_form in marks.values()}) == 1
    assert coarse.keys() == ROWS.keys()
    assert not set(coarse.values()) & set(next(iter(marks.values())).values())


@pytest.mark.parametrize("form", ["one npz", "one h5", "pt, a tensor"])
def test_a_pack_can_be_sent_to_another_process(tmp_path, form):
    pack = FeatureFolder(FORMS[form](tmp_path, ROWS), "video")
    pack.video("v0")
    again = pickle.loads(pickle.dumps(pack))
    np.testing.assert_array_equal(again.video("v1"), ROWS["v1"])


@pytest.mark.parametrize("form", ["one npz", "one h5"])
def test_workers_of_a_loader_read_a_file_that_is_held_open(tmp_path, form):
    pack = FeatureFolder(FORMS[form](tmp_path, ROWS), "video")
    pack.video("v0")  # opened before the workers are forked
    names = list(itertools.islice(itertools.cycle(ROWS), 40))
    loader = torch.utils.data.DataLoader(names, batch_size=None, num_workers=2, collate_fn=pack.video)
    for name, rows in zip(names, loader, strict=True):
        np.testing.assert_array_equal(rows, ROWS[name])


def test_a_pack_is_read_in_every_epoch(tmp_path, monkeypatch):
    """What is held against a file's size is what it holds, not how often it is read."""
    monkeypatch.setattr(zips, "ALWAYS_ALLOWED", 1 << 20)
    monkeypatch.setattr(hdf5, "ALWAYS_ALLOWED", 1 << 20)
    for write in (in_npz, in_hdf5("{}")):
        pack = FeatureFolder(write(tmp_path, {"v": np.zeros((150, 768), np.float32), **ROWS}), "video")
        for _ in range(20):  # of 0.5 MB each
            assert not pack.video("v").any()


# Text


def query(folder, **arrays):
    folder.mkdir(exist_ok=True)
    np.savez(folder / "qid7.npz", **arrays)
    return FeatureFolder(folder, "text")


def test_tokens_end_where_rows_of_zeros_begin(tmp_path):
    states = np.zeros((77, 6))
    states[:5] = RNG.normal(size=(5, 6))
    states[2] = 0
    np.testing.assert_array_equal(query(tmp_path / "a", last_hidden_state=states).text(7), states[:5])
    assert query(tmp_path / "b", last_hidden_state=states[10:]).text(7).shape == (1, 6)


@pytest.mark.parametrize("key", ["attention_mask", "mask", "token_mask"])
@pytest.mark.parametrize("kind", [bool, np.int64, np.float32])
def test_a_mask_says_which_tokens_are_real(tmp_path, key, kind):
    states, mask = RNG.normal(size=(8, 6)), np.array([[1, 1, 1, 1, 0, 0, 0, 0]])
    found = query(tmp_path / "q", last_hidden_state=states, **{key: mask.astype(kind)}).text(7)
    np.testing.assert_array_equal(found, states[:4])


def test_a_mask_of_another_length_or_of_nothing_is_refused(tmp_path):
    states = RNG.normal(size=(8, 6))
    for name, mask, problem in (("a", np.ones(7), "a mask of 7 for 8 tokens"), ("b", np.zeros(8), "leaves no token")):
        with pytest.raises(FeaturesMismatch, match=problem):
            query(tmp_path / name, last_hidden_state=states, attention_mask=mask).text(7)


def test_an_embedding_of_the_sentence_alone_is_one_token(tmp_path, caplog):
    pooled = RNG.normal(size=512)
    pack = query(tmp_path / "q", pooler_output=pooled)
    np.testing.assert_array_equal(pack.text(7), pooled[None])
    assert pack.manifest.dim == 512
    assert "one embedding for a sentence" in caplog.text
    (tmp_path / "t").mkdir()
    torch.save(torch.from_numpy(pooled), tmp_path / "t" / "7.pt")
    np.testing.assert_array_equal(FeatureFolder(tmp_path / "t", "text").text(7), pooled[None])


def test_a_group_of_a_query_holds_states_sentence_and_mask(tmp_path):
    states = RNG.normal(size=(6, 4))
    with h5py.File(tmp_path / "q.h5", "w") as file:
        for number in (3, 4):
            group = file.create_group(f"qid{number}")
            group["last_hidden_state"], group["pooler_output"] = states, states[0]
            group["attention_mask"] = [1, 1, 1, 1, 0, 0]
    pack = FeatureFolder(tmp_path / "q.h5", "text")
    np.testing.assert_array_equal(pack.text(4), states[:4])
    np.testing.assert_array_equal(pack.sentence(4), states[0])


# What is chosen and what is guessed


def test_several_arrays_are_named_with_how_to_choose(tmp_path):
    path = tmp_path / "pack"
    path.mkdir()
    for name, rows in ROWS.items():
        np.savez(path / f"{name}.npz", slow=rows, fast=rows[:, :256])
    with pytest.raises(FeaturesMismatch, match=r"several arrays: slow \(\d+, 768\), fast .* as in .*pack:slow"):
        FeatureFolder(path, "video")
    chosen = FeatureFolder(tmp_path / "pack:fast", "video")
    assert (chosen.manifest.dim, chosen.manifest.encoder) == (256, "pack:fast")
    np.testing.assert_array_equal(chosen.video("v1"), ROWS["v1"][:, :256])
    with pytest.raises(FeaturesMismatch, match="has no array 'x'; it holds slow"):
        FeatureFolder(tmp_path / "pack:x", "video")


def test_a_folder_of_packs_is_none_and_a_key_that_is_not_there_is_refused(tmp_path):
    path = FORMS["npy"](tmp_path, ROWS)
    with pytest.raises(FeaturesMismatch, match="holds no features itself, but folders: pack; name one of them"):
        FeatureFolder(tmp_path, "video")
    with pytest.raises(FeaturesMismatch, match=r"has no array 'x'; it holds one array, \(\d+, 768\)"):
        FeatureFolder(path.with_name("pack:x"), "video")


def test_a_group_of_an_h5_is_chosen_by_its_name(tmp_path):
    with h5py.File(tmp_path / "p.h5", "w") as file:
        for name, rows in ROWS.items():
            file[f"clip/{name}"], file[f"slowfast/{name}"] = rows[:, :512], rows
    pack = FeatureFolder(tmp_path / "p.h5:clip", "video")
    np.testing.assert_array_equal(pack.video("v2"), ROWS["v2"][:, :512])


def test_transposed_arrays_are_found_and_said_once(tmp_path, caplog):
    path = FORMS["(F, n)"](tmp_path, ROWS)
    for _ in range(2):
        FeatureFolder(path, "video")
    assert caplog.text.count("(F, n)") == 1


def test_one_array_that_lies_otherwise_than_the_others_is_turned(tmp_path, caplog):
    path = FORMS["npy"](tmp_path, {**ROWS, "v2": ROWS["v2"].T})
    pack = FeatureFolder(path, "video")
    np.testing.assert_array_equal(pack.video("v2"), ROWS["v2"])
    assert pack.n_rows("v2") == 22
    assert "some arrays are (F, n)" in caplog.text


@pytest.mark.parametrize("turned", [False, True])
def test_the_duration_says_how_arrays_of_one_shape_lie(tmp_path, turned):
    """90 rows of 100 numbers: neither is an encoder's width, and all videos are equally long."""
    rows = {f"v{i}": RNG.normal(size=(90, 100)) for i in range(3)}
    path = FORMS["npy"](tmp_path, {name: array.T if turned else array for name, array in rows.items()})
    pack = FeatureFolder(path, "video", dict.fromkeys(rows, 89.7))
    assert pack.manifest.dim == 100
    np.testing.assert_array_equal(pack.video("v0"), rows["v0"])


def test_without_durations_an_encoders_width_says_it(tmp_path):
    for name, shape in (("a", (75, 768)), ("b", (768, 75))):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "v.npy", RNG.normal(size=shape))
        assert FeatureFolder(tmp_path / name, "video").video("v").shape == (75, 768)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [("v_abc", "abc"), ("abc", "v_abc"), ("abc.mp4", "abc"), ("abc", "abc.mkv"), ("v_abc", "abc.mp4")],
)
def test_names_that_differ_by_what_packs_put_around_them_are_one(tmp_path, caplog, stored, asked):
    pack = FeatureFolder(FORMS["npy"](tmp_path, {stored: ROWS["v0"]}), "video")
    np.testing.assert_array_equal(pack.video(asked), ROWS["v0"])
    assert f"{stored!r} is read for {asked!r}" in caplog.text


def test_names_that_could_be_several_videos_are_none(tmp_path):
    pack = FeatureFolder(FORMS["npy"](tmp_path, {"v_abc": ROWS["v0"], "abc.mp4": ROWS["v1"]}), "video")
    assert not pack.has_video("abc")
    assert pack.has_video("v_abc")
    one = FeatureFolder(tmp_path / "pack", "video")
    (tmp_path / "pack" / "v_abc.npy").unlink()
    assert one.has_video("abc.mov")
    assert not one.has_video("abc.avi")  # else two videos would have one's features


# What is refused


def test_damaged_and_foreign_files_are_named(tmp_path):
    h5 = in_hdf5("{}")(tmp_path, ROWS)
    h5.write_bytes(h5.read_bytes()[:5000])
    with pytest.raises(FeaturesMismatch, match=r"pack.h5 is damaged .*fetch it again"):
        FeatureFolder(h5, "video")
    (tmp_path / "pack.txt").write_text("x")
    with pytest.raises(FeaturesMismatch, match=r"pack.txt is no pack of features; expected a folder of .npz"):
        FeatureFolder(tmp_path / "pack.txt", "video")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(FeaturesMismatch, match=r"empty.h5 is empty"):
        FeatureFolder(tmp_path / "empty.h5", "video")
    with pytest.raises(FeaturesMissing):
        FeatureFolder(tmp_path / "nothing.h5", "video")


class Runs:
    def __reduce__(self):
        import os

        return os.system, ("true",)


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ({"x": Runs()}, r"v\.pt is damaged; .*loading it would run posix.system"),
        ([torch.ones(3)], "holds a list; expected a tensor, or a dictionary of tensors"),
        ({"name": "v"}, "a dictionary without tensors"),
        (torch.ones(3, 512).to(torch.complex64), "complex numbers"),
        (torch.ones(0, 4), r"shape \(0, 4\); expected"),
        (torch.ones(2, 3, 4), r"v\.pt has no array|shape \(2, 3, 4\); expected"),
        (torch.tensor([[float("nan")], [1]]).expand(2, 512), r"v\.pt holds nan in row 0 \(1 of 2 rows hold such\)"),
    ],
)
def test_a_pt_of_anything_else_is_refused(tmp_path, what, problem):
    torch.save(what, tmp_path / "v.pt")
    with pytest.raises(FeaturesMismatch, match=problem):
        FeatureFolder(tmp_path, "video").video("v")


def test_objects_are_refused(tmp_path):
    np.savez(tmp_path / "v.npz", features=np.array([[{"a": 1}]], dtype=object))
    with pytest.raises(FeaturesMismatch, match="an array of '|O'; expected one of numbers"):
        FeatureFolder(tmp_path, "video").video("v")


def test_ragged_widths_are_named_by_the_file_that_differs(tmp_path):
    pack = FeatureFolder(FORMS["npy"](tmp_path, {**ROWS, "v9": ROWS["v0"][:, :512]}), "video")
    assert pack.manifest.dim == 768
    with pytest.raises(FeaturesMismatch, match=r"v9.npy holds an array of shape \(20, 512\); expected \(n, 768\)"):
        pack.video("v9")
    with pytest.raises(FeaturesMismatch, match=r"v9.npy"):
        pack.n_rows("v9")
