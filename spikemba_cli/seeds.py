"""The value of `--seeds`: numbers and ranges."""

import typer

MOST_SEEDS = 1000
"""Each is a training."""
LARGEST_SEED = 2**63 - 1
"""Of `train.seed`."""


def parse_seeds(text: str | None) -> list[int]:
    """Numbers from `0,1,2`, `0-4` or both, as `0-2,7`; none from None. Raises BadParameter, which exits with 2."""
    seeds: list[int] = []
    for part in text.split(",") if text is not None else []:
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()):
            raise _wrong(text)
        for number in (first, last):
            if len(number) > 1000 or int(number) > LARGEST_SEED:
                raise _refused(f"{number[:30]} is larger than a seed can be; expected at most {LARGEST_SEED}")
        if int(first) > int(last):
            raise _wrong(text)
        if len(seeds) + int(last) - int(first) + 1 > MOST_SEEDS:
            raise _refused(f"{text!r} names more than {MOST_SEEDS} seeds, each of which is a training")
        seeds += range(int(first), int(last) + 1)
    if len(set(seeds)) != len(seeds):
        raise _wrong(text)
    return seeds


def _wrong(text: str | None) -> typer.BadParameter:
    return _refused(f"{text!r} is not a list of different whole numbers or rising ranges, such as 0,1,2 or 0-4")


def _refused(problem: str) -> typer.BadParameter:
    return typer.BadParameter(problem, param_hint="--seeds")
