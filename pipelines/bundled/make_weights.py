"""Makes everything that is bundled: the mini encoder, the SpikeMba checkpoint on its features, the example video.

    make weights        (or: python -m pipelines.bundled.make_weights [WORK_FOLDER])

Every stage keeps what it has finished in the work folder, so a broken-off run goes on. On two cores it takes about an
hour and a half. Weights are equal from run to run on one machine; elsewhere sums of floats differ in the last bits.
"""

import shutil
import sys
import time
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.bundled.pretrain_mini import Corpus, PretrainConfig, matching_precision, pretrain, vocabulary
from pipelines.extraction.extract import extract
from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from pipelines.runs.config import config_path
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


def make_encoder(corpus: Path, out: Path) -> None:
    """Train the mini encoder on the corpus's training videos and store it, unless it is there."""
    if (out / "model.safetensors").exists():
        return
    sizes = mini.MiniConfig(vocabulary=vocabulary())
    videos = {split: _videos(corpus, split) for split in ("train", "val")}
    read = Corpus.read(videos["train"], sizes)
    model, losses = pretrain(read, PretrainConfig(), sizes, _progress("encoder steps"))
    print(f"encoder: loss {sum(losses[-100:]) / 100:.3f}")
    print(f"encoder: matching precision {matching_precision(model, Corpus.read(videos['val'][:20], sizes)):.3f}")
    write_text(out / "config.json", model.config.model_dump_json(indent=2) + "\n")
    with writing(out / "model.safetensors") as temporary:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, temporary)


def make_checkpoint(corpus: Path, run: Path, out: Path) -> None:
    """Train SpikeMba on the corpus with configs/shapes.yaml and store its best epoch."""
    data = {split: corpus / f"{split}.jsonl" for split in ("train", "val", "test")}
    features = corpus / "features"
    extract([corpus / "videos"], "mini", features, queries=list(data.values()))
    where = [f"data.{split}={path}" for split, path in data.items()]
    where += [f"data.video_features=[{features / 'mini'}]", f"data.text_features={features / 'mini_text'}"]
    result = train(load_config(config_path("shapes"), where), run, resume=True)
    print(f"checkpoint: best epoch {result.best_epoch}, {result.best}")
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
    make_encoder(corpus, mini.FOLDER)
    make_checkpoint(corpus, work / "run", BUNDLED["mini"])
    write_video(EXAMPLE, render(example_board()), FPS)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/weights"))
