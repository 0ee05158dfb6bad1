"""The arm64 userland: Debian's Python and the wheels of this machine's versions, fetched once and verified each time.

Nothing is installed and nobody needs to be root: apt downloads into a private root of its own, dpkg-deb and zipfile
unpack into a folder of the cache. Layout of that folder::

    root/           C library, Python and its libraries, as on a Debian device
    wheels/         numpy, onnxruntime and, where this machine has them, Pillow, LiteRT and what the agent needs
    userland.json   SHA-256 of every downloaded archive and of every file
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

from edge_runtime.console import progress, say
from edge_runtime.emulator.needs import attempt, call, complaint, require
from edge_runtime.errors import EmulatorError
from edge_runtime.files import atomic, cache_dir, sha256

PYTHON = "usr/bin/python3.11"
_RELEASE = "bookworm"
_LAYOUT = 3
_PACKAGES = [
    *(
        "libc6",
        "libgcc-s1",
        "libstdc++6",
        "zlib1g",
        "libbz2-1.0",
        "liblzma5",
        "libexpat1",
        "libffi8",
        "libssl3",
    ),
    *("libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal"),
]
_AGENT = ("paho-mqtt", "tuf", "securesystemslib", "urllib3", "cryptography", "cffi", "pycparser")
_WHEELS = ("numpy", "onnxruntime", "pillow", "ai-edge-litert", *_AGENT)
_PLATFORMS = [f"manylinux{glibc}_aarch64" for glibc in ("_2_28", "_2_27", "_2_17", "2014")]
_RECORD = "userland.json"
_UNUSED = (
    "root/usr/share",
    "root/usr/lib/aarch64-linux-gnu/gconv",
    "wheels/numpy/f2py",
    "wheels/onnxruntime/datasets",
    "wheels/onnxruntime/quantization",
    "wheels/onnxruntime/tools",
    "wheels/onnxruntime/transformers",
    "wheels/ai_edge_litert/vendors",
    "wheels/ai_edge_litert/tools/apply_plugin_main",
    "wheels/ai_edge_litert/libLiteRtWebGpuAccelerator.so",
)
"""What a device side never reads; without it there is a third less to verify at each start."""


def userland() -> Path:
    """The folder of the userland: built on first use, and again if a file of it was altered.

    Raises:
        EmulatorError: this is not the Debian release that is supported, a tool is missing, or a download failed.
    """
    versions = _versions()
    digest = hashlib.sha256(json.dumps([_LAYOUT, versions]).encode()).hexdigest()[:12]
    home = cache_dir().absolute() / "emulator" / f"arm64-{_RELEASE}-{digest}"
    with _locked(home):
        if home.exists():
            fault = damage(home)
            if not fault:
                return home
            say(f"{home}: {fault}; it is built again")
        _build(home, versions)
    return home


def _versions() -> dict[str, str]:
    """Versions of the wheels, as installed here: the emulated device runs what this machine runs."""
    found = {}
    for wheel in _WHEELS:
        with suppress(metadata.PackageNotFoundError):
            found[wheel] = metadata.version(wheel)
    if "onnxruntime" not in found:
        raise EmulatorError(
            "the emulated device gets this machine's version of onnxruntime, and there is none: "
            "pip install 'littoral[device]'"
        )
    return found


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Let one process at a time look at or build the folder; the system frees the lock if the process dies."""
    import fcntl  # not on Windows, where the rest of the package still imports

    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{home.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process, which builds or verifies the emulated device")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(home: Path, versions: Mapping[str, str]) -> None:
    require("apt-get", "dpkg-deb", "pip")
    if _debian_release() != _RELEASE:
        raise EmulatorError(
            f"the Arm userland is made from the package sources of Debian 12 ({_RELEASE}), "
            f"and this machine is '{_debian_release() or 'another system'}'; use a Debian 12 machine or container"
        )
    for abandoned in home.parent.glob(f".{home.name}.*"):  # by a process that was killed: we hold the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    say("building the emulated Arm device, once: about 60 MB to download")
    with atomic(home) as partial:
        downloads = partial / "downloads"
        downloads.mkdir(parents=True)
        steps: tuple[Callable[[], None], ...] = (
            lambda: _fetch_packages(downloads),
            lambda: _fetch_wheels(downloads, versions),
            lambda: _unpack(downloads, partial),
        )
        for step in progress(steps, "emulated device"):
            step()


def _debian_release() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        return ""


def _fetch_packages(folder: Path) -> None:
    """Download the .deb files with apt, which checks them against the signed lists of the machine's own sources."""
    private = folder / "apt"
    for part in ("lists/partial", "archives/partial"):
        (private / part).mkdir(parents=True)
    (private / "status").touch()
    settings = {
        "Dir::State": private,
        "Dir::State::status": private / "status",
        "Dir::Cache": private,
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
        "Acquire::Languages": "none",
        "Acquire::http::Timeout": "30",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    updated = attempt([*apt, "update"])  # may fail for another of the machine's sources, without arm64
    if not any((private / "lists").glob("*_Packages*")):
        raise EmulatorError(f"the lists of arm64 packages cannot be fetched: {complaint(updated.stderr)}")
    call(
        [*apt, "download", *_PACKAGES],
        "the arm64 packages cannot be fetched from the machine's sources",
        folder,
    )
    if len(list(folder.glob("*.deb"))) < len(_PACKAGES):  # apt takes a path of 300 bytes and more for "/"
        raise EmulatorError(f"apt-get left no packages in {folder}; give a shorter path for the cache")


def _fetch_wheels(folder: Path, versions: Mapping[str, str]) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    guest = ["--python-version", "3.11", "--implementation", "cp"]
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    wanted = [f"{name}=={version}" for name, version in versions.items()]
    call(
        [*pip, *guest, *platforms, "--dest", folder, *wanted],
        f"the aarch64 wheels of {', '.join(wanted)} cannot be fetched",
    )


def _unpack(downloads: Path, home: Path) -> None:
    archives = sorted([*downloads.glob("*.deb"), *downloads.glob("*.whl")])
    for archive in archives:
        if archive.suffix == ".deb":
            call(["dpkg-deb", "--extract", archive, home / "root"], f"{archive.name} cannot be unpacked")
        else:
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(home / "wheels")
    digests = {archive.name: sha256(archive) for archive in archives}
    for unused in [downloads, *(home / name for name in _UNUSED), *home.glob("wheels/**/tests")]:
        shutil.rmtree(unused, ignore_errors=True)
    record(home, digests)


def record(home: Path, archives: Mapping[str, str]) -> None:
    """Write down the SHA-256 of the archives and of every file under `home`, for `damage` to compare with."""
    text = json.dumps({"archives": archives, "files": _digests(home)}, indent=0)
    (home / _RECORD).write_text(text, encoding="utf-8")


def damage(home: Path) -> str:
    """What is wrong with the files under `home`, as half a sentence; empty if each is as it was recorded."""
    try:
        recorded = dict(json.loads((home / _RECORD).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"{_RECORD} is missing or cannot be read"
    found = _digests(home)
    for name in sorted(recorded.keys() | found.keys()):
        if recorded.get(name) != found.get(name):
            fate = (
                "is missing"
                if name not in found
                else "was altered"
                if name in recorded
                else "does not belong there"
            )
            return f"{name} {fate}"
    return ""


def _digests(home: Path) -> dict[str, str]:
    """SHA-256 of each file, or where a link points to, by path from `home`. 130 MB take about 0.1 s."""
    found = {}
    for folder, folders, files in os.walk(home):
        for name in [*files, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]:  # noqa: PTH114, PTH118
            path = Path(folder, name)
            found[path.relative_to(home).as_posix()] = (
                f"-> {path.readlink()}" if path.is_symlink() else sha256(path)
            )
    found.pop(_RECORD, None)
    return found
