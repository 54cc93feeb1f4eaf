"""What is uploaded: archives that are whole, damaged or hostile."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from listener.errors import HooksError, ProgramFailed
from listener.interpreters.plugins.definition import PluginYaml
from listener.interpreters.plugins.source import Given, Package, read
from tests.wagons import Made

METADATA = {"package_name": "tried", "package_version": "1.0", "supported_platform": "any"}
WHEEL = "tried/wheels/tried-1.0-py3-none-any.whl"
FILES = {"tried/package.json": json.dumps(METADATA), WHEEL: "", "tried/files/plugin.yaml": "plugins:"}
REQUIRED = "Name: tried\nVersion: 1.0\n"

Pack = Callable[[Path, Mapping[str, str]], Path]


def no_build(source: str, folder: str) -> None:
    pytest.fail(f"{source} was built into {folder}")


def reading(path: Path, scratch: Path, plugin_yaml: PluginYaml | None = None) -> Package:
    scratch.mkdir(exist_ok=True)
    with path.open("rb") as file:
        return read(Given(str(path), file, plugin_yaml), str(scratch), no_build)


def zipped(path: Path, files: Mapping[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: Mapping[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return path


packed = pytest.mark.parametrize("pack", [zipped, tarred])


def refused(path: Path, scratch: Path) -> str:
    with pytest.raises(HooksError) as caught:
        reading(path, scratch)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


@packed
def test_a_wagon_is_read_from_both_kinds_of_archive(pack: Pack, tmp_path: Path) -> None:
    path = pack(tmp_path / "x.wgn", FILES)
    package = reading(path, tmp_path / "scratch")
    [wheel] = (tmp_path / "scratch").rglob("tried/wheels/*")
    plugin_yaml = PluginYaml(f"plugin.yaml in {path}", b"plugins:")
    assert package == Package("tried", "1.0", "tried==1.0", plugin_yaml, str(wheel.parent))
    assert not Path(tempfile.gettempdir()).is_relative_to(tmp_path)  # where it was


def test_a_wagon_of_the_real_tool_is_read(made: Made, tmp_path: Path) -> None:
    package = reading(made.wagon_of_the_tool("tried"), tmp_path / "scratch")
    assert package[:3] == ("tried", "1.0", "tried==1.0")
    assert package.plugin_yaml is not None
    package.plugin_yaml.check("tried", "1.0")
    assert package.wheels is not None
    assert os.listdir(package.wheels) == ["tried-1.0-py3-none-any.whl"]


def test_a_plugin_yaml_on_the_command_line_and_a_cloudify_common_of_its_own_count(
    tmp_path: Path,
) -> None:
    named = PluginYaml("named.yaml", b"")
    more = {**FILES, "tried/wheels/cloudify_common-7.0.5-py3-none-any.whl": ""}
    package = reading(zipped(tmp_path / "x.wgn", more), tmp_path / "scratch", named)
    assert package.plugin_yaml is named
    assert package.carries_common


UNREAD = " cannot be read as a plugin: "


def metadata(**changed: object) -> dict[str, str]:
    return {**FILES, "tried/package.json": json.dumps({**METADATA, **changed})}


@packed
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({**FILES, "tried/package.json": "{"}, f"{UNREAD}Expecting property name"),
        ({**FILES, "tried/package.json": "[]"}, f"{UNREAD}list indices must be"),
        (
            {**FILES, "tried/package.json": "{}"},
            f"{UNREAD}it has no 'package_name'; upload a whole wagon",
        ),
        (metadata(package_name="../up"), f"{UNREAD}it says that its name or version is '../up'"),
        (metadata(package_name="-rx"), f"{UNREAD}it says that its name or version is '-rx'"),
        (metadata(package_version="1 @ http://x"), f"{UNREAD}it says that its name or version is"),
        (metadata(package_version=".."), f"{UNREAD}it says that its name or version is '..'"),
        ({"file": ""}, f"{UNREAD}list index out of range"),
        ({"tried/x": ""}, f"{UNREAD}it has neither a wagon's package.json nor an sdist's"),
        ({"tried/PKG-INFO": ""}, " has neither a pyproject.toml nor a setup.py"),
    ],
)
def test_what_is_no_plugin_is_refused_with_the_reason(
    pack: Pack, files: dict[str, str], reason: str, tmp_path: Path
) -> None:
    assert refused(pack(tmp_path / "x.wgn", files), tmp_path / "scratch").startswith(reason)


def test_nothing_is_written_outside_of_the_scratch_folder(tmp_path: Path) -> None:
    evil = {**FILES, "../../../evil": "", f"{tmp_path}/worse": ""}
    reading(zipped(tmp_path / "x.wgn", evil), tmp_path / "zip")
    if hasattr(tarfile, "data_filter"):
        reason = refused(tarred(tmp_path / "y.wgn", {**FILES, "../../../evil": ""}), tmp_path / "tar")
        assert " would be extracted to " in reason
    assert {path.name for path in tmp_path.iterdir()} - {"tar", "y.wgn"} == {"x.wgn", "zip"}


@packed
def test_an_archive_that_was_cut_or_altered_anywhere_is_refused(pack: Pack, tmp_path: Path) -> None:
    data = pack(tmp_path / "x.wgn", {**FILES, WHEEL: os.urandom(3000).hex()}).read_bytes()
    step = len(data) // 20
    damaged = [data[:size] for size in range(0, len(data) - 20, step)]
    for place in range(len(data) // 3, len(data) - 1000, step):
        damaged.append(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    for number, content in enumerate(damaged):
        (tmp_path / "y.wgn").write_bytes(content)
        assert refused(tmp_path / "y.wgn", tmp_path / str(number)).startswith(UNREAD)


def test_a_wheel_needs_no_wagon_and_a_wagon_without_it_says_what_to_do(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wagon", None)
    wheel = made.wheel("tried", "1.9")
    package = reading(wheel, tmp_path / "scratch")
    [copy] = (tmp_path / "scratch").rglob(wheel.name)
    assert package == Package("tried", "1.9", str(copy), None)
    assert copy.read_bytes() == wheel.read_bytes()
    with pytest.raises(HooksError, match=r"wagon>=1\.0\.3,<2', or upload a wheel or a source folder$"):
        reading(zipped(tmp_path / "x.wgn", FILES), tmp_path / "scratch")


@pytest.mark.parametrize(
    "files",
    [{}, {"a-1.dist-info/METADATA": REQUIRED, "b-1.dist-info/METADATA": REQUIRED},
     {"a-1.dist-info/METADATA": "Name: tried\n"}, {"a-1.dist-info/METADATA": "Name: ../x\nVersion: 1"}],
)  # fmt: skip
def test_a_wheel_without_a_name_and_a_version_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    path = zipped(tmp_path / "tried-1.0-py3-none-any.whl", files)
    assert refused(path, tmp_path / "scratch").startswith(UNREAD)


def test_a_source_folder_that_cannot_be_copied_is_refused(made: Made, tmp_path: Path) -> None:
    source = shutil.copytree(made.source("tried"), tmp_path / "source")
    (source / "state").mkdir()
    with pytest.raises(HooksError, match=rf"^{source} holds the state directory; name a folder that"):
        read(Given(str(source), None), str(source / "state"), no_build)
    os.mkfifo(source / "pipe")
    for path, why in ((source, f"`{source}/pipe` is a named pipe"), ("/none", ".*No such file")):
        with pytest.raises(HooksError, match=rf"^{path} cannot be copied: {why}"):
            read(Given(str(path), None), str(tmp_path / "scratch"), no_build)


@pytest.mark.parametrize("is_sdist", [False, True])
def test_a_source_folder_or_an_sdist_is_built_from_a_copy(
    made: Made, tmp_path: Path, is_sdist: bool
) -> None:
    source, wheel = made.source("tried"), made.wheel("tried")
    given = Given(str(source), None)
    if is_sdist:
        sdist = tmp_path / "tried-1.0.tar.gz"
        with tarfile.open(sdist, "w:gz") as archive:
            archive.add(source, "tried-1.0")
            archive.addfile(tarfile.TarInfo("tried-1.0/PKG-INFO"))
        given = Given(str(sdist), sdist.open("rb"))

    def build(copy: str, folder: str) -> None:
        assert copy != str(source)
        assert (Path(copy) / "setup.py").read_text() == (source / "setup.py").read_text()
        Path(folder).mkdir()
        (Path(folder) / wheel.name).write_bytes(wheel.read_bytes())

    with given.file or nullcontext():
        package = read(given, str(tmp_path), build)
    assert package[:3] == ("tried", "1.0", str(tmp_path / "built" / wheel.name))
    assert package.plugin_yaml is not None
    assert package.plugin_yaml.where == f"plugin.yaml in {given.path}"


def test_a_source_that_cannot_be_built_is_refused_with_pips_reason(made: Made, tmp_path: Path) -> None:
    def build(_source: str, _folder: str) -> None:
        raise ProgramFailed("invalid command")

    with pytest.raises(HooksError, match=r"tried cannot be built: invalid command; correct it, or"):
        read(Given(str(made.source("tried")), None), str(tmp_path), build)
