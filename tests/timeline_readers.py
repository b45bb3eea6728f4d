"""What a timeline says, by readers that know nothing of its writer: (start, end) of each moment in seconds of its file.

OpenTimelineIO and its adapters where they are exact, Python's parsers and arithmetic where they are not: its adapter
for Final Cut Pro's XML takes 29.97 for 29.
"""

import csv
import io
import re
from fractions import Fraction
from xml.etree import ElementTree

import opentimelineio
from opentimelineio.opentime import from_timecode

NTSC = {24: 23.976, 30: 29.97, 48: 47.952, 60: 59.94}


def fps_of(number):
    """The exact rate that a rounded one means."""
    for base, rounded in NTSC.items():
        if abs(float(number) - rounded) < 0.01:
            return Fraction(base * 1000, 1001)
    return Fraction(number).limit_denominator(1000)


def frames(label, fps):
    """The number of a timecode, as OpenTimelineIO counts."""
    return round(from_timecode(label, float(fps)).value)


def seconds(time):
    return Fraction(round(time.value)) / fps_of(time.rate)


def of_clips(timeline):
    """Cuts and markers of the clips of an OpenTimelineIO timeline, of picture; those of sound have to be the same."""
    cuts = {}
    for track in timeline.tracks:
        cuts[track.kind] = []
        for clip in (one for one in track if isinstance(one, opentimelineio.schema.Clip)):
            media = clip.media_reference
            origin = seconds(media.available_range.start_time) if getattr(media, "available_range", None) else 0
            start = seconds(clip.source_range.start_time) - origin
            cuts[track.kind].append((start, start + seconds(clip.source_range.duration)))
    return cuts


def read_otio(text, shape, start):
    timeline = opentimelineio.adapters.read_from_string(text, "otio_json")
    if shape == "cut":
        return of_clips(timeline)["Video"]
    (clip, *_) = timeline.find_clips()
    origin = seconds(clip.available_range().start_time)
    ranges = [marker.marked_range for marker in clip.markers]
    return [(seconds(r.start_time) - origin, seconds(r.start_time) - origin + seconds(r.duration)) for r in ranges]


def read_xml(text, shape, start):
    timeline = opentimelineio.adapters.read_from_string(text, "fcp_xml")
    if not isinstance(timeline, opentimelineio.schema.Timeline):
        timeline = timeline[0]
    cuts = of_clips(timeline)
    if shape == "cut":
        return cuts["Video"]
    (clip, *_) = timeline.find_clips()
    ranges = [marker.marked_range for marker in clip.markers]  # from the first picture, unlike the clip's
    return [(seconds(r.start_time), seconds(r.start_time) + seconds(r.duration)) for r in ranges]


def read_fcpxml(text, shape, start):
    root = ElementTree.fromstring(text)
    assets = {asset.get("id"): asset for asset in root.iter("asset")}
    found = []
    for clip in root.iter("asset-clip"):
        origin = rational(assets[clip.get("ref")].get("start"))
        for one in [clip] if shape == "cut" else clip.iter("marker"):
            first = rational(one.get("start")) - origin
            found.append((first, first + rational(one.get("duration"))))
    return found


def rational(text):
    """1001/30000s"""
    return Fraction(re.fullmatch(r"(\d+(?:/\d+)?)s", text)[1])


def read_edl(text, shape, start):
    """start: the timecode of the file's first picture."""
    if not re.search(r"^\d", text, re.M):
        return []
    fps = fps_of(
        re.search(r"\* FRAME RATE: (\S+)|^TITLE: .*\((\S+) fps\)$", text, re.M).group(1 if shape == "cut" else 2)
    )
    origin = frames(start or "00:00:00:00", fps)
    day = 86_400 * round(fps)
    if shape == "cut":
        timeline = opentimelineio.adapters.read_from_string(text, "cmx_3600", rate=float(fps))
        (track, *_) = (track for track in timeline.tracks if track.name.startswith("V"))
        ranges = [(clip.source_range.start_time.value, clip.source_range.duration.value) for clip in track]
    else:
        events = re.findall(r"^\d+ +AX +V +C +(\S+) \S+ \S+ \S+\n \|C:ResolveColorBlue \|M:.* \|D:(\d+)$", text, re.M)
        ranges = [(frames(label, fps), int(length)) for label, length in events]
    found = [((round(first) - origin) % day, round(length)) for first, length in ranges]
    return [(first / fps, (first + length) / fps) for first, length in found]


def read_markers(text, shape, start):
    """By the timecodes where they are the file's, by its seconds in a rough cut."""
    found = []
    for row in csv.DictReader(io.StringIO(text)):
        fps = fps_of(row["Frame Rate"])
        length = frames(row["Duration"], fps) / fps
        if shape == "cut":
            first = Fraction(row["Source In"])
            assert abs(Fraction(row["Source Out"]) - first - length) <= 1 / fps
        else:
            day = 86_400 * round(fps)
            first = (frames(row["In"], fps) - frames(start or "00:00:00:00", fps)) % day / fps
            assert first == int(row["In Frame"]) / fps
        found.append((first, first + length))
    return found


READERS = {"otio": read_otio, "xml": read_xml, "fcpxml": read_fcpxml, "edl": read_edl, "markers.csv": read_markers}
