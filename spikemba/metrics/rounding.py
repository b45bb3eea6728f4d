"""How the official evaluators round; a published number is only matched by rounding as they do."""

import numpy as np


def percent(fraction: float | np.floating) -> float:
    """Percent with two decimals, through text as moment_detr standalone_eval does: 0.53941 -> 53.94."""
    return float(f"{100 * fraction:.2f}")


def percent_of_five_decimals(fraction: float | np.floating) -> float:
    """Percent of a fraction rounded to five decimals, as UMT datasets/tvsum.py prints it: 0.910156 -> 91.016."""
    return round(100 * round(float(fraction), 5), 3)  # the outer round only removes the noise of the product


def threshold(value: float) -> float:
    """An IoU threshold as the official evaluator compares it, free of the noise of linspace; its key is str()."""
    return float(f"{value:.2f}")
