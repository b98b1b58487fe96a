import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafleet.whole_files import replacing, sync, write_whole

OLD = "the old content"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "state.json"
    path.write_text(OLD)
    return path


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def run(program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-c", f"from pathlib import Path\nimport sys\n{program}", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def hidden_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".")]


@given(content=st.text(st.characters(exclude_categories=["Cs"])) | st.binary())
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_what_is_read(content: str | bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("whole", numbered=True) / "file"
    write_whole(path, content, durable=False)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize(
    ("on_limit", "ends"), [("SIG_DFL", "killed"), ("SIG_IGN", "refused")], ids=["killed in the middle", "the disk refuses"]
)
def test_a_write_that_ends_in_the_middle_leaves_the_old_file(target: Path, on_limit: str, ends: str) -> None:
    done = run(
        "import resource, signal\n"
        "from lorafleet.whole_files import write_whole\n"
        f"signal.signal(signal.SIGXFSZ, signal.{on_limit})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "write_whole(Path(sys.argv[1]), bytes(1 << 20))",
        target,
    )
    assert target.read_text() == OLD
    if ends == "killed":
        assert done.returncode < 0, done.stderr
        assert [path.stat().st_size for path in hidden_in(target.parent)] == [4096]
    else:
        assert f"[Errno {errno.EFBIG}]" in done.stderr
        assert hidden_in(target.parent) == []


def test_what_a_killed_process_left_goes_when_it_is_a_day_old(target: Path) -> None:
    program = (
        "import os, signal\n"
        "from lorafleet.whole_files import replacing\n"
        "with replacing(Path(sys.argv[1])) as hidden:\n"
        "    hidden.write_text('half of it')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    run(program, target)
    run(program, target)
    aged, fresh = hidden_in(target.parent)
    neighbour = target.with_name(".somebody-else's")
    neighbour.touch()
    for path in (aged, neighbour):
        os.utime(path, (time.time() - 25 * 3600,) * 2)
    write_whole(target, "new")
    assert target.read_text() == "new"
    assert set(hidden_in(target.parent)) == {fresh, neighbour}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_middle_leaves_the_old_file_and_no_other(target: Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with replacing(target) as hidden:
            hidden.write_text("half of it")
            raise error

    with pytest.raises(error):
        interrupted()
    assert target.read_text() == OLD
    assert os.listdir(target.parent) == ["state.json"]


def test_a_target_that_cannot_be_replaced_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "folder", "text")
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "file", "text")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.usefixtures("umask")
def test_a_new_file_has_its_mode_and_not_the_old_ones(target: Path) -> None:
    target.chmod(0o640)
    write_whole(target, "anyone's")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    write_whole(target, "mine", mode=0o600)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_link_is_replaced_and_what_it_leads_to_is_left(target: Path) -> None:
    link = target.with_name("link")
    link.symlink_to(target)
    write_whole(link, "new")
    assert (target.read_text(), link.read_text(), link.is_symlink()) == (OLD, "new", False)


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_whole(path, "new")
    assert path.read_text() == "new"


def test_readers_see_whole_files_while_many_write(target: Path) -> None:
    contents = {str(number) * 200_000 for number in range(6)}

    def write_often(content: str) -> None:
        for _ in range(10):
            write_whole(target, content, durable=False)

    writers = [threading.Thread(target=write_often, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(target.read_text())
    for writer in writers:
        writer.join()
    assert seen <= {OLD, *contents}
    assert target.read_text() in contents
    assert os.listdir(target.parent) == ["state.json"]


@pytest.mark.usefixtures("umask")
def test_the_bytes_reach_the_disk_before_the_name_and_the_name_before_the_call_returns(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, synced = os.fsync, []

    def watched(descriptor: int) -> None:
        status = os.fstat(descriptor)
        what = "folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes, {stat.S_IMODE(status.st_mode):o}"
        synced.append((what, target.read_text()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_whole(target, "new", mode=0o600)
    assert synced == [("3 bytes, 600", OLD), ("folder", "new")]
    synced.clear()
    write_whole(target, "newer", durable=False)
    assert synced == []
    assert target.read_text() == "newer"


def test_a_file_system_that_syncs_no_folders_is_no_error_and_a_broken_disk_is(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = errno.EINVAL

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    write_whole(target, "new")
    assert target.read_text() == "new"
    number = errno.EIO
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync(target.parent)
