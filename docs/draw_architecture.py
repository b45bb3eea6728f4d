"""Draws docs/architecture.svg from the code: rooms on their floors, and what each builds on.

    python docs/draw_architecture.py

Floors and imports are those that tests/unit/test_import_rule.py holds the code to. Left out are arrows that others
imply, those from the stages to the library, and those to the ground floors, which everything stands on.
"""

import runpy
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
RULE = runpy.run_path(str(HERE.parent / "tests" / "unit" / "test_import_rule.py"))
TITLES = {"spikemba": "spikemba/ — the library", "pipelines": "pipelines/ — the stages"}
GROUND = {"pipelines": 1, "spikemba": 2}
"""Lowest floors, which everything above may use."""
LEFT = {"pipelines": 20, "spikemba": 640}
WIDTH, PANEL, BOX, HIGH, GAP = 1240, 580, 104, 34, 26
INK, SOFT, PAPER, ROOM = "#1f2937", "#9ca3af", "#ffffff", "#eef2ff"

Node = tuple[str, str]


def floors(package: str) -> list[list[str]]:
    """The rooms and files of each floor that there are, low to high; `__init__` is no place to stand in."""
    found = [sorted(room for room in floor if exists(package, room)) for floor in RULE["ROOMS"][package]]
    return [floor for floor in found if floor]


def exists(package: str, room: str) -> bool:
    """Whether there is such a room or file."""
    return room != "__init__" and f"{package}.{room}" in RULE["modules"]()


def edges() -> set[tuple[Node, Node]]:
    """What each room imports from other rooms, less what other ways imply."""
    direct: dict[Node, set[Node]] = {}
    for name in RULE["modules"]():
        here = RULE["place"](name)
        direct.setdefault(here, set()).update({RULE["place"](other) for other in RULE["imported"](name)} - {here})
    direct = {here: {there for there in below if there[1] != "__init__"} for here, below in direct.items()}

    def reached(start: Node, without: Node) -> bool:
        seen, todo = set(), [node for node in direct[start] if node != without]
        while todo:
            node = todo.pop()
            if node == without:
                return True
            if node not in seen:
                seen.add(node)
                todo += direct.get(node, ())
        return False

    ground = {(package, room) for package, n in GROUND.items() for floor in floors(package)[:n] for room in floor}
    return {(a, b) for a, below in direct.items() for b in below - ground if a[0] == b[0] and not reached(a, b)}


def places() -> tuple[dict[Node, tuple[float, float]], float]:
    """Upper left corner of every box, and the height of the picture."""
    found, lowest = {}, 0.0
    for package, left in LEFT.items():
        y = 130.0
        for floor in reversed(floors(package)):
            per_row = int(PANEL // (BOX + 10))
            for first in range(0, len(floor), per_row):
                row = floor[first : first + per_row]
                indent = (PANEL - len(row) * (BOX + 10)) / 2
                for i, room in enumerate(row):
                    found[package, room] = (left + indent + i * (BOX + 10), y)
                y += HIGH + (6 if first + per_row < len(floor) else GAP)
        lowest = max(lowest, y)
    found["spikemba_cli", ""] = (WIDTH / 2 - 300, 40)
    return found, lowest + 10


def arrow(a: tuple[float, float], b: tuple[float, float]) -> str:
    """A curve from under one box to the top of another."""
    (x1, y1), (x2, y2) = (a[0] + BOX / 2, a[1] + HIGH), (b[0] + BOX / 2, b[1])
    if y2 < y1:  # the same floor, or another package's higher one: from side to side
        y1, y2 = a[1] + HIGH / 2, b[1] + HIGH / 2
        x1, x2 = (a[0] + BOX, b[0]) if b[0] > a[0] else (a[0], b[0] + BOX)
        bend = (x2 - x1) / 2
        return f"M{x1:.0f} {y1:.0f} C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    bend = max(12, (y2 - y1) / 2)
    return f"M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"


def draw() -> str:
    """The picture as SVG."""
    where, height = places()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="{PAPER}"/>',
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{SOFT}"/></marker></defs>',
        f'<rect x="20" y="30" width="{WIDTH - 40}" height="44" rx="8" fill="{ROOM}" stroke="{INK}"/>',
        f'<text x="{WIDTH / 2:.0f}" y="57" text-anchor="middle" font-size="16" fill="{INK}">'
        "spikemba_cli/ — the terminal: one file per command, each calls one function below</text>",
    ]
    for package, left in LEFT.items():
        title = f'<text x="{left}" y="112" font-size="16" font-weight="bold" fill="{INK}">{TITLES[package]}</text>'
        parts.append(title)
    middle, y = LEFT["pipelines"] + PANEL - 10, height / 2
    parts += [
        f'<path d="M{middle - 30} {y:.0f} h60" stroke="{SOFT}" stroke-width="2" marker-end="url(#tip)"/>',
        f'<text x="{middle}" y="{y - 10:.0f}" text-anchor="middle" font-size="12" fill="{INK}">uses</text>',
    ]
    for a, b in sorted(edges()):
        if a in where and b in where:
            parts.append(f'<path d="{arrow(where[a], where[b])}" fill="none" stroke="{SOFT}" marker-end="url(#tip)"/>')
    for (package, room), (x, y) in where.items():
        if package == "spikemba_cli":
            continue
        is_room = RULE["modules"]()[f"{package}.{room}"].name == "__init__.py"
        parts += [
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX}" height="{HIGH}" rx="6" fill="{ROOM if is_room else PAPER}" '
            f'stroke="{INK}"/>',
            f'<text x="{x + BOX / 2:.0f}" y="{y + 22:.0f}" text-anchor="middle" font-size="12" fill="{INK}">'
            f"{escape(room)}</text>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    (HERE / "architecture.svg").write_text(draw(), encoding="utf-8")
