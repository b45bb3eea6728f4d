"""The forms of predictions by name, and which of them a file has."""

from collections.abc import Mapping
from typing import Any

from spikemba.datasets.predictions.answers_in_words import WORDS
from spikemba.datasets.predictions.field_rows import FIELD, LIGHTHOUSE
from spikemba.datasets.predictions.ground_json import GROUND
from spikemba.datasets.predictions.timelens import TIMELENS
from spikemba.errors import UnknownName

FORMS = {"jsonl": FIELD, "json": GROUND, "lighthouse": LIGHTHOUSE, "timelens": TIMELENS, "text": WORDS}


def form_names() -> list[str]:
    """Every name of every form, those of the projects behind the form's own."""
    return [*FORMS, *(also for form in FORMS.values() for also in form.also)]


def find_form(name: str) -> str:
    """The key of FORMS of a form, by any of its names. Raises UnknownName."""
    for key, form in FORMS.items():
        if name == key or name in form.also:
            return key
    raise UnknownName("form of predictions", name, form_names())


def fitting_forms(row: Mapping[str, Any]) -> list[str]:
    """Names of the forms that a row may have."""
    return [name for name, form in FORMS.items() if form.claims(row)]
