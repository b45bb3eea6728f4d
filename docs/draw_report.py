"""Draws docs/report.png: the bundled model's answer about the example video, as a report's page shows it.

    PYTHONPATH=. python docs/draw_report.py

Needs playwright and a browser: Debian's chromium, or the one that SPIKEMBA_BROWSER names.
"""

import os
import shutil
import tempfile
from pathlib import Path

import spikemba
from pipelines.reports.case import Case
from pipelines.reports.report import ReportContent, write_report
from spikemba.moments import Window

ROOT = Path(__file__).parents[1]
QUERY = "a red circle enters"
TRUTH = (Window(21.3, 25.8),)
"""When it does."""
WIDTH_PX = 900


def main() -> None:
    from playwright.sync_api import sync_playwright

    found = spikemba.load("mini").ground(ROOT / "examples" / "shapes.mp4", QUERY)
    case = Case(
        query=QUERY,
        video_id="examples/shapes.mp4",
        duration_s=found.duration_s,
        clip_s=found.clip_s,
        answer=found.answer,
        truth=TRUTH,
        min_exists=found.min_exists,
        video=found.video,
    )
    browser = shutil.which(os.environ.get("SPIKEMBA_BROWSER") or "chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page, _ = write_report(Path(folder), ReportContent("Report", "", cases={"": [case]}))
        window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page(
            viewport={"width": WIDTH_PX, "height": 800}, device_scale_factor=1.5, color_scheme="light"
        )
        window.goto(page.as_uri())
        window.add_style_tag(content="figure { padding: 1rem }")
        window.locator("figure").screenshot(path=ROOT / "docs" / "report.png")


if __name__ == "__main__":
    main()
