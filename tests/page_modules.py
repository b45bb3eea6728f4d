"""Modules of the page that need no page, run by node: the one of playwright, or one that is installed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

MODULES = Path(__file__).parents[1] / "pipelines" / "serving" / "page" / "modules"


def node() -> str:
    """The node program; tests that need it are left out where there is none."""
    driver = pytest.importorskip("playwright._impl._driver")
    own = driver.compute_driver_executable()
    return own[0] if Path(own[0]).is_file() else shutil.which("node") or pytest.skip("needs node")


def evaluated(expression: str, module: str) -> Any:
    """What an expression gives, with the names of a module of the page as `m`."""
    address = (MODULES / module).as_uri()
    code = f"import * as m from {json.dumps(address)}; process.stdout.write(JSON.stringify({expression}))"
    command = [node(), "--input-type=module", "--no-warnings", "-e", code]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
