"""Faults that the tests must notice: each is put into a copy of the tree, where the tests named for it must fail.

    python tests/mutants.py                         # all of them; exits with 1 if one survives
    python tests/mutants.py -j 2 "no position"      # some of them by name; two at a time

A fault is a piece of text in one file and the wrong text in its place. Where that text has changed or moved, the fault
cannot be planted, which is an error too. The checkout is never written to. The copies run in plain PyTorch.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Fault:
    """One line that is wrong."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str
    """A file or a test below tests/ that must fail."""


HEADS, DETECTOR, MIXER = (
    "unit/model/test_heads.py",
    "unit/model/test_spiking_saliency.py",
    "unit/model/test_mamba_block.py",
)
REASONER, GROUNDING, DATA = (
    "unit/model/test_moment_reasoner.py",
    "unit/test_grounding.py",
    "unit/datasets/test_datasets.py",
)
OPTIMIZER, CONFIG = "pipeline/training/test_optimizer.py", "unit/test_config.py"
BATCHES = "unit/model/test_model.py::test_a_pair_is_answered_the_same_alone_and_in_any_batch_under_any_padding"
LEARNS = "unit/model/test_model.py::test_every_parameter_learns"
TEACHES = "unit/model/test_model.py::test_what_the_first_detector_fires_teaches_everything_before_it"
REVERSED = "unit/model/test_video_mamba.py::test_the_full_reversal_given_as_an_order_is_the_reversed_scan"
KEPT = "unit/model/test_model.py::test_recomputed_blocks_give_the_same_outputs_gradients_and_statistics"
RECOMPUTED = "pipeline/training/test_precision.py::test_recomputed_blocks_draw_the_same_dropout_and_count_a_batch_once"

