import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lorafleet import __version__
from lorafleet.cli import Commands, main
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.lazy_commands import LazyCommand

HEAVY = ("torch", "diffusers", "transformers", "PIL", "numpy", "rich")


def in_new_process(arguments: list[str], before: str = "", after: str = "") -> subprocess.CompletedProcess[str]:
    program = f"import sys\n{before}\nfrom lorafleet.cli import main\ncode = main(sys.argv[1:])\n{after}\nsys.exit(code)"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def photo(path: Path, side: int = 512, seed: int = 0) -> Path:
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(path)
    return path


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    done = in_new_process(["--help"], after=f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])")
    assert done.returncode == 0
    for name, lazy in Commands.table.items():
        assert f"  {name} " in done.stdout
        assert lazy.help in done.stdout
    assert "loaded: []" in done.stdout


def test_help_of_data_imports_nothing_heavy() -> None:
    done = in_new_process(["data", "check", "--help"], after=f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])")
    assert "--strict" in done.stdout
    assert "loaded: []" in done.stdout


def test_no_command_shows_the_help_and_version_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lorafleet {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dta"], "did you mean 'data'?"),
        (["--foo"], "No such option: --foo"),
        (["data"], "Missing command"),
        (["data", "chekc"], "Did you mean 'check'?"),
        (["data", "check"], "Missing argument 'DIR'"),
        (["data", "check", ".", "--rank", "-1"], "Invalid value for '--rank'"),
        (["data", "check", ".", "--rank", "many"], "Invalid value for '--rank'"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == ExitCode.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


def broken_png(folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing of use")


def cut_jpg(folder: Path) -> None:
    whole = photo(folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])


def empty_csv(folder: Path) -> None:
    (folder / "metadata.csv").touch()


def missing_file(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\ngood.png,x\ngone.png,y\n")


def traversal(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,text\ngood.png,x\n../../etc/passwd.png,y\n")


def no_columns(folder: Path) -> None:
    (folder / "metadata.csv").write_text("name,label\ngood.png,x\n")


def no_images(folder: Path) -> None:
    (folder / "good.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken_png, "bad.png: D102 "),
        (cut_jpg, "cut.jpg: D102 "),
        (empty_csv, "metadata.csv: D001 the file is empty"),
        (missing_file, "metadata.csv:3: D204 'gone.png' is not there"),
        (traversal, "metadata.csv:3: D205 '../../etc/passwd.png' leads out of the folder"),
        (no_columns, "metadata.csv:1: D001 columns 'file_name' and 'text' are needed"),
        (no_images, "D101 there are no images here"),
    ],
)
def test_bad_data_is_one_line_and_code_65(spoil, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    photo(tmp_path / "good.png")
    spoil(tmp_path)
    assert main(["data", "check", str(tmp_path)]) == ExitCode.DATA
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert "1 error" in captured.out
    assert "error:" not in captured.out


def test_a_wrong_path_is_one_line_in_a_real_process(tmp_path: Path) -> None:
    done = in_new_process(["data", "check", str(tmp_path / "nope")])
    assert done.returncode == ExitCode.NO_INPUT
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"error: {tmp_path / 'nope'}: there is no such folder (name the folder that holds the images)"
    ]


def test_gbk_is_read_and_warnings_fail_only_when_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "a.png", 256)
    (tmp_path / "metadata.csv").write_bytes("file_name,text\na.png,一只橘色的猫\n".encode("gbk"))
    assert main(["data", "check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "1 image, 0 errors, 1 warning" in out
    assert "a.png (256x256)" in out
    assert "read as GBK" in out
    assert main(["data", "check", str(tmp_path), "--strict"]) == ExitCode.DATA
    assert "D105" in capsys.readouterr().err


def test_json_report_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        photo(tmp_path / f"{number}.png", seed=number)
    photo(tmp_path / "2.png", seed=1)
    assert main(["data", "check", str(tmp_path), "--json", "--rank", "64"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["histogram"] == {"512x512": 3}
    assert {finding["code"] for finding in report["findings"]} == {"D107", "D201", "D401"}


def test_text_sets_are_recognised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": "y"}\n')
    for arguments in ([str(tmp_path)], [str(tmp_path / "a.jsonl")], [str(tmp_path), "--texts"]):
        assert main(["data", "check", *arguments]) == 0
        assert "2 examples, 0 errors" in capsys.readouterr().out
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"tekst": "y"}\n')
    assert main(["data", "check", str(tmp_path)]) == ExitCode.DATA
    (line,) = capsys.readouterr().err.splitlines()
    assert "a.jsonl:2: D002 " in line


def test_caption_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "a.png")
    assert main(["data", "caption-csv", str(tmp_path), "--caption", "a rug"]) == 0
    assert (tmp_path / "metadata.csv").read_text() == "file_name,text\na.png,a rug\n"
    capsys.readouterr()
    assert main(["data", "caption-csv", str(tmp_path)]) == ExitCode.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert "--force" in line
    assert main(["data", "caption-csv", str(tmp_path), "--force", "--caption", "other"]) == 0
    assert (tmp_path / "metadata.csv").read_text() == "file_name,text\na.png,a rug\n"


def test_a_missing_extra_is_one_line_that_names_it(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    done = in_new_process(["data", "check", str(tmp_path)], before="sys.modules['PIL'] = None")
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr.splitlines() == ["error: 'data' needs PIL, which is not installed (pip install 'lorafleet[datasets]')"]


def test_pillow_says_nothing_on_stderr(tmp_path: Path) -> None:
    Image.new("RGB", (512, 512)).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff\x00\x01garbage")
    done = in_new_process(["data", "check", str(tmp_path)])
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts_of_a_test.py").write_text(
        "from lorafleet.contracts.problems import Preempted, DataError\n"
        "def stop(): raise KeyboardInterrupt\n"
        "def preempt(): raise Preempted('saved at step 7')\n"
        "def two(word: str): raise DataError([*DataError(word).problems, *DataError('line\\nbreak').problems])\n"
        "def heavy(): import package_that_is_not_there.deeply\n"
        "def defect(): from lorafleet.cli import nothing_of_this_name\n"
    )
    (tmp_path / "part_with_imports.py").write_text("import package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("stop", "preempt", "two", "heavy", "defect"):
        monkeypatch.setitem(Commands.table, name, LazyCommand(f"parts_of_a_test:{name}", name, "some"))
    monkeypatch.setitem(Commands.table, "top", LazyCommand("part_with_imports:top", "top", "some"))


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("arguments", "code", "lines"),
    [
        (["stop"], ExitCode.INTERRUPTED, ["stopped: interrupted"]),
        (["preempt"], ExitCode.PREEMPTED, ["stopped: saved at step 7"]),
        (["two", "a\x1b[31mred"], ExitCode.DATA, ["error: a [31mred", "error: line break"]),
        *(
            (
                [name],
                ExitCode.UNAVAILABLE,
                [f"error: '{name}' needs package_that_is_not_there, which is not installed (pip install 'lorafleet[some]')"],
            )
            for name in ("heavy", "top")
        ),
    ],
)
def test_how_commands_may_end(arguments: list[str], code: ExitCode, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.usefixtures("parts")
def test_a_defect_of_our_own_is_not_dressed_up_as_a_missing_extra() -> None:
    with pytest.raises(ImportError, match="nothing_of_this_name"):
        main(["defect"])
