"""Makes everything that is bundled: the mini encoder, the SpikeMba checkpoint on its features, the example video.

    make weights        (or: python -m pipelines.bundled.make_weights [WORK_FOLDER])

Every stage keeps what it has finished in the work folder, so a broken-off run goes on. On two cores it takes about an
hour and a half. Weights are equal from run to run on one machine; elsewhere sums of floats differ in the last bits.
"""

import shutil
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.bundled.clause_tokens import ClauseConfig, encode_places, teach_clauses
from pipelines.bundled.pretrain_mini import Corpus, PretrainConfig, matching_precision, pretrain, vocabulary
from pipelines.extraction.extract import extract
from pipelines.extraction.job import RunOptions
from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from pipelines.runs.config import config_path
from pipelines.tasks.grounding.calibrate import calibrate
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train
from spikemba.checkpoints.grounding import BUNDLED
from spikemba.datasets.annotations import read_annotations
from spikemba.datasets.synthetic.drawing import render
from spikemba.datasets.synthetic.shapes import FPS, Description, Storyboard, storyboard
from spikemba.encoders import mini
from spikemba.files import write_text, writing
from spikemba.progress import Report
from spikemba.video.files import write_video

CORPUS = ShapesConfig(train=600, val=60, test=150)
EXAMPLE = Path(__file__).parents[2] / "examples" / "shapes.mp4"
EXAMPLE_QUERY = Description("red", "circle", "enters")


def make_towers(corpus: Path, out: Path) -> None:
    """Train both towers of the mini encoder on the corpus's training videos and store them, unless they are there."""
    if (out / "model.safetensors").exists():
        return
    sizes = mini.MiniConfig(vocabulary=vocabulary())
    videos = {split: _videos(corpus, split) for split in ("train", "val")}
    read = Corpus.read(videos["train"], sizes)
    model, losses = pretrain(read, PretrainConfig(), sizes, _progress("encoder steps"))
    print(f"encoder: loss {sum(losses[-100:]) / 100:.3f}")
    print(f"encoder: matching precision {matching_precision(model, Corpus.read(videos['val'][:20], sizes)):.3f}")
    _store(model, out)


def make_encoder(corpus: Path, towers: Path, out: Path) -> None:
    """Teach the towers' words their clauses, and store the whole encoder, unless it is there."""
    if (out / "model.safetensors").exists():
        return
    towers_alone = mini.load(towers)
    known = towers_alone.model
    settings = ClauseConfig()
    torch.manual_seed(settings.seed)
    grown = {"tokens": "clauses", "grew_from": towers_alone.weights}
    model = mini.Mini(known.config.model_copy(update=grown)).eval()
    model.load_state_dict(known.state_dict(), strict=False)
    places = encode_places(model, Corpus.read(_videos(corpus, "train")[::8], model.config), settings)
    losses = teach_clauses(model, places, settings, _progress("clause steps"))
    print(f"encoder: loss of clauses {sum(losses[-100:]) / 100:.3f}")
    _store(model, out)


def _store(model: mini.Mini, out: Path) -> None:
    write_text(out / "config.json", model.config.model_dump_json(indent=2) + "\n")
    with writing(out / "model.safetensors") as temporary:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, temporary)


def make_checkpoint(corpus: Path, encoder: Path, run: Path, out: Path) -> None:
    """Train SpikeMba on the corpus and the encoder's features with configs/shapes.yaml, calibrate and store its best
    epoch.
    """
    splits = [f"{split}{nulls}" for nulls in ("", "_nulls") for split in ("train", "val", "test")]
    data = {split: corpus / f"{split}.jsonl" for split in splits}
    features = corpus / "features"
    run_options = RunOptions(weights={"mini": encoder})
    extract([corpus / "videos"], "mini", features, queries=list(data.values()), run=run_options)
    where = [f"data.{split}={path}" for split, path in data.items()]
    where += [f"data.video_features=[{features / 'mini'}]", f"data.text_features={features / 'mini_text'}"]
    result = train(load_config(config_path("shapes"), where), run, resume=True)
    print(f"checkpoint: best epoch {result.best_epoch}, {result.best}")
    calibrate(run)
    with writing(out / "config.json") as temporary:
        shutil.copy(run / "best" / "config.json", temporary)
    with writing(out / "model.safetensors") as temporary:
        save_file(in_half_precision(load_file(run / "best" / "model.safetensors")), temporary)


def in_half_precision(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are bundled, in half the space; loading makes them float32 again."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def example_board() -> Storyboard:
    """The first storyboard of its own seeds in which a red circle enters exactly once."""
    seed = 900_000
    while True:
        board = storyboard(seed, duration_s=60)
        if sum(EXAMPLE_QUERY.fits(event) for event in board.events) == 1:
            return board
        seed += 1


def _videos(corpus: Path, split: str) -> list[Path]:
    """The split's videos, in the order of its annotations."""
    names = dict.fromkeys(annotation.video_id for annotation in read_annotations(corpus / f"{split}.jsonl"))
    return [corpus / "videos" / f"{name}.mp4" for name in names]


def _progress(unit: str) -> Report:
    started = time.perf_counter()

    def report(done: int, total: int | None) -> None:
        if done % 100 == 0:
            print(f"{done}/{total} {unit}, {time.perf_counter() - started:.0f} s", flush=True)

    return report


def main(work: Path) -> None:
    """Make all of it."""
    corpus = work / "shapes"
    prepare_shapes(corpus, CORPUS, _progress("videos"))
    make_towers(corpus, work / "towers")
    make_encoder(corpus, work / "towers", work / "encoder")
    make_checkpoint(corpus, work / "encoder", work / "run", BUNDLED["mini"])
    for path in (work / "encoder").iterdir():
        with writing(mini.FOLDER / path.name) as temporary:
            shutil.copy(path, temporary)
    write_video(EXAMPLE, render(example_board()), FPS)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/weights"))
