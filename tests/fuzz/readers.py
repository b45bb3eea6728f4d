"""Every reader of files that somebody else may have made, with a valid file for it: (write a seed, read a file)."""

import gzip
import json
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from openpyxl import Workbook
from safetensors.torch import save_file

from pipelines.extraction.failures import Failures
from pipelines.grounding.queries import read_queries
from pipelines.preparation.download import unpack
from pipelines.runs.run_dir import RunDir
from pipelines.runs.study_folder import read_study
from pipelines.tasks.registry import load_run_config
from spikemba.checkpoints.grounding import Checkpoint, load_checkpoint, save_checkpoint
from spikemba.datasets.annotations import read_annotations, read_predictions
from spikemba.datasets.benchmarks.charades_sta import read_charades
from spikemba.datasets.benchmarks.tacos import read_tacos
from spikemba.datasets.benchmarks.tvsum import read_tvsum
from spikemba.datasets.benchmarks.youtube_highlights import read_youtube
from spikemba.datasets.corpus_rows import read_corpus_answers, read_corpus_truth
from spikemba.datasets.corrections import correction
from spikemba.datasets.custom import read_custom
from spikemba.datasets.custom_sources import read_sources
from spikemba.datasets.labelled.video_lists import read_kinetics, read_ssv2, read_ucf101
from spikemba.datasets.labelled.videos import read_labelled_videos, read_labels
from spikemba.datasets.predictions.predictions import Predictions
from spikemba.datasets.word_vectors import WordVectors
from spikemba.encoders import mini
from spikemba.encoders.slowfast_weights import read_slowfast
from spikemba.errors import VideoError
from spikemba.features import FeatureFolder, FeatureSpec, Manifest
from spikemba.files import is_file
from spikemba.grounder import feature_cache
from spikemba.grounding import GroundingConfig
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.model.video_mamba.checkpoint import (
    VideoCheckpoint,
    load_video_checkpoint,
    open_video_model,
    save_video_checkpoint,
)
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.weight_files import read_state

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Reader:
    """One door that a file enters by."""

    file: str
    """Name of the file, as it must be called to be read."""
    seed: Callable[[Path], object]
    """Writes a valid file to the path, and what has to lie beside it."""
    read: Callable[[Path], object]
    """Reads the file at the path."""


READERS: dict[str, Reader] = {}


def reader(name: str, file: str, read: Callable[[Path], object]) -> Callable[[Callable[[Path], object]], object]:
    """Register what writes the seed of a reader."""

    def add(seed: Callable[[Path], object]) -> object:
        READERS[name] = Reader(file, seed, read)
        return seed

    return add


def text(name: str, file: str, content: str, read: Callable[[Path], object]) -> None:
    """Register a reader of a text."""
    READERS[name] = Reader(file, lambda path: path.write_text(content, encoding="utf-8"), read)


# --- weights

NUMBERS = {"conv1_w": np.zeros((2, 3), np.float32), "res_conv1_bn_s": np.ones(4, np.float64)}
STATE = {"s1.pathway0_stem.conv.weight": torch.zeros(2, 3), "half": torch.ones(3).half()}


@reader("slowfast pickle", "a.pkl", read_slowfast)
def _(path):
    path.write_bytes(pickle.dumps({"blobs": NUMBERS, "lr": np.float64(0.1)}, protocol=2))


@reader("slowfast zip", "a.pyth", read_slowfast)
def _(path):
    torch.save({"model_state": STATE, "cfg": "x", "epoch": 1}, path)


@reader("slowfast stream", "old.pyth", read_slowfast)
def _(path):
    torch.save({"model_state": STATE, "cfg": "x"}, path, _use_new_zipfile_serialization=False)


@reader("weights zip", "a.pt", read_state)
def _(path):
    torch.save({"model": {f"module.{k}": v for k, v in STATE.items()}, "best": np.float64(0.7)}, path)


@reader("weights torchscript", "a.pt", read_state)
def _(path):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).eval()
    torch.jit.trace(module, torch.zeros(1, 2)).save(str(path))


@reader("weights safetensors", "a.safetensors", read_state)
def _(path):
    save_file({"a": torch.zeros(2, 3), "b": torch.ones(2).bfloat16()}, path)


TINY_VIDEO = {"width": 8, "n_blocks": 1, "n_frames": 2, "size_px": 32, "n_classes": 3}


