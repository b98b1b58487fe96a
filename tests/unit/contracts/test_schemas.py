import json
from pathlib import Path

import jsonschema
import pytest

from lorafleet.contracts import schemas
from lorafleet.contracts.outcomes import ExitCode
from lorafleet.contracts.problems import StorageError, UsageError
from lorafleet.contracts.training import TrainingConfig, from_mapping

DOCS = Path(__file__).parents[3] / "docs"
AGAIN = "run: python -m lorafleet.contracts.schemas docs"


@pytest.mark.parametrize("name", schemas.render())
def test_the_committed_file_is_the_generated_one(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == schemas.render()[name], AGAIN


def test_no_generated_file_is_left_over() -> None:
    found = {path.relative_to(DOCS).as_posix() for path in (DOCS / "schemas").iterdir()}
    assert found == {name for name in schemas.render() if name.startswith("schemas/")}


@pytest.mark.parametrize("model", schemas.MODELS, ids=lambda model: model.__name__)
def test_each_is_a_json_schema_that_refuses_unknown_keys(model: type) -> None:
    schema = json.loads(schemas.render()[f"schemas/{schemas._kebab(model.__name__)}.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False


def test_a_real_configuration_fits_its_schema_and_a_wrong_one_does_not() -> None:
    schema = json.loads(schemas.render()["schemas/training-config.json"])
    config = from_mapping({"train_data_dir": "data", "base_model": "base.safetensors", "output_dir": "out", "lora_rank": 16})
    values = config.model_dump(mode="json")
    jsonschema.validate(values, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "lora_rnk": 8}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "lora_rank": 0}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "resolution": 1}, schema)


def test_no_bound_is_written_under_a_name_that_json_schema_does_not_know() -> None:
    for text in schemas.render().values():
        assert not {'"ge":', '"gt":', '"le":', '"lt":'} & set(text.split())


def test_the_page_has_one_row_for_each_key() -> None:
    page = schemas.render()["training-config.md"]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(TrainingConfig.model_fields)
    assert "| `learning_rate` | number > 0 | `0.0002` | Peak learning rate. |" in rows
    assert "must be given" in next(row for row in rows if "`base_model`" in row)
    for row in rows:
        assert row.replace("\\|", "").count("|") == 5, row


def test_writing_gives_the_rendered_files_and_nothing_else(tmp_path: Path) -> None:
    paths = schemas.write(tmp_path, {})
    assert {path.relative_to(tmp_path).as_posix(): path.read_text(encoding="utf-8") for path in paths} == schemas.render()
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(paths)


def test_ci_never_renews_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="CI"):
        schemas.write(tmp_path, {"CI": "true"})
    monkeypatch.setenv("CI", "1")
    assert schemas.main([str(tmp_path)]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("error: generated files are not renewed")
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert schemas.main([]) == ExitCode.USAGE
    assert "name one folder" in capsys.readouterr().err
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        schemas.write(blocked, {})
