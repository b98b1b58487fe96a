import threading
from pathlib import Path

import pytest

from lorafleet.console.objects.secret_files import load_secret, make_secret
from lorafleet.contracts.problems import ConfigError


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    made = make_secret(path)
    assert len(made) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert make_secret(path) == load_secret(path) == made
    assert [found.name for found in path.parent.iterdir()] == ["secret"]


def test_several_makers_get_the_same(tmp_path: Path) -> None:
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(make_secret(tmp_path / "secret"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


@pytest.mark.parametrize(
    ("mode", "text", "message"),
    [(0o644, "x" * 40, "others may read"), (0o600, "short\n", "fewer than 32"), (0o600, "", "fewer than 32")],
)
def test_a_bad_secret_is_refused(tmp_path: Path, mode: int, text: str, message: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=message) as refused:
        load_secret(path)
    assert "xxxx" not in str(refused.value)


def test_a_missing_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_secret(tmp_path / "secret")
