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
        self.sentence = page.get_by_label("Sentence to look for", exact=True)
        self.answers = page.get_by_role("region", name="Answers", exact=True)
        self.axis = page.get_by_role("region", name="Time axis")
        self.videos = page.get_by_role("navigation", name="Videos")
        self.results = page.get_by_role("region", name="Answers in all videos")
        self.words = page.get_by_role("region", name="What each word contributes")
        self.exports = page.get_by_role("region", name="Take along")
        self.corrections = page.get_by_role("region", name="Corrections")

    def open(self, name: str) -> None:
        """Choose a video of the list and wait until its first picture is there."""
        self.show_videos()
        self.videos.get_by_role("option", name=name).click()
        expect(self.page.get_by_role("region", name="Video", exact=True).get_by_role("heading")).to_have_text(
            name.rpartition("/")[2]
        )
        self.playable()

    def show_videos(self) -> None:
        """Unfold the list of videos, which a phone shows folded."""
        expect(self.videos.locator("[role=option]").first).to_be_attached()  # it is known whether the list is folded
        if self.videos.locator("details").get_attribute("open") is None:
            self.videos.locator("summary").click()
        expect(self.videos.get_by_role("option").first).to_be_visible()

    def playable(self) -> None:
        """Wait until the video's first picture is there."""
        self.page.wait_for_function("() => document.querySelector('video')?.readyState >= 2")

    def ask(self, sentence: str) -> None:
        """Type a sentence and press Enter."""
        self.sentence.fill(sentence)
        self.sentence.press("Enter")

    def marked(self, rank: int = 1) -> Locator:
        """The answer of a rank on the time axis, of each checkpoint."""
        return self.axis.get_by_role("button", name=re.compile(rf"^answer {rank}\b"))

    def best(self) -> tuple[float, float]:
        """Seconds of the best answer's window on the time axis, once it is there."""
        expect(self.marked().first).to_be_visible()
        return span_of(self.marked().first.get_attribute("aria-label") or "")

    def span(self, marked: Locator) -> tuple[float, float]:
        """Seconds of a window on the time axis."""
        return span_of(marked.get_attribute("aria-label") or "")

    def leave_the_sentence(self) -> None:
        """Take the focus out of the sentence's field, so that keys are the page's again."""
        self.sentence.blur()

    def choose_checkpoints(self, *names: str) -> None:
        """Let these answer, and no others."""
        self.page.get_by_role("button", name="Who answers").click()
        boxes = self.page.get_by_role("group", name="Who answers").first.get_by_role("checkbox")
        for name in names:
            boxes.and_(self.page.get_by_role("checkbox", name=name, exact=True)).check()
        for box in boxes.all():
            if box.get_attribute("value") not in names:
                box.uncheck()
        self.page.keyboard.press("Escape")

    def axis_point(self, seconds: float) -> tuple[float, float]:
        """Where a time of the whole video lies on the ruler, in pixels of the window."""
        ruler = self.axis.get_by_role("slider", name="Time")
        box = ruler.bounding_box()
        assert box is not None
        share = seconds / float(ruler.get_attribute("aria-valuemax") or "nan")
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

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
