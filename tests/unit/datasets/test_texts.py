import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafleet.contracts.problems import DataError, NoInputError
from lorafleet.datasets.findings import Code, Severity
from lorafleet.datasets.texts import Message, TextSample, read_text_set


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_the_shapes_of_rows(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "text", "text": "ho"}]}]
    shared = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]
    path = jsonl(
        tmp_path / "set.jsonl",
        {"text": "one\u2028two"},
        {"prompt": "2+2=", "completion": "4"},
        {"instruction": "Add.", "input": "2 2", "output": "4"},
        {"messages": chat},
        {"conversations": shared, "system": "be kind"},
    )
    turns = (Message("user", "hi"), Message("assistant", "ho"))
    text_set = read_text_set(path)
    assert text_set.findings == ()
    one, two, three, four, five = text_set.samples
    assert one == TextSample("text", "set.jsonl:1", text="one\u2028two")
    assert two == TextSample("completion", "set.jsonl:2", prompt="2+2=", completion="4")
    assert (three.kind, three.completion) == ("completion", "4")
    assert three.prompt.endswith("### Instruction:\nAdd.\n\n### Input:\n2 2\n\n### Response:")
    assert four == TextSample("messages", "set.jsonl:4", messages=turns)
    assert five == TextSample("messages", "set.jsonl:5", messages=(Message("system", "be kind"), *turns))
    assert text_set.where(two) == f"{path}:2"


def test_csv_and_json_lists(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,completion\nhello,"a, b"\n\nlast,row\n')
    (tmp_path / "b.json").write_text(json.dumps([{"instruction": "Say hi.", "output": "hi"}]))
    text_set = read_text_set(tmp_path)
    assert [sample.name for sample in text_set.samples] == ["a.csv:2", "a.csv:4", "b.json:1"]
    assert text_set.samples[0].completion == "a, b"
    assert "### Input" not in text_set.samples[2].prompt


def test_paragraphs_of_plain_text(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes(b"\r\nfirst\r\n  line two\r\n \t\r\n\r\nsecond\r\n")
    (tmp_path / ".hidden.txt").write_text("no")
    assert read_text_set(tmp_path).samples == (
        TextSample("text", "book.txt:2", text="first\n  line two"),
        TextSample("text", "book.txt:6", text="second"),
    )


@given(st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1), min_size=1), st.data())
def test_every_paragraph_is_found_on_its_line(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], data: st.DataObject
) -> None:
    text = ""
    lines = []
    for word in words:
        lines.append(text.count("\n") + 1)
        text += word + data.draw(st.sampled_from(["\n\n", "\n \n\n", "\r\n\t\r\n"]))
    path = tmp_path_factory.getbasetemp() / "words.txt"
    path.write_bytes(text.encode("utf-8"))
    samples = read_text_set(path).samples
    assert [(sample.text, sample.name) for sample in samples] == [
        (word, f"words.txt:{line}") for word, line in zip(words, lines, strict=True)
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"title": "x"}, "expected 'text'"),
        ({"text": 5}, "'text' must be text, found int"),
        ({"messages": []}, "a conversation is a list"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "unknown role 'narrator'"),
        ({"messages": ["hi"]}, "turn 1 is not an object"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "other than text"),
        ({"messages": [{"role": "user"}]}, "turn 1 has no text"),
        ({"prompt": "x", "completion": None}, "expected 'text'"),
        ("text", "expected an object"),
    ],
)
def test_bad_rows_are_errors_with_their_line(tmp_path: Path, row: object, words: str) -> None:
    path = jsonl(tmp_path / "set.jsonl", {"text": "good"}, row)
    text_set = read_text_set(path)
    assert len(text_set.samples) == 1
    (finding,) = text_set.findings
    assert (finding.code, finding.severity, finding.where) == (Code.BAD_ROW, Severity.ERROR, f"{path}:2")
    assert words in finding.message


def test_empty_rows_are_passed_over_with_a_warning(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "set.jsonl", {"text": " "}, {"prompt": "", "completion": "x"}, {"prompt": "x", "completion": ""})
    text_set = read_text_set(path)
    assert [sample.name for sample in text_set.samples] == ["set.jsonl:2"]
    assert [(finding.code, finding.severity) for finding in text_set.findings] == [(Code.EMPTY_TEXT, Severity.WARNING)] * 2


def test_json_that_is_no_list_or_no_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": "x"}')
    (tmp_path / "b.json").write_text('[{"text": "x"},\n oops]')
    (tmp_path / "c.jsonl").write_text("[" * 100_000)
    (tmp_path / "d.json").write_text("")
    where = {finding.where for finding in read_text_set(tmp_path).findings if finding.severity is Severity.ERROR}
    names = ("a.json", "b.json:2", "c.jsonl:1", "d.json")
    assert where == {str(tmp_path / name) for name in names}


def test_what_cannot_be_a_text_set(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="no such file or folder"):
        read_text_set(tmp_path / "nope")
    (tmp_path / "a.parquet").touch()
    with pytest.raises(DataError, match="text sets are read from"):
        read_text_set(tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_bytes(b"\xff\xff\x00")
    with pytest.raises(DataError, match="neither UTF-8 nor GBK"):
        read_text_set(tmp_path / "a.txt")
