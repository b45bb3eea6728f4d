"""What `mkdocs build` does besides: the pages of the reference, links into the repository, search without a server."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference import commands, names, registries, settings

PAGES = {
    "commands": commands.page,
    "settings": settings.page,
    "encoders": registries.encoders,
    "benchmarks": registries.benchmarks,
    "formats": registries.formats,
    "calls": registries.calls,
    "python": names.front,
    **{page: lambda page=page: names.room(page) for page in names.ROOMS},
}
_BESIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]*)(?:#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of the code."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Links that leave docs/ name the file in the repository; those of a page here stay links."""
    here = Path(config.docs_dir, page.file.src_uri).parent
    root = Path(config.docs_dir).parent

    def said(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if target.is_relative_to(config.docs_dir) or not target.is_relative_to(root):
            return link[0]
        path = target.relative_to(root).as_posix()
        text = link[1].strip("`")
        return f"`{path}`" if path.endswith(text) else f"{link[1]} (`{path}`)"

    return _BESIDE.sub(said, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """The index of the search as a script, which a page may load from a folder, too."""
    index = Path(config.site_dir, "search", "search_index.json")
    index.with_suffix(".js").write_text(f"var __index = {index.read_text('utf-8')}", encoding="utf-8")
