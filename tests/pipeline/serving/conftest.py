"""A real server for whoever attacks it, and folders that are looked at anew for every question."""

import pytest
from serving_site import MB, films_beside_secrets, serving

from pipelines.serving.footage import catalogue
from pipelines.serving.service import ServiceOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Videos, with secrets beside them; see `films_beside_secrets`."""
    return films_beside_secrets(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def site(folder):
    """A server of the folder's films."""
    options = ServiceOptions(corrections=folder / "said", uploads=folder / "new", upload_limit=MB)
    with serving([folder / "films"], options=options) as running:
        yield running


@pytest.fixture
def film(site):
    """The id of the one video."""
    (video,) = site.ask("GET", "/api/videos").json()["videos"]
    return video["id"]


@pytest.fixture
def good_clients_are_answered(site):
    """The same after every attack as before."""
    expected = site.ask("GET", "/api/state")
    yield
    after = site.ask("GET", "/api/state")
    assert (after.status, after.body) == (200, expected.body)


@pytest.fixture
def always_fresh(monkeypatch):
    """A listing is never taken as it was found a while ago."""
    monkeypatch.setattr(catalogue, "FRESH_S", 0.0)
    monkeypatch.setattr(catalogue, "SHARE", 0)
    monkeypatch.setattr(catalogue, "QUICK_S", 10.0)
