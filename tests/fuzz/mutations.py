"""Files with something wrong: bytes turned, cut, doubled and put in, also inside the members of archives."""

import gzip
import io
import random
import zipfile

WORDS = [
    *(
        b"\xff" * 4,
        b"\xff" * 8,
        b"\x00" * 8,
        b"\x7f" + b"\xff" * 7,
        b"\x00\x00\x00\x80",
        b"9999",
        b"9" * 30,
        b"9" * 5000,
    ),
    *(b"-1", b"0", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"[" * 80, b"{" * 80, b'{"a":' * 80, b"("),
    *(
        "\u2028".encode(),
        "\ufeff".encode(),
        b"\x85",
        b"\x1b]0;x\x07",
        b"\x00",
        b"\n",
        b"\r",
        b",",
        b'"',
        b"../",
        b"/",
        b"*a",
    ),
    *(
        b"\\ud800",
        b"<f8",
        b"|O8",
        b"(1000000000000, 8)",
        b"c__builtin__\nexec\n",
        b"R",
        b"b",
        b"\x94",
        b"j\xff\xff\xff\x7f",
    ),
]
HEAD = 4000
"""Bytes at the beginning, where headers are; most changes are made there."""


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The content with one to three faults."""
    if content.startswith(b"PK") and chance.random() < 0.5:
        return _in_zip(content, chance)
    if content.startswith(b"\x1f\x8b") and chance.random() < 0.7:
        return gzip.compress(mutated(gzip.decompress(content), chance), 1, mtime=0)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        content = _once(bytearray(content), chance)
    return content


def _once(content: bytearray, chance: random.Random) -> bytes:
    place = chance.randrange(min(len(content), HEAD) if chance.random() < 0.8 else len(content)) if content else 0
    kind = chance.randrange(8) if content else 5
    if kind == 0:
        content[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        for _ in range(8):
            content[chance.randrange(len(content))] = chance.randrange(256)
    elif kind == 2:
        del content[place:]
    elif kind == 3:
        word = chance.choice(WORDS)
        content[place : place + len(word)] = word
    elif kind == 4:
        n = chance.randrange(1, 40)
        content[place:place] = content[place : place + n] * chance.choice((1, 2, 50))
    elif kind == 5:
        content[place:place] = chance.choice(WORDS)
    elif kind == 6:
        del content[place : place + chance.randrange(1, 20)]
    else:
        other = chance.randrange(len(content))
        n = chance.randrange(1, 16)
        content[place : place + n] = content[other : other + n]
    return bytes(content)


def _in_zip(content: bytes, chance: random.Random) -> bytes:
    """One member with faults, in an archive whose sums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as old, io.BytesIO() as new:
        chosen = chance.choice(old.infolist())
        with zipfile.ZipFile(new, "w") as archive:
            for info in old.infolist():
                member = old.read(info)
                archive.writestr(info, mutated(member, chance) if info is chosen else member)
        return new.getvalue()