@reader("videomamba weights", "a.pth", open_video_model)
def _(path):
    model = VideoMamba(VideoMambaConfig.parse({**TINY_VIDEO, "preset": "opengvlab-s"}))
    torch.save({"model": model.state_dict()}, path)


def _video_checkpoint(folder):
    save_video_checkpoint(folder, VideoCheckpoint(VideoMamba(VideoMambaConfig.parse(TINY_VIDEO)), ("a", "b", "c")))


@reader("video checkpoint settings", "config.json", lambda path: load_video_checkpoint(path.parent))
def _(path):
    _video_checkpoint(path.parent)


@reader("video checkpoint weights", "model.safetensors", lambda path: load_video_checkpoint(path.parent))
def _(path):
    _video_checkpoint(path.parent)


def _checkpoint(folder):
    config = SpikeMbaConfig.parse({"width": 8, "n_blocks": 1})
    spec = FeatureSpec(
        video=(Manifest(encoder="a", dim=4),), text=Manifest(encoder="a", kind="text", dim=4), clip_s=2.0
    )
    save_checkpoint(folder, Checkpoint(SpikeMba(config, 4, 4), spec, GroundingConfig(), {"epoch": 1}))


@reader("checkpoint settings", "config.json", lambda path: load_checkpoint(path.parent))
def _(path):
    _checkpoint(path.parent)


@reader("checkpoint weights", "model.safetensors", lambda path: load_checkpoint(path.parent))
def _(path):
    _checkpoint(path.parent)


@reader("mini settings", "config.json", lambda path: mini.load(path.parent))
def _(path):
    shutil.copytree(mini.FOLDER, path.parent, dirs_exist_ok=True)


@reader("training state", "train_state.pt", lambda path: RunDir(path.parent).load_state())
def _(path):
    torch.save({"format": 3, "progress": {"epoch": 1, "rows": [{"loss": 0.5}]}, "random": [torch.ones(4)]}, path)


# --- features

ROWS = np.linspace(0, 1, 5 * 512, dtype=np.float32).reshape(5, 512)


@reader("features npz", "v.npz", lambda path: FeatureFolder(path.parent).video("v"))
def _(path):
    np.savez(path, features=ROWS)


@reader("features npz packed", "v.npz", lambda path: FeatureFolder(path.parent).video("v"))
def _(path):
    np.savez_compressed(path, features=ROWS)


@reader("features npy", "v.npy", lambda path: FeatureFolder(path.parent).video("v"))
def _(path):
    np.save(path, np.asfortranarray(ROWS))


@reader("features pt", "v.pt", lambda path: FeatureFolder(path.parent, "video").video("v"))
def _(path):
    torch.save({"x": torch.from_numpy(ROWS).bfloat16(), "fps": 0.5}, path)


@reader("features h5", "pack.h5", lambda path: (lambda f: (f.video("v"), f.n_rows("w")))(FeatureFolder(path, "video")))
def _(path):
    with h5py.File(path, "w") as file:
        file["v"], file["w/x"] = ROWS, ROWS.T


@reader("features one npz", "pack.npz", lambda path: FeatureFolder(path, "video").video("v"))
def _(path):
    np.savez_compressed(path, v=ROWS[None], w=ROWS)


@reader("query pt", "qid1.pt", lambda path: FeatureFolder(path.parent, "text").text(1))
def _(path):
    torch.save({"states": torch.from_numpy(ROWS), "attention_mask": torch.tensor([1, 1, 1, 0, 0])}, path)


@reader("query npz", "qid1.npz", lambda path: (lambda f: (f.text(1), f.sentence(1)))(FeatureFolder(path.parent)))
def _(path):
    np.savez(path, last_hidden_state=ROWS, pooler_output=ROWS[0])


@reader("manifest", "manifest.json", lambda path: FeatureFolder(path.parent).video("v"))
def _(path):
    np.savez(path.parent / "v.npz", features=ROWS)
    path.write_text(Manifest(encoder="x", dim=ROWS.shape[1], clip_s=2.0).model_dump_json())


@reader("feature cache", "k.npz", feature_cache._read)
def _(path):
    np.savez(path, duration_s=3.0, stream0=ROWS)


text("word vectors", "glove.txt", "a 1 2 3\nb 3 4 5\n", WordVectors)

