"""The page by the names and roles under which a screen reader finds its parts."""

import re
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Download, Locator, Page, expect

ASKED = "a red circle enters"
"""README's question about the example, in which such a circle enters from 21.3 to 25.8 s."""
ABSENT = "a green star leaves"
"""What the example does not show."""


class Screen:
    """What somebody sees and does on a page that `spikemba serve` sent."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sentence = page.get_by_role("search").get_by_role("combobox")
        self.answers = page.get_by_role("region", name="Answers", exact=True)
        self.axis = page.get_by_role("region", name="Time axis")
        self.videos = page.get_by_role("navigation", name="Videos")
        self.results = page.get_by_role("region", name="Answers in all videos")
        self.words = page.get_by_role("region", name="What each word contributes")
        self.exports = page.get_by_role("region", name="Take along")
        self.corrections = page.get_by_role("region", name="Corrections")

    def open(self, name: str) -> None:
        """Choose a video of the list and wait until it can be played."""
        self.videos.get_by_role("button", name=name).click()
        self.playable()

    def playable(self) -> None:
        """Wait until the video's first picture is there."""
        self.page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")

    def ask(self, sentence: str) -> None:
        """Type a sentence and press Enter."""
        self.sentence.fill(sentence)
        self.sentence.press("Enter")

    def moments(self) -> Locator:
        """The answers to the shown video, best first."""
        return self.answers.get_by_role("listitem")

    def first_span(self) -> tuple[float, float]:
        """Seconds of the best answer's window, once it is there."""
        first = self.moments().first
        expect(first).to_be_visible()
        return span_of(first.inner_text())

    def time(self) -> float:
        """Where the video is, in seconds."""
        return float(self.page.evaluate("() => document.querySelector('video').currentTime"))

    def seek(self, seconds: float) -> None:
        """Put the video there, not by any control of the page."""
        self.page.evaluate("(s) => { document.querySelector('video').currentTime = s }", seconds)

    def is_at(self, seconds: float, *, give: float = 0.6) -> None:
        """Wait until the video is there, give or take some seconds. Raises AssertionError with where it is."""
        near = "([s, give]) => Math.abs(document.querySelector('video').currentTime - s) <= give"
        try:
            self.page.wait_for_function(near, arg=[seconds, give], timeout=5000)
        except Exception:
            raise AssertionError(f"the video is at {self.time():.2f} s; expected {seconds} s within {give}") from None


def span_of(text: str) -> tuple[float, float]:
    """The first two times of a text as seconds: "00:22.0 – 00:26.0" is (22.0, 26.0)."""
    times = re.findall(r"(?:(\d+):)?(\d+):(\d\d(?:\.\d+)?)", text)
    assert len(times) >= 2, f"no two times in {text!r}"
    start, end = (int(h or 0) * 3600 + int(m) * 60 + float(s) for h, m, s in times[:2])
    return start, end


def saved(download: Download) -> bytes:
    """What was downloaded."""
    return Path(download.path()).read_bytes()


def no_wider_than_the_window(page: Page, widths: Sequence[int] = (390,)) -> None:
    """Raises AssertionError where the page has to be moved sideways at one of the widths in pixels."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": 844})
        wide = page.evaluate("() => [document.scrollingElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], f"{wide[0]} pixels wide in a window of {wide[1]}"
