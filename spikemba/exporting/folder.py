"""What `spikemba export` writes: a folder of graphs, and export.json for whoever runs them."""

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spikemba.checkpoints.grounding import Checkpoint, find_checkpoint, load_checkpoint
from spikemba.encoders import mini
from spikemba.encoders.mini import MiniEncoder
from spikemba.errors import OutputError, UnknownName
from spikemba.exporting.forms import SUFFIX, WRITERS, Graph, check_form
from spikemba.exporting.network import GrounderGraph
from spikemba.exporting.scan import LONGEST
from spikemba.exporting.towers import TextGraph, VideoGraph
from spikemba.files import WEIGHTS_FILE, folder_beside, write_json
from spikemba.libraries import version
from spikemba.video.sampling import RESIZES

DOCUMENT = "export.json"
FORMAT = 1
"""Layout of export.json."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    files: tuple[str, ...]
    needs: tuple[str, ...]
    """Encoders whose features the grounder wants and that are not among the graphs."""


def export(source: str | Path, form: str = "onnx", out: Path | None = None) -> Exported:
    """Write the graphs of a checkpoint, and export.json; the folder whole or not at all.

    source: a bundled name, a run or checkpoint folder, or a name of the hub.  form: a name of WRITERS.
    out: a folder that is not there or empty; None: `export-` and the source's name, here.
    Raises UnknownName, PackageMissing, CheckpointError, OutputError.
    """
    if form not in WRITERS:
        raise UnknownName("export format", form, sorted(WRITERS))
    check_form(form)
    checkpoint, folder = load_checkpoint(source), out or Path(f"export-{Path(source).absolute().name}")
    _check_target(folder)
    encoder = mini_encoder(checkpoint)
    graphs = graphs_of(checkpoint, encoder)
    document = describe(checkpoint, encoder, graphs, form)
    document["weights"] = {
        "grounder": hashlib.sha256((find_checkpoint(source) / WEIGHTS_FILE).read_bytes()).hexdigest()
    }
    if encoder is not None:
        document["weights"]["mini"] = encoder.weights
    part = _part_beside(folder)
    try:
        for graph in graphs:
            WRITERS[form](graph, part / f"{graph.name}{SUFFIX[form]}")
        write_json(part / DOCUMENT, document)
        part.chmod(0o755)
        with suppress(FileNotFoundError):
            folder.rmdir()  # an empty one
        part.replace(folder)
    except OSError as error:
        raise OutputError(folder, (error.strerror or str(error)).lower()) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    needs = () if encoder is not None else tuple(stream.encoder for stream in checkpoint.features.video)
    return Exported(folder, tuple(sorted(path.name for path in folder.iterdir())), needs)


def mini_encoder(checkpoint: Checkpoint) -> MiniEncoder | None:
    """The bundled encoder, as it was when the checkpoint was trained; None where it reads other features."""
    spec = checkpoint.features
    if spec.encoder != "mini" or spec.text.encoder != "mini_text":
        return None
    encoder = mini.load()
    wanted = spec.video[0].weights
    if encoder.weights != wanted and wanted is not None:
        return encoder.as_of(wanted)
    return encoder


def graphs_of(checkpoint: Checkpoint, encoder: MiniEncoder | None) -> list[Graph]:
    """The grounder, and both towers of mini where there is one. Raises CheckpointError."""
    spec, network = checkpoint.features, GrounderGraph(checkpoint.model)
    per_clip = {name: {1: "clips"} for name in network.outputs if name != "exists_logits"}
    inputs = {"video": torch.zeros(1, 75, spec.n_video_features), "query_tokens": torch.zeros(1, 40, spec.text.dim)}
    lengths = {"video": {1: "clips"}, "query_tokens": {1: "tokens"}, **per_clip}
    graphs = [Graph("grounder", network, inputs, network.outputs, lengths)]
    if encoder is not None:
        config = encoder.model.config
        frames = torch.zeros(4, config.frames_per_clip, config.size_px, config.size_px, 3, dtype=torch.uint8)
        clips = {"frames": {0: "clips"}, "features": {0: "clips"}}
        graphs.append(Graph("clips", VideoGraph(encoder), {"frames": frames}, ("features",), clips))
        words = {"words": {1: "tokens"}, "tokens": {1: "tokens"}}
        one = {"words": torch.zeros(1, 40, dtype=torch.long)}
        graphs.append(Graph("sentence", TextGraph(encoder), one, ("tokens", "pooled"), words))
    return graphs


def describe(checkpoint: Checkpoint, encoder: MiniEncoder | None, graphs: list[Graph], form: str) -> dict[str, Any]:
    """What export.json says, but for the digests of weights: all that stands between the graphs."""
    return {
        "format": FORMAT,
        "form": form,
        "graphs": {graph.name: _sides(graph, SUFFIX[form]) for graph in graphs},
        "max_positions": LONGEST,
        "features": checkpoint.features.model_dump(mode="json"),
        "grounding": checkpoint.grounding.model_dump(mode="json"),
        "min_exists": checkpoint.grounding.min_exists,
        "proposals": checkpoint.model.config.proposals.model_dump(mode="json"),
        "encoder": None if encoder is None else _encoder(encoder, checkpoint.features.clip_s),
        "versions": {name: version(name) for name in ("spikemba", "torch", *(["onnx"] if form == "onnx" else []))},
    }


def _sides(graph: Graph, suffix: str) -> dict[str, Any]:
    """A graph's file, its inputs with types and shapes, and the names of its outputs."""
    inputs: Mapping[str, Any] = {
        name: {
            "dtype": str(example.dtype).removeprefix("torch."),
            "shape": [graph.lengths[name].get(axis, size) for axis, size in enumerate(example.shape)],
        }
        for name, example in graph.inputs.items()
    }
    return {"file": f"{graph.name}{suffix}", "inputs": inputs, "outputs": list(graph.outputs)}


def _encoder(encoder: MiniEncoder, clip_s: float) -> dict[str, Any]:
    """How frames are taken and sentences are cut into words for mini."""
    rule = encoder.frame_rule(clip_s)
    return {
        "name": encoder.name,
        "fps": float(rule.fps),
        "frames_per_clip": encoder.frames_per_clip,
        "size_px": rule.size_px,
        "filters": [[name, options.format(size=rule.size_px)] for name, options in RESIZES[rule.resize]],
        "words": mini.WORD,
        "max_words": encoder.max_words,
        "vocabulary": list(encoder.model.config.vocabulary),
    }


def _check_target(folder: Path) -> None:
    """Raises OutputError for what is no folder, or holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(folder, "something is there already")


def _part_beside(folder: Path) -> Path:
    """A new folder beside the one that it will become. Raises OutputError."""
    try:
        return folder_beside(folder)
    except OSError as error:
        raise OutputError(folder, (error.strerror or str(error)).lower()) from error
