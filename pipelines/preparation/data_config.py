"""The YAML that names what was prepared."""

from pathlib import Path

import yaml

from spikemba.config import Tree
from spikemba.datasets.base import DataConfig
from spikemba.files import write_text
from spikemba.reading.printable import one_cell


def write_data_config(out: Path, command: str, data: Tree, name: str | None = None, *, base: str | None = None) -> Path:
    """Write `out/config.yaml` with a data section, under the command that uses it. Raises ConfigError, OutputError.

    base: the configuration of `config list` that it stands over.
    """
    above = {key: value for key, value in {"base": base, "name": name}.items() if value}
    tree: Tree = {**above, "data": data}
    DataConfig.parse(data, "data")
    path = out / "config.yaml"
    write_text(path, f"# {one_cell(command)}\n" + yaml.safe_dump(tree, sort_keys=False, width=120))
    return path
