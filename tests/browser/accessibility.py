"""axe-core's rules, run on a page as it stands, in light and in dark."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_GRAVE = ("serious", "critical")
_SETTLED = """() => Promise.all(
  document.getAnimations()
    .filter((one) => one.effect.getComputedTiming().endTime < 2000)
    .map((one) => one.finished.catch(() => null)))"""
"""Waits for the transitions under way, so that no colour is judged half way; not for what goes on for ever."""


def nothing_serious(page: Page) -> None:
    """Raises AssertionError that names each serious or critical fault with its elements, in either colour scheme."""
    faults = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(_SETTLED)
        for violation in Axe().run(page).response["violations"]:
            if violation["impact"] in _GRAVE:
                where = "; ".join(
                    f"{' '.join(map(str, node['target']))}: {node['html'][:160]}" for node in violation["nodes"][:4]
                )
                faults.append(f"{scheme}: {violation['id']} ({violation['help']}) at {where}")
    assert faults == []