# --- annotations

ANNOTATION = {"qid": 1, "query": "a b", "duration": 150, "vid": "v", "relevant_windows": [[0, 2]]}
RATED = {"relevant_clip_ids": [0], "saliency_scores": [[1, 2, 3]]}
LABELLED = {"qid": "2", "query": "c", "duration": 4, "vid": "w", "label": [[1, 2], [3, 4]], "domain": "BK"}
ANSWER = {"qid": 1, "vid": "v", "pred_relevant_windows": [[0, 2, 0.5]], "pred_saliency_scores": [0.1, 2]}
LINES = "\n".join(map(json.dumps, (ANNOTATION | RATED, LABELLED)))

TACOS = {"s1.avi": {"sentences": ["a"], "timestamps": [[1, 20]], "fps": 29.4, "num_frames": 900}}
YOUTUBE = {
    "6bS6-GVLBeM": {"duration": 20.5, "match": [1, 0, -1]},
    "fXx44D1sqUw": {"frames": 90, "fps": 30, "match": [1]},
}

text("annotations", "a.jsonl", LINES, read_annotations)
text("predictions", "p.jsonl", json.dumps(ANSWER), read_predictions)
LENS = {"v.mp4>>>a b>>>[0, 2]": {"timestamps": [[0, 2.5]], "answers": "0 - 2.5", "duration": 9}}
text("predictions of timelens", "t.json", json.dumps(LENS, indent=1), Predictions.from_file)
SAID = {"video": "v", "query": "a b", "exists": 0.5, "moments": [{"start_s": 0, "end_s": 2, "score": 0.5}]}
text("predictions of ground", "g.json", json.dumps([SAID]), Predictions.from_file)
text(
    "answers in words",
    "w.jsonl",
    json.dumps({"vid": "v", "query": "a", "answer": "0:01 to 0:03"}),
    Predictions.from_file,
)
FITS = {"qid": 1, "query": "x", "vid": "v", "truth": [{"vid": "v", "window": [0, 4.5], "grade": 2}], "kind": "plain"}
text("corpus truth", "t.jsonl", json.dumps(FITS), read_corpus_truth)
FOUND = {"qid": 1, "query": "x", "pred_corpus_moments": [["v", 0, 4.5, 0.5]], "pred_exist_score": 0.5}
text("corpus answers", "c.jsonl", json.dumps(FOUND), read_corpus_answers)
text("tvsum jsonl", "tvsum.jsonl", json.dumps(LABELLED), read_tvsum)
text("tacos json", "t.json", json.dumps(TACOS), read_tacos)
text("youtube json", "y.json", json.dumps(YOUTUBE), read_youtube)
text("queries csv", "q.csv", 'query\na\n"b, c"\n', read_queries)
text("queries jsonl", "q.jsonl", '{"query": "a"}\n{"query": "b"}\n', read_queries)
text("queries semicolons", "q.csv", "sep=;\nNr;Satz\n1;ein Hund\n2;eine Katze\n", read_queries)
text("queries", "q.txt", "a\nb\n", read_queries)
text("classes", "labels.txt", "a\nb\n", read_labels)


@reader("queries xlsx", "q.xlsx", read_queries)
def _(path):
    book = Workbook()
    for row in (["query", "start"], ["a", 1.5], ["b", 2]):
        book.active.append(row)
    book.save(path)


def _duration_of(video):
    if not is_file(video):
        raise VideoError(video, "no such file")
    return 60.0


def _custom(path):
    return read_custom(path, path.parent, _duration_of)


@reader("corrections", "Ana.jsonl", lambda path: read_sources([path.parent], path.parent, _duration_of))
def _(path):
    (path.parent / "v.mp4").touch()
    said = correction("Ana", "v", "a", 60.0, windows=[(1, 2.5), (3, 4)], wrong=[(5, 6)], model="m")
    path.write_text("".join(json.dumps(row.to_row(n)) + "\n" for n, row in enumerate([said, said], 1)))


@reader("own moments csv", "m.csv", _custom)
def _(path):
    (path.parent / "v.mp4").touch()
    path.write_text("video,start,end,query\nv.mp4,0:01,0:02.5,a\nv.mp4,3,4,b\n")


