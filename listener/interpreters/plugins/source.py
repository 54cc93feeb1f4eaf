"""What somebody uploads: a wagon, a wheel, an sdist or a source folder, and the plugin in it.

Owns what makes it no plugin, or none for this machine. It installs nothing, and gives the package wagon
no archive to unpack that is cut off or would write elsewhere. upload.py has it read what it makes a
plugin of.
"""

from __future__ import annotations

import email.parser
import gzip
import json
import lzma
import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from listener.errors import HooksError, ProgramFailed
from listener.interpreters.plugins.definition import PluginYaml

COMMON = "cloudify-common"
"""The distribution that holds the package `cloudify`."""

_WAGON = "wagon>=1.0.3,<2"
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")

_DAMAGE = (EOFError, RuntimeError, ValueError, gzip.BadGzipFile, lzma.LZMAError, tarfile.TarError,
           zipfile.BadZipFile, zlib.error)  # fmt: skip
"""What the standard library raises for archives that are none, or not whole."""


class Given(NamedTuple):
    """What was named on the command line; `file` is None for a folder.

    The file is open already, because root reads it before he goes on as another user.
    """

    path: str
    file: BinaryIO | None
    plugin_yaml: PluginYaml | None = None


class Package(NamedTuple):
    """What pip is to install. `wheels` is a wagon's own folder of wheels: nothing else is needed.

    `carries_common`: it holds cloudify-common, too. The last three tell what a wagon was made for.
    """

    name: str
    version: str
    requirement: str
    plugin_yaml: PluginYaml | None
    wheels: str | None = None
    carries_common: bool = False
    platform: str = "any"
    python_requires: str = ""
    python_versions: str = ""


def read(given: Given, scratch: str, build: Callable[[str, str], None]) -> Package:
    """The package in what was given, unpacked below the empty folder `scratch`.

    `build(source, folder)` makes a wheel of a source folder. Raises HooksError when there is none.
    """
    file = given.file
    if file is None:
        source = os.path.join(scratch, "source")
        _copy(given, source)  # building leaves files behind
        return _of_source(given, source, scratch, build)
    archive = os.path.join(tempfile.mkdtemp(dir=scratch), os.path.basename(given.path))
    with open(archive, "wb") as copy:
        shutil.copyfileobj(file, copy)
    if archive.endswith(".whl"):
        return _of_wheel(given, archive, given.plugin_yaml)
    top = _unpacked(given, archive, scratch)
    if os.path.exists(os.path.join(top, "package.json")):
        return _of_wagon(given, top)
    if os.path.exists(os.path.join(top, "PKG-INFO")):
        return _of_source(given, top, scratch, build)
    raise HooksError(
        f"{given.path} is no plugin: it has neither a wagon's package.json nor an sdist's PKG-INFO;"
        " upload a wagon (.wgn), a wheel, an sdist or a source folder"
    )


