"""What is uploaded: archives that are whole, damaged, hostile, or for another machine."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from listener.errors import HooksError, ProgramFailed
from listener.interpreters.plugins.definition import PluginYaml
from listener.interpreters.plugins.source import Given, Package, misfit, read
from tests.interpreters.plugins.uploads import Made

METADATA = {
    "package_name": "tried",
    "package_version": "1.0",
    "supported_platform": "any",
    "supported_python_versions": ["py36", "py311"],
    "python_requires": ">=3.6",
    "wheels": ["tried-1.0-py3-none-any.whl"],
}
WHEEL = "tried/wheels/tried-1.0-py3-none-any.whl"
FILES = {"tried/package.json": json.dumps(METADATA), WHEEL: "", "tried/files/plugin.yaml": "plugins:"}
REQUIRED = "Name: tried\nVersion: 1.0\n"


def no_build(source: str, folder: str) -> None:
    pytest.fail(f"{source} was built into {folder}")


def reading(path: Path, scratch: Path, **more: PluginYaml) -> Package:
    scratch.mkdir(exist_ok=True)
    with path.open("rb") as file:
        return read(Given(str(path), file, **more), str(scratch), no_build)


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: Mapping[str, str], *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
        for info in members:
            archive.addfile(info)
    return path


def refused(path: Path, scratch: Path) -> str:
    with pytest.raises(HooksError) as caught:
        reading(path, scratch)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_wagon_is_read_from_both_kinds_of_archive(pack: object, tmp_path: Path) -> None:
    path = (zipped if pack is zipped else tarred)(tmp_path / "x.wgn", FILES)
    package = reading(path, tmp_path / "scratch")
    [wheel] = (tmp_path / "scratch").rglob("tried/wheels/*")
    plugin_yaml = PluginYaml(f"plugin.yaml in {path}", b"plugins:")
    wheels = str(wheel.parent)
    assert package == Package(
        "tried", "1.0", "tried==1.0", plugin_yaml, wheels, False, "any", ">=3.6", "py36, py311"
    )
    assert not Path(tempfile.gettempdir()).is_relative_to(tmp_path)  # where it was


def test_a_wagon_of_the_real_tool_is_read(made: Made, tmp_path: Path) -> None:
    package = reading(made.wagon("tried"), tmp_path / "scratch")
    assert package[:3] == ("tried", "1.0", "tried==1.0")
    assert package.plugin_yaml is not None
    package.plugin_yaml.check("tried", "1.0")
    assert package.wheels is not None
    assert os.listdir(package.wheels) == ["tried-1.0-py3-none-any.whl"]


def test_the_plugin_yaml_that_was_named_comes_first(tmp_path: Path) -> None:
    named = PluginYaml("named.yaml", b"")
    path = zipped(tmp_path / "x.wgn", FILES)
    assert reading(path, tmp_path / "scratch", plugin_yaml=named).plugin_yaml is named


def test_a_wagon_tells_whether_it_carries_cloudify_common(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "x.wgn", {**FILES, "tried/wheels/cloudify_common-7.0.5-py3-none-any.whl": ""}
    )
    assert reading(path, tmp_path / "scratch").carries_common


def metadata(**changed: object) -> dict[str, str]:
    return {**FILES, "tried/package.json": json.dumps({**METADATA, **changed})}


def without(key: str) -> dict[str, str]:
    return {**FILES, "tried/package.json": json.dumps({k: v for k, v in METADATA.items() if k != key})}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({**FILES, "tried/package.json": "{"}, " is damaged: Expecting property name"),
        ({**FILES, "tried/package.json": "[]"}, " is damaged: list indices must be"),
        (
            without("package_name"),
            " is damaged: it has no 'package_name'; make it again, or copy it ag",
        ),
        (without("wheels"), " is damaged: it has no 'wheels'"),
        (metadata(package_version=1.0), " is damaged: its package.json has 1.0 as package_version"),
        (metadata(package_name="../up"), " is damaged: it says that its name or version is '../up'"),
        (metadata(package_name="-rx"), " is damaged: it says that its name or version is '-rx'"),
        (metadata(package_version="1 @ http://x"), " is damaged: it says that its name or version is"),
        (metadata(package_version=".."), " is damaged: it says that its name or version is '..'"),
        (metadata(wheels=["a.whl"]), " is damaged: the wheel a.whl is missing"),
        (metadata(wheels=[["a"], 1]), " is damaged: the wheel 1 is missing"),
        (metadata(wheels=1), " is damaged: 'int' object is not iterable"),
        (metadata(supported_python_versions=3), " is damaged: 'int' object is not iterable"),
        (
            {"tried/package.json": json.dumps(METADATA)},
            " is damaged: the wheel tried-1.0-py3-none-any.whl is missing",
        ),
        ({**FILES, "other/x": ""}, " is damaged: it does not consist of one folder"),
        ({}, " is damaged: it does not consist of one folder"),
        (
            {"tried/x": ""},
            " is no plugin: it has neither a wagon's package.json nor an sdist's PKG-INFO",
        ),
        ({"tried/PKG-INFO": ""}, " has neither a pyproject.toml nor a setup.py"),
        ({"../evil": ""}, " is damaged: it would write outside of its folder, to '../evil'"),
        ({"tried/../../evil": ""}, " is damaged: it would write outside of its folder"),
        ({"/evil": ""}, " is damaged: it would write outside of its folder, to '/evil'"),
    ],
)
def test_what_is_no_plugin_is_refused_with_the_reason(
    files: dict[str, str], reason: str, tmp_path: Path
) -> None:
    for path in (zipped(tmp_path / "x.wgn", files), tarred(tmp_path / "y.wgn", files)):
        scratch = tmp_path / path.stem
        assert refused(path, scratch).startswith(reason)
        assert not list(tmp_path.rglob("evil"))


def link(name: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = "/etc"
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused_and_folders_taken(kind: bytes, tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.wgn", FILES, link("tried/files/", tarfile.DIRTYPE))
    assert reading(path, tmp_path / "scratch").name == "tried"
    path = tarred(tmp_path / "y.wgn", FILES, link("tried/evil", kind))
    reason = refused(path, tmp_path / "other")
    assert reason.startswith(" is damaged: 'tried/evil' is neither a file nor a folder")


def test_a_zip_with_folders_of_its_own_is_taken(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.wgn", {"tried/": "", "tried/files/": "", **FILES})
    assert reading(path, tmp_path / "scratch").name == "tried"


def test_what_an_archive_lets_nobody_read_is_readable_once_it_is_unpacked(tmp_path: Path) -> None:
    locked = tarfile.TarInfo("tried/files/locked")
    locked.mode = 0
    path = tarred(tmp_path / "x.wgn", FILES, locked)
    reading(path, tmp_path / "scratch")
    [unpacked] = (tmp_path / "scratch").rglob("locked")
    assert not hasattr(tarfile, "data_filter") or unpacked.stat().st_mode & 0o600 == 0o600


def test_wagon_that_is_missing_is_named_with_what_to_do_and_a_wheel_needs_none(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wagon", None)
    path = zipped(tmp_path / "x.wgn", FILES)
    with pytest.raises(HooksError) as caught:
        reading(path, tmp_path / "scratch")
    assert str(caught.value) == (
        f"{sys.executable} cannot import wagon, which unpacks what is uploaded: import of wagon halted;"
        f" None in sys.modules; {sys.executable} -m pip install 'wagon>=1.0.3,<2', or upload a wheel or"
        " a source folder"
    )
    assert reading(made.wheel("tried"), tmp_path / "scratch").name == "tried"


@pytest.mark.parametrize("pack", ["zip", "tar"])
def test_an_archive_that_was_cut_or_altered_anywhere_is_refused(pack: str, tmp_path: Path) -> None:
    files = {**FILES, WHEEL: os.urandom(3000).hex()}
    whole = (zipped if pack == "zip" else tarred)(tmp_path / "x.wgn", files)
    data = whole.read_bytes()
    cut = tmp_path / "cut.wgn"
    for number, size in enumerate(range(0, len(data) - 20, len(data) // 20)):
        cut.write_bytes(data[:size])
        assert " is damaged: " in refused(cut, tmp_path / str(number))
    for number, place in enumerate(range(len(data) // 3, len(data) - 1000, len(data) // 20)):
        cut.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert " is damaged: " in refused(cut, tmp_path / f"altered {number}")


@pytest.mark.parametrize("content", [b"", b"not what it was\n" * 100])
def test_what_is_no_archive_is_told_to_be_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.wgn"
    path.write_bytes(content)
    reason = " is damaged: it is neither a zip nor a tar archive, or cut off; make it again,"
    assert refused(path, tmp_path / "scratch").startswith(reason)


def test_a_wheel_is_known_by_its_metadata(made: Made, tmp_path: Path) -> None:
    wheel = made.wheel("tried", "1.9")
    package = reading(wheel, tmp_path / "scratch")
    [copy] = (tmp_path / "scratch").rglob(wheel.name)
    assert package == Package("tried", "1.9", str(copy), None)
    assert copy.read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize(
    "files",
    [{}, {"a-1.dist-info/METADATA": REQUIRED, "b-1.dist-info/METADATA": REQUIRED},
     {"a-1.dist-info/METADATA": "Name: tried\n"}, {"a-1.dist-info/METADATA": "Name: ../x\nVersion: 1"}],
)  # fmt: skip
def test_a_wheel_without_a_name_and_a_version_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    path = zipped(tmp_path / "tried-1.0-py3-none-any.whl", files)
    assert refused(path, tmp_path / "scratch").startswith(" is damaged: ")


def test_a_wheel_may_carry_the_metadata_of_what_it_has_taken_in(tmp_path: Path) -> None:
    files = {"tried-1.dist-info/METADATA": REQUIRED, "tried/_vendor/x-1.dist-info/METADATA": "Name: x"}
    wheel = zipped(tmp_path / "tried-1.0-py3-none-any.whl", files)
    assert reading(wheel, tmp_path / "scratch").name == "tried"


@pytest.mark.parametrize("files", [("tried/x", "tried/x"), ("tried/x", "tried/x/y")])
def test_an_archive_with_two_files_at_one_place_is_damaged(
    files: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "x.wgn"
    with tarfile.open(path, "w:gz") as archive:
        for name in files:
            archive.addfile(tarfile.TarInfo(name))
    reason = refused(path, tmp_path / "scratch")
    assert reason.startswith(" is damaged: two of its files are at ")
    assert "tried/x" in reason


def test_a_source_folder_that_cannot_be_copied_is_refused(made: Made, tmp_path: Path) -> None:
    source = shutil.copytree(made.source("tried"), tmp_path / "source")
    os.mkfifo(source / "pipe")
    (tmp_path / "scratch").mkdir()
    with pytest.raises(
        HooksError, match=rf"^{source} cannot be copied: `{source}/pipe` is a named pipe;"
    ):
        read(Given(str(source), None), str(tmp_path / "scratch"), no_build)
    with pytest.raises(HooksError, match=r"^/none cannot be copied: .*No such file or directory"):
        read(Given("/none", None), str(tmp_path / "scratch"), no_build)


def test_a_source_folder_that_holds_the_state_directory_is_refused(made: Made, tmp_path: Path) -> None:
    source = shutil.copytree(made.source("tried"), tmp_path / "source")
    (source / "state").mkdir()
    with pytest.raises(HooksError, match=rf"^{source} holds the state directory; name a folder that"):
        read(Given(str(source), None), str(source / "state"), no_build)


def test_a_source_folder_is_built_from_a_copy(made: Made, tmp_path: Path) -> None:
    source, wheel = made.source("tried"), made.wheel("tried")

    def build(copy: str, folder: str) -> None:
        assert copy != str(source)
        assert (Path(copy) / "setup.py").read_text() == (source / "setup.py").read_text()
        Path(folder).mkdir()
        (Path(folder) / wheel.name).write_bytes(wheel.read_bytes())

    package = read(Given(str(source), None), str(tmp_path), build)
    assert package[:3] == ("tried", "1.0", str(tmp_path / "built" / wheel.name))
    assert package.plugin_yaml is not None
    assert package.plugin_yaml.where == f"plugin.yaml in {source}"


def test_a_source_that_cannot_be_built_is_refused_with_pips_reason(made: Made, tmp_path: Path) -> None:
    def build(_source: str, _folder: str) -> None:
        raise ProgramFailed("invalid command")

    source = made.source("tried")
    with pytest.raises(HooksError, match=r"tried cannot be built: invalid command; correct it, or"):
        read(Given(str(source), None), str(tmp_path), build)


def package(platform: str = "any", python_requires: str = "") -> Package:
    return Package("tried", "1.0", "", None, platform=platform, python_requires=python_requires)


@pytest.mark.parametrize(
    "platform",
    ["any", "linux_x86_64", "manylinux1_x86_64", "manylinux_2_17_x86_64.manylinux2014_x86_64"],
)
def test_platforms_that_fit(platform: str) -> None:
    assert misfit(package(platform=platform), "3.11.7", "x86_64") is None


@pytest.mark.parametrize("platform", ["win32", "linux_aarch64", "macosx_11_0_x86_64", "linux_i686"])
def test_platforms_that_do_not(platform: str) -> None:
    reason = f"it was made for {platform}, and this is linux_x86_64; make it for this machine"
    assert misfit(package(platform=platform), "3.11.7", "x86_64") == reason


@pytest.mark.parametrize(
    ("requires", "is_right"),
    [("", True), (">=3.6,<4", True), ("==3.11.*", True), (">=3.12", False), ("<3,>=2.7", False),
     ("nonsense", True), (">=3.6,!=3.11.7", False)],
)  # fmt: skip
def test_the_python_that_is_required(requires: str, is_right: bool) -> None:
    reason = misfit(package(python_requires=requires), "3.11.7", "x86_64")
    assert (reason is None) == is_right
    assert is_right or str(reason).startswith(f"it requires Python {requires}, and plugins run by Pyth")
