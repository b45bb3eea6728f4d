"""An evaluation in one line: what was found, of how much, and what chance finds. Only of what was measured."""

from collections.abc import Sequence

from pipelines.scoring.evaluate_files import Evaluation
from pipelines.scoring.null_queries import KEY
from pipelines.scoring.outcomes import FOUND_IOU, Outcome, found_by_chance, outcomes, share_found, with_answer
from spikemba.metrics.bootstrap import Interval
from spikemba.metrics.existence import THRESHOLDS
from spikemba.reading.printable import counted


def verdict(result: Evaluation) -> str:
    """The line; empty where nothing was scored. Of several seeds it is their mean."""
    if not result.document:
        return ""
    if result.spread:
        return _of_seeds(result)
    found = outcomes(result.rows, result.truth, result.min_exists)
    parts = [*_of_moments(result, found), *_of_null(result, found)]
    if not any(one.truth.windows for one in found):
        parts += _of_saliency(result.brief)
    if "per_class" in result.document:
        parts += _of_classes(result)
    if "VCMR" in result.document:
        parts += _of_corpus(result)
    return "; ".join(parts)


def _of_moments(result: Evaluation, found: Sequence[Outcome]) -> list[str]:
    answered, share = with_answer(found), share_found(found)
    if share is None:
        return []
    n = sum(one.fate == "found" for one in answered)
    own = result.intervals.get(f"MR-full-R1@{FOUND_IOU}")
    said = f"found {n} of {counted(len(answered), 'sentence', 'sentences')} at IoU {FOUND_IOU}"
    parts = [f"{said} ({_percent(n, len(answered))}{_limits(own or _in_percent(share))})"]
    chance = found_by_chance(found)
    if chance is not None:
        parts.append(f"the same answers dealt out to other sentences find {100 * chance:.1f} %")
    if unanswered := sum(one.fate == "unanswered" for one in found):
        parts.append(f"{unanswered} without an answer left out")
    return parts


def _of_null(result: Evaluation, found: Sequence[Outcome]) -> list[str]:
    """How many null queries were told, and the price: how many others were taken for null ones."""
    null = [one for one in found if one.truth.is_null]
    if not null:
        return []
    limit = THRESHOLDS[0] if result.min_exists is None else result.min_exists
    n = sum(one.fate == "rejected" for one in null)
    said = f"told {n} of {len(null)} that the video does not show ({_percent(n, len(null))}, at probability {limit:g})"
    auroc = result.brief.get(f"{KEY}-AUROC")
    return [said] if auroc is None else [said, f"AUROC {auroc:.1f}, chance 50"]


def _of_saliency(brief: dict[str, float]) -> list[str]:
    hit, mean, domains = brief.get("HL-min-VeryGood-Hit1"), brief.get("mAP"), _domains(brief)
    if hit is not None:
        return [f"the clip it ranks first was rated very good in {hit:.1f} % of the queries"]
    if mean is None or not domains:
        return []
    worst, best = min(domains, key=domains.__getitem__), max(domains, key=domains.__getitem__)
    among = f", from {domains[worst]:.1f} ({worst}) to {domains[best]:.1f} ({best})" if len(domains) > 1 else ""
    return [f"mAP {mean:.1f} over {counted(len(domains), 'domain', 'domains')}{among}"]


def _domains(brief: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix("mAP-"): value for name, value in brief.items() if name.startswith("mAP-")}


def _of_classes(result: Evaluation) -> list[str]:
    classes, n = result.document["per_class"], int(result.document["videos"])
    if not n:
        return []
    right = round(sum(row["videos"] * row["top1"] / 100 for row in classes.values()))
    commonest = max(int(row["videos"]) for row in classes.values())
    said = f"named {right} of {counted(n, 'video', 'videos')} rightly ({_percent(right, n)})"
    return [said, f"the commonest class alone would be right in {_percent(commonest, n)}"]


def _of_corpus(result: Evaluation) -> list[str]:
    """Of the queries that something in the corpus fits."""
    brief = result.brief
    first, ten, video = (brief.get(name) for name in ("VCMR-R1@0.5", "VCMR-R10@0.5", "VR-R1"))
    if first is None or ten is None or video is None:
        return []
    own = result.intervals.get("VCMR-R1@0.5")
    said = f"a right moment of all videos stands first for {first:.1f} % of the sentences{_bracketed(own)}"
    parts = [said, f"among the first ten for {ten:.1f} %", f"a right video first for {video:.1f} %"]
    auroc = brief.get("AUROC")
    return parts if auroc is None else [*parts, f"AUROC of what no video shows {auroc:.1f}, chance 50"]


def _of_seeds(result: Evaluation) -> str:
    names = {f"MR-full-R1@{FOUND_IOU}": f"found at IoU {FOUND_IOU}", "mAP": "mAP", "HL-min-VeryGood-Hit1": "HIT@1"}
    for name, said in names.items():
        if name in result.brief:
            return f"{said}: {result.brief[name]:.1f} % ± {result.spread.get(name, 0.0):.1f} over seeds"
    return ""


def _percent(n: int, of: int) -> str:
    return f"{100 * n / of:.1f} %"


def _in_percent(share: Interval) -> Interval:
    if share.low is None or share.high is None:
        return share
    return Interval(100 * share.mean, 100 * share.low, 100 * share.high)


def _limits(one: Interval) -> str:
    return "" if one.low is None or one.high is None else f", 95 %: {one.low:.1f} to {one.high:.1f}"


def _bracketed(one: Interval | None) -> str:
    return "" if one is None or not _limits(one) else f" ({_limits(one).removeprefix(', ')})"
