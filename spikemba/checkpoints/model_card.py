"""The README.md of a shared checkpoint: what it is, how to use it, what it reads, data, results and settings.

Everything in it comes from the checkpoint; `trained` may hold, each optional:

    epoch, version, date            numbers and text
    data                            name -> text, as {"data set": "TVSum", "train": "40 pairs of train.jsonl"}
    val, test                       metric -> percent
    settings                        section.key -> value, those that differ from the defaults
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from spikemba.checkpoints.grounding import Checkpoint

LIBRARY = "spikemba"
PAPER = "https://arxiv.org/abs/2404.01174"
TAGS = ("temporal-video-grounding", "moment-retrieval", "highlight-detection", "mamba", "spiking-neural-network")
SPLITS = {"val": "validation", "test": "test"}


def model_card(
    checkpoint: Checkpoint,
    *,
    name: str | None = None,
    licence: str | None = None,
    backbones: Mapping[str, str] | None = None,
) -> str:
    """The whole card, YAML head and Markdown.

    name: of the repository, as a reader will ask for it.  licence: its identifier on the hub, such as apache-2.0.
    backbones: encoder -> what it stands on and does not hold itself.
    """
    head = yaml.safe_dump(_head(checkpoint, name, licence), sort_keys=False, width=120)
    parts = [f"# {(name or 'SpikeMba checkpoint').rpartition('/')[2]}", _introduction(checkpoint)]
    parts += [
        _use(name or "FOLDER"),
        _reads(checkpoint, backbones or {}),
        *_trained(checkpoint.trained),
        _files(checkpoint),
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(parts) + "\n"


def _head(checkpoint: Checkpoint, name: str | None, licence: str | None) -> dict[str, Any]:
    """What the hub reads: library, tags, and the results as a model index."""
    head: dict[str, Any] = {"library_name": LIBRARY, "tags": [*TAGS, "model_hub_mixin"]}
    if licence:
        head["license"] = licence
    results = list(_index(checkpoint.trained))
    if results:
        head["model-index"] = [{"name": (name or "SpikeMba").rpartition("/")[2], "results": results}]
    return head


def _index(trained: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    data = trained.get("data", {})
    named = str(data.get("data set") or data.get("benchmark") or "not recorded")  # 0.1.0 wrote `benchmark`
    for split, title in SPLITS.items():
        if metrics := trained.get(split):
            yield {
                "task": {"type": TAGS[0], "name": "Temporal video grounding"},
                "dataset": {"type": re.sub(r"\W+", "_", named).lower(), "name": named, "split": title},
                "metrics": [{"type": metric, "value": value} for metric, value in metrics.items()],
            }


def _introduction(checkpoint: Checkpoint) -> str:
    config, version = checkpoint.model.config, checkpoint.trained.get("version")
    million = sum(parameter.numel() for parameter in checkpoint.model.parameters()) / 1e6
    with_version = f" with spikemba {version}" if version else ""
    return (
        f"Finds the moments of a video that a sentence describes: a [SpikeMba]({PAPER}) network of {million:.1f} M "
        f"parameters, {config.n_blocks} blocks of width {config.width}, trained{with_version}."
    )


def _use(name: str) -> str:
    return f"""## Use

```sh
spikemba ground video.mp4 "what to look for" --checkpoint {shlex.quote(name)}
```

```python
import spikemba

print(spikemba.load("{name}").ground("video.mp4", "what to look for"))

# the network alone, for features of your own
model = spikemba.PretrainedSpikeMba.from_pretrained("{name}")
```"""


def _reads(checkpoint: Checkpoint, backbones: Mapping[str, str]) -> str:
    spec = checkpoint.features
    streams = [(stream, "clips") for stream in spec.video] + [(spec.text, "query")]
    rows = [(what, s.encoder, str(s.dim), (s.weights or "not recorded")[:16]) for s, what in streams]
    cut = [f"queries are cut to {spec.max_tokens} tokens"] if spec.max_tokens else []
    cut += [f"training videos were cut to {spec.max_clips} clips"] if spec.max_clips else []
    facts = "; ".join([f"Clips last {spec.clip_s:g} s", *cut]) + "."
    for encoder, backbone in backbones.items():
        facts += (
            f"\n\nThe encoder in `encoders/{encoder}` adapts a backbone that is not here: {backbone}. Put it into the "
        )
        facts += "folder of weights that `spikemba doctor` names."
    return f"## What it reads\n\n{_table(('', 'encoder', 'numbers', 'SHA-256 of its weights'), rows)}\n\n{facts}"


def _trained(trained: Mapping[str, Any]) -> Iterator[str]:
    """Data, results and settings, each where it is known."""
    data = {**trained.get("data", {}), **{key: trained[key] for key in ("epoch", "date") if key in trained}}
    if data:
        yield "## Data and training\n\n" + _table(("", ""), [(str(k), str(v)) for k, v in data.items()])
    splits = {title: trained[split] for split, title in SPLITS.items() if trained.get(split)}
    if splits:
        metrics = dict.fromkeys(metric for of_split in splits.values() for metric in of_split)
        rows = [(metric, *(_number(of_split.get(metric)) for of_split in splits.values())) for metric in metrics]
        chosen = "\n\nThe epoch was chosen on the validation split." if "validation" in splits else ""
        yield f"## Results\n\n{_table(('%', *splits), rows)}{chosen}"
    if settings := trained.get("settings"):
        rows = [(f"`{key}`", f"`{value}`") for key, value in settings.items()]
        yield "## Settings\n\nThose that differ from the defaults.\n\n" + _table(("setting", "value"), rows)


def _files(checkpoint: Checkpoint) -> str:
    missing = "" if checkpoint.trained.get("data") else " What it was trained on was not recorded."
    return (
        "## Files\n\n`config.json` holds the network's settings, its features and how predictions become moments; "
        f"`model.safetensors` the weights. Loading runs no code from either.{missing}"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that stays within its cell."""
    return text.replace("|", "\\|").replace("\n", " ")
