"""Carries out the Dockerfile without Docker, each stage in Debian's own smallest system, and asks what README asks.

    python tests/container/run.py FOLDER       as root on Debian, with debootstrap; the folder takes some 8 GB

The lines are read from the Dockerfile, not repeated here. What `debian:bookworm-slim` holds, debootstrap installs;
packages come from where apt and pip of this machine take them.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template

from dockerfile import context_of, stages_of

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "a red circle enters"
MACHINE = "/run/machine"
"""Where a stage finds this machine's certificates."""


def say(*words):
    print("+", *words, flush=True)


def run(*command, **how):
    subprocess.run([str(word) for word in command], check=True, **how)


class Stage:
    """A root folder, and what its instructions have set so far."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.arguments, self.user, self.place, self.entrypoint = {}, "root", "/", []

    def inside(self, path):
        """Where a path of the image lies on this machine."""
        return self.folder / str(Path(self.place) / path).lstrip("/")

    def call(self, command, user=None, environment=()):
        """Run a command in it as `docker run` does: with nothing of this machine's environment. Returns its stdout."""
        name, _, uid, gid, _, home, _ = self._account(user or self.user)
        given = {"HOME": home, "USER": name, **dict(environment), **self.environment}
        inner = shlex.join(["exec", "env", "-i", *(f"{key}={value}" for key, value in given.items()), *command])
        called = ["chroot", f"--userspec={uid}:{gid}", "--groups=", str(self.folder), "/bin/sh", "-c"]
        return subprocess.run(
            [*called, f"cd {shlex.quote(self.place)} && {inner}"], check=True, stdout=subprocess.PIPE, text=True
        )

    def _account(self, user):
        lines = (self.folder / "etc/passwd").read_text("utf-8").splitlines()
        return next(line.split(":") for line in lines if line.startswith(f"{user}:"))


def carry_out(stage, steps, others, work):
    """The instructions of one stage. others: name -> stage, for COPY --from."""
    for step in steps:
        name, rest = step
        say(name, rest)
        if name == "FROM":
            prepare(stage, rest.split()[0], work)
        elif name == "ARG":
            key, _, value = rest.partition("=")
            stage.arguments[key] = value
        elif name == "ENV":
            known = {**stage.arguments, **stage.environment}
            stage.environment |= dict(Template(word).substitute(known).split("=", 1) for word in step.words)
        elif name == "RUN":
            command = ["/bin/sh", "-c", rest]
            sys.stdout.write(stage.call(command, environment={**stage.arguments, **of_this_machine()}).stdout)
        elif name == "COPY":
            copy(stage, step.words, others)
        elif name == "WORKDIR":
            stage.place = str(Path(stage.place) / rest)
            stage.inside(".").mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            stage.user = rest
        elif name == "VOLUME":
            assert all(stage.inside(path).is_dir() for path in step.words), rest
        elif name == "ENTRYPOINT":
            stage.entrypoint = step.words


def prepare(stage, image, work):
    """Debian's smallest system of the release that the image has, with this machine's ways to packages."""
    release = re.fullmatch(r"debian:(\w+)-slim", image)[1]
    base = work / release
    if not (base / "etc/debian_version").is_file():
        run("debootstrap", "--variant=minbase", release, base, mirror(), stdout=subprocess.DEVNULL)
    run("cp", "--archive", base, stage.folder)
    for path in ("/etc/apt", "/usr/share/keyrings", "/etc/pip.conf", "/etc/xdg/pip", "/etc/resolv.conf", "/etc/hosts"):
        if Path(path).exists():
            place = stage.folder / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            run("cp", "--recursive", "--dereference", "--no-target-directory", "--remove-destination", path, place)
    bind("/proc", stage.folder / "proc")
    bind("/dev", stage.folder / "dev")
    for path in folders_of_pip():
        bind(path, stage.folder / path.lstrip("/"))
    if certificates := os.environ.get("PIP_CERT"):
        (stage.folder / MACHINE.lstrip("/")).mkdir(parents=True)
        shutil.copy(certificates, stage.folder / MACHINE.lstrip("/") / "ca.crt")


