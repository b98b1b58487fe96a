import pytest

from trainer.tiny.stable_diffusion import TinyBase, make_sd15, make_sdxl


@pytest.fixture(scope="session")
def tiny_sd15(tmp_path_factory: pytest.TempPathFactory) -> TinyBase:
    return make_sd15(tmp_path_factory.mktemp("sd15"))


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> TinyBase:
    return make_sdxl(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(params=["sd15", "sdxl"])
def tiny(request: pytest.FixtureRequest) -> tuple[str, TinyBase]:
    """The family's name and its tiny base."""
    base: TinyBase = request.getfixturevalue(f"tiny_{request.param}")
    return request.param, base
