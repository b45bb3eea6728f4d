"""What each metric says, in a line."""

import re

_RANGES = {"full": "", "short": ", of short true moments", "middle": ", of true moments of middle length"}
_RANGES["long"] = ", of long true moments"
_LEVELS = {"Fair": "fair or better", "Good": "good or better", "VeryGood": "very good"}
_POSITIVE = "of the sentences with a moment"

_WORDS: tuple[tuple[str, str], ...] = (
    (r"MR-(\w+)-R1@([\d.]+)", "sentences whose first moment overlaps a true one by at least {1} (IoU){range}"),
    (r"MR-(\w+)-mAP@([\d.]+)", "how far in front the right moments stand, right from an overlap of {1}{range}"),
    (r"MR-(\w+)-mAP", "how far in front the right moments stand, averaged over overlaps from 0.5 to 0.95{range}"),
    (r"MR-(\w+)-mIoU", "mean overlap (IoU) of the first moment with the true one"),
    (r"HL-min-(\w+)-mAP", "how far in front clips rated {level} stand when the saliency orders them"),
    (r"HL-min-(\w+)-Hit1", "sentences of which the clip with the highest saliency was rated {level}"),
    (r"(GMR-)?AUROC", "chance that what is shown gets a higher probability than what is not; guessing has 50"),
    (r"(GMR-)?Rej-F1@([\d.]+)", "harmonic mean of Rej-P and Rej-R, answering above a probability of {1}"),
    (r"(GMR-)?Rej-P@([\d.]+)", "of what was refused, the share that is really not there"),
    (r"(GMR-)?Rej-R@([\d.]+)", "of what is not there, the share that was refused"),
    (r"(GMR-)?Acc@([\d.]+)", "sentences rightly answered or rightly refused, answering above a probability of {1}"),
    (
        r"(GMR-)G-mIoU@(\d+)",
        "overlap of the first {1} with all true moments; of what is not there 100 if refused, else 0",
    ),
    (r"(GMR-)mAP", "as MR-full-mAP, " + _POSITIVE),
    (r"(GMR-)mR@(\d+)", "share of the true moments among the first {1}, averaged over overlaps, " + _POSITIVE),
    (r"(GMR-)mR\+@(\d+)", "the same of the true moments beyond one, where there are several"),
    (r"(GMR-)mIoU@(\d+)", "mean overlap of those among the first {1} that meet a true moment, " + _POSITIVE),
    (r"(GMR-)mIoU\+@(\d+)", "the same without the best of them, where there are several true moments"),
    (r"VCMR-R(\d+)@([\d.]+)", "sentences with a right moment (IoU {1}) among the first {0} of all videos"),
    (r"VR-R(\d+)", "sentences with a right video among the first {0}"),
    (r"NDCG(\d+)@([\d.]+)", "how much of the true moments the first {0} hold, early ones counting more, at IoU {1}"),
    (r"top1", "videos whose likeliest class is the true one"),
    (r"top5", "videos whose true class is among the five likeliest"),
    (r"mean_class", "the mean over the classes of the share that is named rightly"),
    (r"mAP", "how far in front the highlights stand when the saliency orders the clips; mean over the domains"),
    (r"mAP-(.+)", "the same in the domain {0}"),
)


def metric_words(name: str) -> str:
    """What a number of a brief says; empty for one that nobody here knows. All are in percent, more is better."""
    for pattern, words in _WORDS:
        if found := re.fullmatch(pattern, name):
            groups = [group or "" for group in found.groups()]
            first = groups[0] if groups else ""
            return words.format(
                *groups, range=_RANGES.get(first, f", of {first} ones"), level=_LEVELS.get(first, first)
            )
    return ""
