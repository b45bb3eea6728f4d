"""Why a hub of models does not give a file, in words: it cannot be reached, has no such repository, no such file ..."""

import socket
import ssl
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

from spikemba.libraries import cause, library, one_line

TIMEOUT_S = 10.0
"""How long the hub may take to say whether it has a file."""

Kind = Literal["network", "repository", "access", "revision", "file", "answer"]


@dataclass(frozen=True)
class HubProblem:
    """What was in the way."""

    kind: Kind
    text: str
    """A clause, such as `cannot reach huggingface.co (Connection refused)`."""


def hub_problem(
    repository: str, file: str, *, revision: str | None = None, token: str | bool | None = None
) -> HubProblem | None:
    """Ask the hub for a file, once and shortly: offline, its own client would try for half a minute.

    None when it has the file. An error that is neither the network's nor the hub's is raised as it is.
    """
    with library("huggingface_hub"):
        from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url
    try:
        get_hf_file_metadata(hf_hub_url(repository, file, revision=revision), token=token, timeout=TIMEOUT_S)
    except errors.GatedRepoError:
        return HubProblem("access", f"the owner of {repository} must grant access to it first")
    except errors.RepositoryNotFoundError:
        text = f"the hub has no such repository, {repository}, or a private one (log in with `hf auth login`)"
        return HubProblem("repository", text)
    except errors.RevisionNotFoundError:
        return HubProblem("revision", f"the repository has no revision {revision!r}")
    except errors.EntryNotFoundError:
        return HubProblem("file", f"the repository {repository} holds no {file}")
    except errors.HFValidationError:
        return HubProblem("repository", f"{repository!r} is no name of a repository")
    except Exception as error:
        if not is_outside(error):
            raise
        return HubProblem(*what_failed(error))
    return None


def what_failed(error: BaseException) -> tuple[Kind, str]:
    """An error of the hub's client as a clause: offline, not reached, or the hub's answer."""
    with library("huggingface_hub"):
        from huggingface_hub import constants, errors
    host = urlsplit(constants.ENDPOINT).netloc
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "network", f"cannot reach {host} (HF_HUB_OFFLINE=1 forbids it)"
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        return "answer", f"{host} answers {error.response.status_code} ({one_line(error)})"
    if is_network(error):
        proxy = getproxies().get(urlsplit(constants.ENDPOINT).scheme)
        through = f", through the proxy {urlsplit(proxy).hostname}" if proxy else ""
        return "network", f"cannot reach {host} ({one_line(error) or type(error).__name__}{through})"
    return "answer", cause(error)


def is_outside(error: BaseException) -> bool:
    """Whether the network, the hub or the disk is at fault."""
    return isinstance(error, OSError) or is_network(error)


def is_network(error: BaseException) -> bool:
    """Whether there was no answer; the hub's client changes its HTTP library at times."""
    ours = isinstance(error, ConnectionError | TimeoutError | socket.gaierror | ssl.SSLError)
    return ours or type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "requests")