def mirror():
    """Where apt of this machine finds Debian."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(path.read_text("utf-8") for path in files if path.is_file())
    return re.search(r"(?m)^(?:URIs: *|deb (?:\[[^]]*\] )?)(\S+/debian)/?(?: |$)", text)[1]


def folders_of_pip():
    """Folders of this machine that pip is told to look into."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    paths = re.findall(r"(?:file://|[=' ])(/[^\s']+)", told.stdout)
    return sorted({"/".join(path.split("/")[:3]) for path in paths if Path(path).is_dir()})


def of_this_machine():
    """pip's variables and those of a proxy."""
    found = {k: v for k, v in os.environ.items() if k.startswith("PIP_") or k.lower().endswith("_proxy")}
    return found | ({"PIP_CERT": f"{MACHINE}/ca.crt"} if "PIP_CERT" in found else {})


def bind(source, target):
    target.mkdir(parents=True, exist_ok=True)
    run("mount", "--rbind", source, target)


def copy(stage, words, others):
    """COPY of files and folders, out of the context or of another stage."""
    options, (*sources, target) = [w for w in words if w.startswith("--")], [w for w in words if not w.startswith("--")]
    into = stage.inside(target)
    if options:
        (other,) = options
        for source in sources:
            shutil.copytree(others[other.removeprefix("--from=")].inside(source), into, dirs_exist_ok=True)
        return
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    context = context_of(ROOT, listed.splitlines())
    for source in sources:
        below = source.rstrip("/") + "/"
        found = {p: p.removeprefix(below) for p in context if p.startswith(below)} or {
            source: Path(source).name if target.endswith("/") else ""
        }
        for path, name in found.items():
            if path not in context:
                raise SystemExit(f"COPY {source}: .dockerignore keeps it out of the context")
            place = into / name if name else into
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, place)


def ask(image):
    """README's question, with this checkout as /data, and what doctor says of the kernels."""
    bind(ROOT, image.folder / "data")
    asked = ["ground", "examples/shapes.mp4", QUESTION, "--checkpoint", "mini"]
    say(*image.entrypoint, *asked, f"(as {image.user})")
    answer = image.call([*image.entrypoint, *asked]).stdout
    print(answer)
    shown = (ROOT / "README.md").read_text("utf-8").partition(f'"{QUESTION}" --checkpoint mini\n')[2].splitlines()
    start, end = map(float, answer.splitlines()[1].split("\t")[:2])
    assert answer.splitlines()[0] == shown[0], answer
    assert min(end, 25.8) > max(start, 21.3), answer  # when the circle enters
    compilers = "for c in gcc cc clang; do command -v $c; done | grep . || echo no compiler"
    found = image.call(["/bin/sh", "-c", f"spikemba doctor --json || true; {compilers}"])
    print(*(line for line in found.stdout.splitlines() if re.search("kernels|no compiler", line)), sep="\n")
    assert "of the wheel: " in found.stdout, found.stdout
    assert "no compiler" in found.stdout, found.stdout


def main():
    """Mounts are made in a namespace of their own, so none is left behind."""
    if os.environ.get("SPIKEMBA_MOUNTS_APART") != "1":
        apart = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        os.execvpe(apart[0], apart, {**os.environ, "SPIKEMBA_MOUNTS_APART": "1"})
    work = Path(sys.argv[1]).resolve()
    work.mkdir(parents=True, exist_ok=True)
    stages = {}
    for name, steps in stages_of((ROOT / "Dockerfile").read_text("utf-8")).items():
        stages[name] = Stage(work / f"stage-{name}")
        carry_out(stages[name], steps, stages, work)
    ask(stages[name])


if __name__ == "__main__":
    main()