def misfit(package: Package, python_version: str, machine: str) -> str | None:
    """Why a package cannot run by this Python on this machine, as far as it says so itself."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # slow to import

    platform = package.platform
    if platform != "any" and not ("linux" in platform and platform.endswith(f"_{machine}")):
        return f"it was made for {platform}, and this is linux_{machine}; make it for this machine"
    try:
        is_right = SpecifierSet(package.python_requires).contains(python_version, prereleases=True)
    except InvalidSpecifier:
        return None  # pip looks at each wheel in any case
    if not is_right:
        return (
            f"it requires Python {package.python_requires}, and plugins run by Python"
            f" {python_version}; make it for that one, or name another with 'listener: python'"
        )
    return None


def _copy(given: Given, target: str) -> None:
    if os.path.realpath(target).startswith(os.path.join(os.path.realpath(given.path), "")):
        raise HooksError(f"{given.path} holds the state directory; name a folder that does not")
    try:
        shutil.copytree(given.path, target, symlinks=True)
    except OSError as error:
        why = error.args[0][0][-1] if isinstance(error, shutil.Error) else error
        raise HooksError(
            f"{given.path} cannot be copied: {why}; mend that, or upload an sdist"
        ) from error


def _of_wagon(given: Given, top: str) -> Package:
    wheels = os.path.join(top, "wheels")
    try:
        with open(os.path.join(top, "package.json"), "rb") as file:
            metadata = json.load(file)
        name, version = _text(metadata, "package_name"), _text(metadata, "package_version")
        platform = _text(metadata, "supported_platform")
        there = os.listdir(wheels) if os.path.isdir(wheels) else []
        missing = sorted(set(map(str, metadata["wheels"])) - set(there))
        python_versions = ", ".join(map(str, metadata.get("supported_python_versions") or ()))
    except (KeyError, TypeError, AttributeError, *_DAMAGE) as error:
        raise HooksError(_damaged(given, _first(error))) from error
    if missing:
        raise HooksError(_damaged(given, f"the wheel {missing[0]} is missing"))
    return Package(
        _checked(given, name),
        _checked(given, version),
        f"{name}=={version}",
        given.plugin_yaml or PluginYaml.in_folder(os.path.join(top, "files"), given.path),
        wheels,
        any(wheel.lower().replace("-", "_").startswith("cloudify_common_") for wheel in there),
        platform,
        str(metadata.get("python_requires") or ""),
        python_versions,
    )


def _of_source(given: Given, source: str, scratch: str, build: Callable[[str, str], None]) -> Package:
    if not any(os.path.exists(os.path.join(source, name)) for name in ("pyproject.toml", "setup.py")):
        raise HooksError(
            f"{given.path} has neither a pyproject.toml nor a setup.py; name the folder that has"
        )
    built = os.path.join(scratch, "built")
    try:
        build(source, built)
    except ProgramFailed as error:
        raise HooksError(
            f"{given.path} cannot be built: {error}; correct it, or upload a wheel. What builds it,"
            " setuptools for one, comes from where pip's configuration says, or from --wheels alone"
        ) from error
    [wheel] = os.listdir(built)
    plugin_yaml = given.plugin_yaml or PluginYaml.in_folder(source, given.path)
    return _of_wheel(given, os.path.join(built, wheel), plugin_yaml)


def _of_wheel(given: Given, wheel: str, plugin_yaml: PluginYaml | None) -> Package:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = list(filter(_METADATA.fullmatch, archive.namelist()))
            if len(names) != 1:
                raise ValueError(f"of .dist-info/METADATA it has {len(names)}, and not one")
            [name] = names
            metadata = email.parser.BytesParser().parsebytes(archive.read(name), headersonly=True)
    except _DAMAGE as error:
        raise HooksError(_damaged(given, _first(error))) from error
    return Package(
        _checked(given, metadata["Name"]), _checked(given, metadata["Version"]), wheel, plugin_yaml
    )


def _unpacked(given: Given, archive: str, scratch: str) -> str:
    """The one folder that an archive consists of, unpacked by wagon below `scratch`."""
    wagon = _wagon()
    before, tempfile.tempdir = tempfile.tempdir, scratch  # where it unpacks
    try:
        _look_through(archive)
        return str(wagon.get_source(archive))
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise HooksError(_damaged(given, f"two of its files are at {error.filename}")) from error
    except (wagon.WagonError, *_DAMAGE) as error:
        raise HooksError(_damaged(given, _first(error))) from error
    finally:
        tempfile.tempdir = before


def _wagon() -> Any:
    """The package that unpacks wagons, and sdists as well; silent, and not trusted with any archive."""
    try:
        import wagon
    except ImportError as error:
        raise HooksError(
            f"{sys.executable} cannot import wagon, which unpacks what is uploaded: {error};"
            f" {sys.executable} -m pip install '{_WAGON}', or upload a wheel or a source folder"
        ) from error
    wagon.logger.handlers.clear()  # it logs on stdout, where the answers go
    # Its files are to be readable whatever modes they had; Pythons before 3.11.4 may lack the filter.
    readable: Any = getattr(tarfile, "data_filter", None)
    tarfile.TarFile.extraction_filter = staticmethod(readable)
    return wagon


def _look_through(archive: str) -> None:
    """Raise one of _DAMAGE unless a zip or tar archive is whole, and all in it is of one folder.

    The sums in a zip archive are left to the unpacking, which compares them.
    """
    names = _names(archive)
    paths = list(map(PurePosixPath, names))
    for path in paths:
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"it would write outside of its folder, to {str(path)!r}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"two of its files are at {twice[0]!r}")
    tops = {path.parts[:1] for path in paths} - {()}
    if len(tops) != 1 or max(len(path.parts) for path in paths) == 1:
        raise ValueError("it does not consist of one folder")


def _names(archive: str) -> list[str]:
    """The names of all that an archive holds. Raises one of _DAMAGE for what is no file or folder."""
    if not tarfile.is_tarfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            return zipped.namelist()
    with tarfile.open(archive) as tar:
        for member in tar:
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{member.name!r} is neither a file nor a folder")
        while tar.fileobj and tar.fileobj.read(1 << 20):
            continue  # a damaged member looks like the last one, but for the sum at the end
        return tar.getnames()


def _text(metadata: Any, key: str) -> str:
    value = metadata[key]
    if not isinstance(value, str):
        raise ValueError(f"its package.json has {value!r} as {key}")
    return value


def _checked(given: Given, name: str | None) -> str:
    """The package's name or version, which names a folder and stands in a command line."""
    if name is None or not _NAME.fullmatch(name):
        raise HooksError(_damaged(given, f"it says that its name or version is {name!r}"))
    return name


def _damaged(given: Given, how: str) -> str:
    return f"{given.path} is damaged: {how}; make it again, or copy it again"


def _first(error: Exception) -> str:
    """The first line of an error; a KeyError's text is the missing key alone."""
    text = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    if text == "File is not a zip file":  # what is asked last
        text = "it is neither a zip nor a tar archive, or cut off"
    return text.strip().partition("\n")[0][:300] or type(error).__name__
