"""The value of `--seeds`: numbers and ranges."""

import typer


def parse_seeds(text: str | None) -> list[int]:
    """Numbers from `0,1,2`, `0-4` or both, as `0-2,7`; none from None. Raises BadParameter, which exits with 2."""
    seeds: list[int] = []
    for part in text.split(",") if text is not None else []:
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()) or int(first) > int(last):
            raise _wrong(text)
        seeds += range(int(first), int(last) + 1)
    if len(set(seeds)) != len(seeds):
        raise _wrong(text)
    return seeds


def _wrong(text: str | None) -> typer.BadParameter:
    return typer.BadParameter(
        f"{text!r} is not a list of different whole numbers or rising ranges, such as 0,1,2 or 0-4",
        param_hint="--seeds",
    )
