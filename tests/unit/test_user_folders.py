"""Where the user's things lie."""

from pathlib import Path

import pytest

from spikemba.errors import SpikeMbaError
from spikemba.ops.native.build import kernels_folder
from spikemba.user_folders import cache_folder, load_settings, settings_folder, weights_folder


def test_a_variable_of_ours_names_the_folder_itself_and_everything_kept_lies_in_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKEMBA_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert weights_folder() == tmp_path / "weights"
    assert kernels_folder() == tmp_path / "kernels"


@pytest.mark.parametrize("own", [None, ""])
def test_without_it_the_folder_is_in_the_users_own(monkeypatch, tmp_path, own):
    for name in ("SPIKEMBA_CACHE", "SPIKEMBA_HOME"):
        monkeypatch.delenv(name) if own is None else monkeypatch.setenv(name, own)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert cache_folder() == tmp_path / "cache" / "spikemba"
    assert settings_folder() == Path.home() / ".config" / "spikemba"


def test_where_no_home_is_known_the_variable_that_names_a_folder_is_asked_for(monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    for name in ("SPIKEMBA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SpikeMbaError, match="no home folder of this user is known; set SPIKEMBA_CACHE to a folder"):
        cache_folder()


def test_settings_that_are_not_there_are_the_defaults():
    assert load_settings().checkpoint is None
    assert load_settings().weights == {}