@reader("own moments jsonl", "m.jsonl", _custom)
def _(path):
    (path.parent / "v.mp4").touch()
    rows = ({"video": "v.mp4", "start": k, "end": k + 1.5, "query": "a"} for k in range(3))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@reader("charades", "charades_sta_test.txt", lambda path: read_charades(path, path.parent, "test"))
def _(path):
    (path.parent / "Charades_v1_test.csv").write_text("id,length\nAO8RW,33.7\n")
    path.write_text("AO8RW 0.0 6.9##a person is putting a book on a shelf.\n")


@reader(
    "charades lengths", "Charades_v1_test.csv", lambda path: read_charades(path.with_name("c.txt"), path.parent, "test")
)
def _(path):
    path.write_text("id,length\nAO8RW,33.7\nB,1\n")
    path.with_name("c.txt").write_text("AO8RW 0.0 6.9##a person is putting a book on a shelf.\n")


@reader("labelled videos", "l.csv", read_labelled_videos)
def _(path):
    path.with_name("a.mp4").touch()
    path.write_text("video,label,start,end\na.mp4,x,,\na.mp4,y,1,2.5\n")


@reader("kinetics", "train.csv", lambda path: read_kinetics(path.parent, path.parent, 1))
def _(path):
    path.write_text("label,youtube_id,time_start,time_end,split\nabseiling,abc,1,11,train\n")


@reader("ucf101", "trainlist01.txt", lambda path: read_ucf101(path.parent, path.parent, 1))
def _(path):
    path.with_name("classInd.txt").write_text("1 Archery\n2 Biking\n")
    path.with_name("testlist01.txt").write_text("Biking/v_Biking_g01_c01.avi\n")
    path.write_text("Archery/v_Archery_g01_c01.avi 1\n")


@reader("ssv2 labels", "labels.json", lambda path: read_ssv2(path.parent, path.parent, 1))
def _(path):
    for name in ("train", "validation"):
        path.with_name(f"{name}.json").write_text('[{"id": "1", "template": "Holding [something]"}]')
    path.write_text('{"Holding something": "0", "Dropping something": "1"}')


@reader("ssv2 entries", "train.json", lambda path: read_ssv2(path.parent, path.parent, 1))
def _(path):
    path.with_name("labels.json").write_text('{"Holding something": "0"}')
    for name in ("train", "validation"):
        path.with_name(f"{name}.json").write_text('[{"id": "1", "template": "Holding [something]"}]')


@reader("tvsum mat", "tv.mat", read_tvsum)
def _(path):
    columns = {"video": "abc", "category": "BK", "title": "hey", "length": None, "user_anno": None}
    with h5py.File(path, "w") as file:
        table = file.create_group("tvsum50")
        for name, letters in columns.items():
            if letters is not None:
                values = np.array([[ord(letter)] for letter in letters], np.uint16)
            else:
                values = np.array([[10.0]]) if name == "length" else np.ones((20, 300))
            held = file.create_dataset(f"#refs#/{name}", data=values)
            table.create_dataset(name, (1, 1), dtype=h5py.ref_dtype)[0, 0] = held.ref


# --- settings and runs

text("settings", "y.yaml", (ROOT / "configs" / "shapes.yaml").read_text("utf-8"), load_run_config)
text("epochs", "metrics.jsonl", '{"epoch": 1, "loss": 0.5}\n', lambda path: RunDir(path.parent).rows())
text(
    "failures",
    "failures.jsonl",
    '{"video": "a", "problem": "b", "state": [1, 2]}\n',
    lambda path: Failures(path.parent),
)
text("study", "study.json", '{"benchmark": "qvhighlights", "runs": []}', lambda path: read_study(path.parent))


# --- archives


def _unpacked(path):
    shutil.rmtree(path.parent / "out", ignore_errors=True)
    (path.parent / "out").mkdir()
    return unpack(path, path.parent / "out", 1_000_000)


@reader("zip archive", "a.zip", _unpacked)
def _(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/b.txt", "hello " * 50)
        file.writestr("c.txt", "x")


@reader("tar archive", "a.tgz", _unpacked)
def _(path):
    path.with_name("c.txt").write_text("hello " * 50)
    with tarfile.open(path.with_name("a.tar"), "w") as file:
        file.add(path.with_name("c.txt"), "d/c.txt")
    path.write_bytes(gzip.compress(path.with_name("a.tar").read_bytes(), mtime=0))