PLANTED: dict[tuple[str, str], list[tuple[str, str, str]]] = {
    ("spikemba/model/spikemba/heads.py", HEADS): [
        ("centres off by half a clip", "(mask.long().cumsum(1) - 0.5)", "(mask.long().cumsum(1) - 1.0)"),
        (
            "heads read the text's spikes",
            "spikes[-1].trains[:, :, query.shape[1] :]",
            "spikes[-1].trains[:, :, : video.shape[1]]",
        ),
        ("heads read the first block's spikes", "spikes[-1].trains", "spikes[0].trains"),
        ("saliency without the root of the width", " / math.sqrt(video.shape[-1])", ""),
        ("left and right swapped", "left, right = self", "right, left = self"),
        (
            "heads read the text's rates",
            "spikes[-1].rates[:, -video.shape[1] :]",
            "spikes[-1].rates[:, : video.shape[1]]",
        ),
        ("windows are always cut", "if self.config.clamp:", "if True:"),
        ("padding that fires counts", "(n_firing * mask).sum(-1, keepdim=True)", "n_firing.sum(-1, keepdim=True)"),
    ],
    ("spikemba/model/spikemba/network.py", LEARNS): [
        ("the gate is the state, not the spikes", "fired[0].rates if fired else joint", "joint"),
    ],
    ("spikemba/model/spikemba/network.py", TEACHES): [
        ("the detector's input is detached", "(detector(joint, mask, ", "(detector(joint.detach(), mask, "),
    ],
    ("spikemba/model/spikemba/spiking_saliency.py", DETECTOR): [
        (
            "attention grows with the length",
            "factor * 64 / mask.sum(1).clamp(min=1)",
            "factor * mask.sum(1).clamp(min=1) / 64",
        ),
        ("attention neurons have the whole threshold", "config.neuron.threshold / 2", "config.neuron.threshold"),
    ],
    ("spikemba/model/spikemba/spiking_saliency.py", LEARNS): [
        (
            "the detector's last norm is left out",
            "current, norm = _prepare(self.out_norm, self.out_proj(attended), mask)",
            "current, norm = self.out_proj(attended), None",
        ),
    ],
    ("spikemba/model/spikemba/moment_reasoner.py", REASONER): [
        ("no position", "if position is not None and not self.reads_position:", "if False:"),
        (
            "a position that is read enters the stream too",
            "if position is not None and not self.reads_position:",
            "if position is not None:",
        ),
        (
            "steps of slots are those of clips",
            "torch.full((slots.n_slots,), float(slots.step_offset))",
            "torch.zeros(slots.n_slots)",
        ),
    ],
    ("spikemba/model/spikemba/moment_reasoner.py", BATCHES): [
        (
            "padding between clips and slots",
            "self.padding_between = n_between > 0",
            "self.padding_between = False",
        ),
    ],
    ("spikemba/model/spikemba/streams.py", "unit/model/test_model.py"): [
        (
            "a sentence is asked of another's video",
            "self.stream.rows(video_of)",
            "self.stream.rows(video_of.sort()[0])",
        ),
    ],
    ("spikemba/model/spikemba/network.py", REASONER): [
        ("slots are never carried", "if block == 0 or self.config.slots.carry:", "if block == 0:"),
        ("every block has the first one's slots", "learned[block % len(learned)]", "learned[0]"),
        (
            "a position that enters once enters every block",
            "position * stream.mask[..., None]), None",
            "position * stream.mask[..., None]), position",
        ),
    ],
    ("spikemba/model/mamba_block.py", REVERSED): [
        (
            "the backward scan runs forward",
            "DirectionalScan(width, config, reverse=True)",
            "DirectionalScan(width, config, reverse=False)",
        ),
    ],
    ("spikemba/model/mamba_block.py", MIXER): [
        ("all states forget alike", "torch.arange(1, n + 1, dtype=torch.float32).log()", "torch.zeros(n)"),
        ("step sizes begin anywhere", "        _initial_step_size(self.dt_proj)\n", ""),
    ],
    ("spikemba/model/hydra_mixer.py", "unit/model/test_hydra_mixer.py"): [
        ("hydra counts a position twice", "F.pad(y[:, :-1], (0, 0, 0, 0, 1, 0))", "y"),
    ],
    ("spikemba/model/mamba2_mixer.py", "unit/model/test_mamba2_mixer.py"): [
        ("a norm takes the spikes' amount away", 'norm_first=gate == "other"', "norm_first=False"),
    ],
    ("spikemba/model/mamba2_mixer.py", "unit/model/test_mixer_kinds.py"): [
        (
            "padding moves the states of heads",
            "return delta if mask is None else delta * mask[..., None]",
            "return delta",
        ),
    ],
    ("spikemba/model/spikemba/relevant_mamba.py", DETECTOR): [
        ("the spikes' norm has torch's floor", "nn.LayerNorm(width, eps=config.spike_norm_eps)", "nn.LayerNorm(width)"),
    ],
    ("spikemba/model/masked_norm.py", RECOMPUTED): [
        ("running statistics learn twice", "if not is_recomputing():", "if True:"),
    ],
    ("spikemba/ops/recompute.py", KEPT): [
        ("blocks that run again have other statistics", "with statistics_kept(kept):", "with statistics_kept(False):"),
    ],
    ("spikemba/grounding.py", GROUNDING): [
        (
            "a pass knows no limit of clips",
            "(n + 1) * longest > config.clips_per_pass",
            "longest > config.clips_per_pass",
        ),
        ("chunks of one video are taken for one", "(id(whole), chunk.read.start)", "(id(whole), 0)"),
        (
            "times follow the duration, not the clips",
            "clips.boundaries * (len(score) * clip_s)",
            "clips.boundaries * duration_s",
        ),
        ("a short moment rounds to nothing", "rounded[gone] = np.stack(", "_ = np.stack("),
        ("both scores are multiplied", "(clips.foreground + saliency) / 2", "clips.foreground * saliency"),
        ("the sum inside a window ranks it", " / (edges[:, 1] - edges[:, 0]).clip(min=1e-6)", ""),
        ("quality alone ranks", "saliency * clips.quality", "clips.quality"),
    ],
    ("spikemba/datasets/base.py", DATA): [
        (
            "training reads clips past the limit",
            "joined[: self.config.max_clips] if self.to_train else joined",
            "joined",
        ),
    ],
    ("spikemba/datasets/targets.py", DATA): [
        (
            "targets look at the clip's begin",
            "(np.arange(n_clips) + 0.5) * clip_s",
            "(np.arange(n_clips) + 0.0) * clip_s",
        ),
        (
            "a window between two centres is lost",
            "foreground[clip], boundaries[clip] = True, windows[k] / total_s",
            "pass",
        ),
    ],
    ("spikemba/datasets/targets.py", "unit/datasets/test_clip_lengths.py"): [
        ("every rated clip lasts 2 s", "at_clip_length(x, annotation.rating_clip_s,", "at_clip_length(x, 2.0,"),
        ("what nobody rated is irrelevant", "max(1.0, float(grades[rated > 0].mean()))", "0.0"),
    ],
    ("spikemba/datasets/row_fit.py", "unit/datasets/test_row_fit.py"): [
        ("streams need not be as long as each other", "pairs = [(max(lengths), min(lengths)), *", "pairs = [*"),
    ],
    ("spikemba/features.py", "unit/test_features.py"): [
        ("a checkpoint takes longer queries than it read", '"max_tokens", "sentence_token"', '"sentence_token"'),
    ],
    ("spikemba/packs/rows.py", "unit/test_features.py"): [
        ("infinity is a feature", "= np.isfinite(found)", "= ~np.isnan(found)"),
    ],
    ("pipelines/shards.py", "pipeline/extraction/test_shards.py"): [
        ("torchrun in each task of a step does all of the step", "return together.within(step)", "return together"),
        ("every part does all names", '"surrogatepass")) % self.count ==', '"surrogatepass")) % self.count >='),
    ],
    ("spikemba/reading/lines.py", "unit/reading/test_reading_text.py"): [
        ("a form feed ends a line", '.replace("\\r", "\\n").split("\\n")', ".splitlines()"),
    ],
    ("spikemba/tables/header.py", "unit/tables/test_spreadsheets.py"): [
        ("minutes beside seconds are left out", 'if unit in ("h", "min", "s", "ms")}) > 1', 'if unit == "h"}) > 1'),
    ],
    ("spikemba/config.py", CONFIG): [
        (
            "a base stands over its file",
            "merge(load_over_base(found, folder, above), tree)",
            "merge(tree, load_over_base(found, folder, above))",
        ),
    ],
    ("pipelines/tasks/grounding/config.py", CONFIG): [
        ("preset paper has an open gate", '{"gate_bias": 0.0}', '{"gate_bias": 1.0}'),
        ("preset paper has a foreground", '"foreground": 0.0, ', ""),
        ("a preset rewrites runs of before", 'SpikeMbaConfig.as_it_was(tree["model"])', 'tree["model"]'),
    ],
    ("pipelines/tasks/grounding/task.py", OPTIMIZER): [
        (
            "negatives are the pairs themselves",
            "Batch(batch.video, batch.video_mask, tokens[:n], mask[:n])",
            "Batch(batch.video, batch.video_mask, tokens[n:], mask[n:])",
        ),
        ("pairs without a negative have one", "None if all(found) else torch.tensor(found[own])", "None"),
        ("norms learn of negatives", 'self.config.loss.negatives_norm == "kept"', "False"),
        ("every step has negatives", " or micro_batch.step % self.config.loss.negatives_every", ""),
    ],
    ("spikemba/losses.py", "unit/test_losses.py"): [
        ("a sentence is its own negative", "and query_groups[i] != query_groups[j]", ""),
        ("errors are counted in videos always", 'if unit == "window":', "if False:"),
        ("windows outside the video fit", "prediction.boundaries.clamp(0, 1)", "prediction.boundaries"),
        ("null queries are negatives of moments", "(same | ~has_moment) & ~itself", "same & ~itself"),
        ("saliency learns nothing of null queries", "has_positive.any(1) | nothing)", "has_positive.any(1))"),
    ],
    ("spikemba/metrics/existence.py", "unit/metrics/test_existence.py"): [
        ("ties are won", "counts.cumsum() - (counts - 1) / 2", "counts.cumsum()"),
        ("a score at the threshold answers", "answered = scores > limit", "answered = scores >= limit"),
        ("a control sees its own video", " - np.bincount(both, scores)[both]", ""),
    ],
    ("spikemba/metrics/calibration.py", "unit/metrics/test_calibration.py"): [
        ("answers of one kind are fitted", "if right.all() or not right.any():", "if not right.any():"),
    ],
    ("spikemba/model/spikemba/existence.py", "unit/model/test_existence.py"): [
        ("the highest state is that of padding", "(states * mask[..., None]).amax(1)", "states.amax(1)"),
        ("what pools learns of existence", "x.detach().masked_fill", "x.masked_fill"),
    ],
    ("spikemba/losses.py", "unit/test_existence_loss.py"): [
        ("a pair without another query has a null one", "else real & has_negative))", "else real))"),
    ],
    ("spikemba/datasets/agreement.py", "unit/datasets/test_corrections.py"): [
        ("people agree at any overlap", "AGREE_IOU = 0.5", "AGREE_IOU = 0.3"),
        ("one person gives a moment twice", "in one} & {nodes[i][1] for i in other}", "in one} & set()"),
        ("who is absent is believed", "if one.correction.is_null and other.correction.windows:", "if False:"),
        ("own edges contradict", " & ~_alike(given, one.correction.windows or ()).any(1)", ""),
    ],
    ("spikemba/datasets/corrections.py", "unit/datasets/test_corrections.py"): [
        ("a half line is a fault", "if number == len(lines):", "if False:"),
        ("absent rows have no windows", "windows=right if right or absent else None", "windows=right or None"),
        ("a clock that is put back counts", "if row.path == before.path:", "if False:"),
    ],
    ("spikemba/datasets/corrected_videos.py", "pipeline/preparation/test_prepare_corrections.py"): [
        ("any video of that name", "if abs(seen - one.duration_s) > SLACK_S:", "if False:"),
    ],
    ("spikemba/datasets/custom_sources.py", "pipeline/preparation/test_prepare_corrections.py"): [
        ("corrected rows are new ones", "own[key].query_id if key in own else _own_id(*key)", "_own_id(*key)"),
        ("the table keeps what is wrong", "(_denials(rows, own.get(key)) if said is None else [])", "[]"),
    ],
    ("pipelines/serving/known/corrections_files.py", "pipeline/serving/test_corrections_files.py"): [
        ("lines of servers mix", "fcntl.flock(handle, fcntl.LOCK_EX)", "pass"),
        ("half a line stays", "os.ftruncate(handle, size - len(torn))", "pass"),
        ("a full disk leaves half a line", "            os.ftruncate(handle, size)\n", ""),
    ],
    ("spikemba/datasets/synthetic/shapes_nulls.py", "unit/datasets/test_shapes_nulls.py"): [
        ("a true sentence is called null", "if not any(map(one.fits, board.events))", "if True"),
        ("what happens after is called after", '(event, "before", anchor)', '(event, "after", anchor)'),
    ],
    ("pipelines/grounding/answer_order.py", "pipeline/grounding/test_no_such_moment.py"): [
        ("the unlikeliest come first", "-one.exists, -_best(one)", "one.exists, -_best(one)"),
    ],
    ("spikemba/metrics/generalised.py", "unit/metrics/test_generalised_metrics.py"): [
        ("two empty sets are unequal", "union.clip(1), 1.0)", "union.clip(1), 0.0)"),
        ("moments of no length count", "row[row[:, 1] > row[:, 0]]", "row"),
    ],
    ("spikemba/metrics/corpus.py", "unit/metrics/test_corpus_metrics.py"): [
        ("a window of another video is found", "(video[:, None] == true_video) & (hull > 0)", "hull > 0"),
        ("a true moment is found again", "grades[best], False", "grades[best], True"),
        ("an overlap on the limit finds nothing", "overlap[rank, best] >= limit:", "overlap[rank, best] > limit:"),
        ("the best order is longer than the list", "[::-1][:k])", "[::-1])"),
        (
            "a video is counted as often as it is listed",
            "list(dict.fromkeys(moment.video_id for moment in moments))",
            "[moment.video_id for moment in moments]",
        ),
    ],
    ("spikemba/datasets/synthetic/shapes_truth.py", "unit/datasets/test_shapes_truth.py"): [
        ("after each of several", "first_end_s = min(", "first_end_s = max("),
        ("what overlaps comes after", "event.start_s > first_end_s", "event.end_s > first_end_s"),
        ("the last is the first", "else found[-1:]", "else found[:1]"),
    ],
    ("pipelines/scoring/corpus_scores.py", "pipeline/scoring/test_corpus_scores.py"): [
        ("queries of a video are drawn apart", "if query.video_id is not None else", "if False else"),
        ("names of another form are scored", "or not known.isdisjoint(answered):", "or True:"),
    ],
    ("pipelines/training/optimizer.py", OPTIMIZER): [
        ("slots decay", '("A_log", "_slots")', '("A_log",)'),
        ("Adam decays as AdamW does", '"adam": Adam}', '"adam": AdamW}'),
        ("the cosine ends half way", "math.pi * min(1.0, done)", "math.pi / 2 * min(1.0, done)"),
    ],
    ("pipelines/training/loop.py", OPTIMIZER): [
        ("gradients are not clipped", "settings.clip_norm)", "1e9)"),
    ],
    ("pipelines/training/firing_rates.py", OPTIMIZER): [
        ("every firing rate is healthy", "HEALTHY = (0.01, 0.6)", "HEALTHY = (0.0, 1.0)"),
    ],
}
"""File and tests that must fail -> faults: name, right text, wrong text."""

