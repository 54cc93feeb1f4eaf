"""What somebody uploads: a wagon, a wheel, an sdist or a source folder, and the package in it.

Owns what makes it no plugin, or none for this machine. It installs nothing. upload.py has it read what
it makes a plugin of.
"""

from __future__ import annotations

import email.parser
import gzip
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from listener.errors import HooksError, ProgramFailed
from listener.interpreters.plugins.definition import PluginYaml

COMMON = "cloudify-common"
"""The distribution that holds the package `cloudify`."""

_WAGON = "wagon>=1.0.3,<2"
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")

_DAMAGE = (EOFError, IndexError, RuntimeError, ValueError, gzip.BadGzipFile, tarfile.TarError,
           zipfile.BadZipFile, zlib.error)  # fmt: skip
"""What the standard library and wagon raise for a file that is no archive, or not a whole one."""


class Given(NamedTuple):
    """What the command line names; `file` is None for a folder.

    The file is open: root opens it before it takes on the rights of the state directory's owner.
    """

    path: str
    file: BinaryIO | None
    plugin_yaml: PluginYaml | None = None


class Package(NamedTuple):
    """What pip is to install. `wheels` is a wagon's own folder of wheels, which needs no other source.

    `carries_common`: cloudify-common is in there, too. `platform` is what a wagon was made for.
    """

    name: str
    version: str
    requirement: str
    plugin_yaml: PluginYaml | None
    wheels: str | None = None
    carries_common: bool = False
    platform: str = "any"


def read(given: Given, scratch: str, build: Callable[[str, str], None]) -> Package:
    """The package in what was given, unpacked below the empty folder `scratch`.

    `build(source, folder)` makes a wheel of a source folder. Raises HooksError when there is none.
    """
    file = given.file
    if file is None:
        source = os.path.join(scratch, "source")
        _copy(given, source)  # a build leaves files behind
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
    raise HooksError(_unread(given, "it has neither a wagon's package.json nor an sdist's PKG-INFO"))


def _copy(given: Given, target: str) -> None:
    if os.path.realpath(target).startswith(os.path.join(os.path.realpath(given.path), "")):
        raise HooksError(f"{given.path} holds the state directory; name a folder that does not")
    try:
        shutil.copytree(given.path, target, symlinks=True)
    except OSError as error:
        why = error.args[0][0][-1] if isinstance(error, shutil.Error) else error
        raise HooksError(
            f"{given.path} cannot be copied: {why}; correct that, or upload an sdist"
        ) from error


def _of_wagon(given: Given, top: str) -> Package:
    wheels = os.path.join(top, "wheels")
    try:
        with open(os.path.join(top, "package.json"), "rb") as file:
            metadata = json.load(file)
        name, version, platform = (
            str(metadata[key]) for key in ("package_name", "package_version", "supported_platform")
        )
    except (KeyError, TypeError, *_DAMAGE) as error:
        raise HooksError(_unread(given, _reason(error))) from error
    carried = os.listdir(wheels) if os.path.isdir(wheels) else []
    return Package(
        _checked(given, name),
        _checked(given, version),
        f"{name}=={version}",
        given.plugin_yaml or PluginYaml.in_folder(os.path.join(top, "files"), given.path),
        wheels,
        any(wheel.lower().replace("-", "_").startswith("cloudify_common_") for wheel in carried),
        platform,
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
            [name] = filter(_METADATA.fullmatch, archive.namelist())
            metadata = email.parser.BytesParser().parsebytes(archive.read(name), headersonly=True)
    except _DAMAGE as error:
        raise HooksError(_unread(given, _reason(error))) from error
    return Package(
        _checked(given, metadata["Name"]), _checked(given, metadata["Version"]), wheel, plugin_yaml
    )


def _unpacked(given: Given, archive: str, scratch: str) -> str:
    """The folder that a wagon or an sdist consists of, unpacked below `scratch`."""
    wagon = _wagon()
    before, tempfile.tempdir = tempfile.tempdir, scratch  # where it unpacks
    try:
        _read_to_end(archive)
        return str(wagon.get_source(archive))
    except (wagon.WagonError, *_DAMAGE) as error:
        raise HooksError(_unread(given, _reason(error))) from error
    finally:
        tempfile.tempdir = before


def _wagon() -> Any:
    """The package that unpacks wagons, and sdists as well."""
    try:
        import wagon
    except ImportError as error:
        raise HooksError(
            f"{sys.executable} cannot import wagon, which unpacks what is uploaded: {error};"
            f" {sys.executable} -m pip install '{_WAGON}', or upload a wheel or a source folder"
        ) from error
    wagon.logger.handlers.clear()  # it logs on stdout, where the answers go
    # Nothing is written elsewhere, and all can be read; Pythons before 3.11.4 may lack the filter.
    data_filter: Any = getattr(tarfile, "data_filter", None)
    tarfile.TarFile.extraction_filter = staticmethod(data_filter)
    return wagon


def _read_to_end(archive: str) -> None:
    """Raise one of _DAMAGE for a tar archive that is not whole. A zip's sums are left to wagon."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            tar.getmembers()
            while tar.fileobj and tar.fileobj.read(1 << 20):
                continue  # a damaged member looks like the last one, but for the sum at the end


def _checked(given: Given, name: str | None) -> str:
    """The package's name or version, which names a folder and stands in a command line."""
    if name is None or not _NAME.fullmatch(name):
        raise HooksError(_unread(given, f"it says that its name or version is {name!r}"))
    return name


def _unread(given: Given, reason: str) -> str:
    return (
        f"{given.path} cannot be read as a plugin: {reason}; upload a whole wagon (.wgn), wheel or"
        " sdist, or a source folder"
    )


def _reason(error: Exception) -> str:
    """A KeyError's text is the missing key alone."""
    text = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    return text.strip().partition("\n")[0][:300] or type(error).__name__
