"""Elements of an XML document, and the document as text."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement


def child(parent: Element, tag: str, text: object = None, **attributes: object) -> Element:
    """A new last element of another."""
    made = SubElement(parent, tag, {name: str(value) for name, value in attributes.items()})
    made.text = None if text is None else str(text)
    return made


def document(root: Element, doctype: str) -> str:
    """The whole document, indented, with its declarations."""
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE {doctype}>\n{body}\n'