FAULTS = [Fault(name, file, *texts, tests) for (file, tests), rows in PLANTED.items() for name, *texts in rows]

TIMEOUT_S = 600


class Unplantable(Exception):
    """The text that a fault replaces is not there, or is there more than once."""


@contextmanager
def tree_copy() -> Iterator[Path]:
    """The tracked files as they stand in the checkout, in a folder of their own."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="spikemba-mutant-") as folder:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        yield Path(folder)


def plant(fault: Fault, tree: Path) -> None:
    """Put the fault into a copy of the tree. Raises Unplantable."""
    path = tree / fault.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if (n := text.count(fault.right)) != 1:
        raise Unplantable(f"{fault.file} holds {fault.right!r} {n} times, expected once; mend the list in {__file__}")
    path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")


def run_tests(tree: Path, *tests: str) -> tuple[int, str]:
    """What pytest exits with in a copy of the tree, and what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "SPIKEMBA_NATIVE": "0", "COLUMNS": "1000"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    return done.returncode, (done.stdout + done.stderr).strip()


def outcome(fault: Fault) -> tuple[bool, str]:
    """Whether the fault is caught, and by which test."""
    with tree_copy() as tree:
        try:
            plant(fault, tree)
            code, printed = run_tests(tree, fault.tests)
        except Unplantable as problem:
            return False, f"NOT PLANTED: {problem}"
        except subprocess.TimeoutExpired:
            return False, f"NO ANSWER in {TIMEOUT_S} s"
    failed = re.findall(r"^FAILED tests/(.+?)(?: - .*)?$", printed, re.MULTILINE)
    if code == 1 and failed:  # an error before the test, as of a syntax, would be no answer
        return True, f"caught by {failed[0]}"
    if code == 0:
        return False, "SURVIVED"
    problems = [line for line in printed.splitlines() if line.startswith(("E  ", "ERROR"))]
    return False, f"NO ANSWER, pytest exits with {code}: {(problems or ['it says nothing'])[0]}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Plant faults in copies of the tree, where the tests must notice.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults to plant; all of them by default")
    parser.add_argument("-j", "--processes", type=int, default=1, help="faults that are tried at the same time")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - {fault.name for fault in FAULTS}):
        parser.error(f"no fault is called {unknown[0]!r}; there are: {', '.join(fault.name for fault in FAULTS)}")
    if not (ROOT / ".git").exists():
        parser.error(f"{ROOT} is no git checkout, which says what to copy")
    chosen = [fault for fault in FAULTS if not arguments.names or fault.name in arguments.names]

    with tree_copy() as tree:
        code, printed = run_tests(tree, *dict.fromkeys(fault.tests for fault in chosen))
    if code:
        print(f"{printed}\nerror: these tests fail without a fault too; mend them first", file=sys.stderr)
        return 1
    n_caught = 0
    with ThreadPoolExecutor(arguments.processes) as pool:
        for fault, (caught, said) in zip(chosen, pool.map(outcome, chosen), strict=True):
            print(f"{fault.name}: {said}", flush=True)
            n_caught += caught
    print(f"{n_caught} of {len(chosen)} faults are caught")
    return 0 if n_caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
