"""From a text, a completion or a conversation to tokens, and which of them are learned.

Everything is rendered to one string and spans of it that are learned, and tokenized once; tokens are then matched to the spans by the
characters they come from. So a token is never split differently from what the model sees in use, whatever stands before the border.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from jinja2.exceptions import TemplateError, TemplateSyntaxError
from transformers.utils.chat_template_utils import render_jinja_template

from lorafleet.contracts.problems import ConfigError, DataError
from lorafleet.datasets.texts import Message, TextSample
from trainer.families.encodings import key_of

Span = tuple[int, int]

# A template closes a turn with its stop token and perhaps a line break.
_CLOSING_TOKENS = 3
# As transformers looks for it.
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True)
class EncodedText:
    """Token ids, whether each is learned, and whether the text was cut. The first token is never learned: nothing predicts it."""

    ids: Sequence[int]
    targets: Sequence[bool]
    cut: bool


@dataclass(frozen=True)
class TextEncoder:
    """A tokenizer with the settings that decide the tokens.

    ``stop_ids`` are the tokens that end the model's output; ``chat_template`` is Jinja text, or None for models without one.

    Raises:
        ConfigError: the tokenizer cannot say which characters a token comes from, or has no end-of-text token.
    """

    tokenizer: Any
    max_length: int
    completion_only: bool
    chat_template: str | None
    stop_ids: frozenset[int]

    def __post_init__(self) -> None:
        if not self.tokenizer.is_fast:
            raise ConfigError(
                "the model's tokenizer is an old one without tokenizer.json", hint="convert the model folder's tokenizer"
            )
        if self.tokenizer.eos_token_id is None:
            raise ConfigError("the model's tokenizer has no end-of-text token", hint="set eos_token in tokenizer_config.json")

    @property
    def digest(self) -> str:
        """The hash of everything but the texts."""
        vocabulary = sha256(self.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
        special = sorted(self.tokenizer.special_tokens_map.items())
        settings = (self.max_length, self.completion_only, self.chat_template, sorted(self.stop_ids), self._begin)
        return key_of(vocabulary, special, *settings)

    def encode(self, samples: Sequence[TextSample]) -> list[EncodedText]:
        """Encode samples; one whose targets all lie behind ``max_length`` comes back without any.

        Raises:
            ConfigError: the chat template is missing, wrong, or does not show which words are the assistant's.
            DataError: the chat template refuses a conversation.
        """
        rendered = [self._render_sample(sample) for sample in samples]
        tokens = self.tokenizer(
            [text for text, _ in rendered],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        return [
            self._finish(sample, ids, _overlapping(offsets, spans))
            for sample, (_, spans), ids, offsets in zip(
                samples, rendered, tokens["input_ids"], tokens["offset_mapping"], strict=True
            )
        ]

    def prompt(self, text: str, as_chat: bool) -> list[int]:
        """The tokens after which the model is asked to go on; a user's turn where ``as_chat``."""
        if as_chat:
            rendered = self._render(TextSample("messages", "sample_prompts"), (Message("user", text),), True)
            return list(self.tokenizer(rendered, add_special_tokens=False)["input_ids"])
        return [*self._begin, *self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    @property
    def _begin(self) -> list[int]:
        bos = self.tokenizer.bos_token_id
        return [bos] if bos is not None and self.tokenizer("")["input_ids"][:1] == [bos] else []

    def _finish(self, sample: TextSample, ids: list[int], targets: list[bool]) -> EncodedText:
        end = self.tokenizer.eos_token_id
        if sample.kind != "messages":
            while ids and ids[-1] == end:
                del ids[-1], targets[-1]
            begin = self._begin
            ids = [*begin, *ids, end]
            targets = [*(False for _ in begin), *targets, True]
        elif sample.messages[-1].role == "assistant" and not self._ends_by_itself(ids, targets):
            # The model must learn the way from its last word to the end, white space of the template included.
            last = max((place for place, target in enumerate(targets) if target), default=-1)
            ids, targets = [*ids, end], [*targets[: last + 1], *(True for _ in range(len(ids) - last))]
        if targets:
            targets[0] = False
        return EncodedText(ids[: self.max_length], targets[: self.max_length], len(ids) > self.max_length)

    def _ends_by_itself(self, ids: list[int], targets: list[bool]) -> bool:
        """Whether the template closes the last turn with a token that stops the model; white space may follow it."""
        learned = [token for token, target in zip(ids, targets, strict=True) if target]
        return bool(self.stop_ids.intersection(learned[-_CLOSING_TOKENS:]))

    def _render_sample(self, sample: TextSample) -> tuple[str, list[Span]]:
        if sample.kind == "text":
            return sample.text, [(0, len(sample.text))]
        if sample.kind == "completion":
            text = sample.prompt + sample.completion
            return text, [(len(sample.prompt) if self.completion_only else 0, len(text))]
        if not self.completion_only:
            text = self._render(sample, sample.messages)
            return text, [(0, len(text))]
        if _GENERATION.search(self.chat_template or ""):
            return self._render_marked(sample)
        text = self._render(sample, sample.messages)
        return text, self._assistant_spans(sample, text)

    def _assistant_spans(self, sample: TextSample, text: str) -> list[Span]:
        """From the end of what is asked to the end of the answer, for each answer, found by rendering the conversation up to there."""
        spans = []
        for number, message in enumerate(sample.messages):
            if message.role != "assistant":
                continue
            asked = self._render(sample, sample.messages[:number], True)
            answered = self._render(sample, sample.messages[: number + 1])
            if not (answered.startswith(asked) and text.startswith(answered)):
                raise ConfigError(
                    f"the chat template writes turn {number + 1} of {sample.name} differently when more turns follow, so that the "
                    "assistant's words cannot be told from the rest",
                    hint="put {% generation %} … {% endgeneration %} around them in a file named by chat_template, "
                    "or set completion_only: false",
                )
            spans.append((len(asked), len(answered)))
        return spans

    def _render(self, sample: TextSample, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
        return self._jinja(sample, messages, add_generation_prompt=add_generation_prompt)[0]

    def _render_marked(self, sample: TextSample) -> tuple[str, list[Span]]:
        return self._jinja(sample, sample.messages, return_assistant_tokens_mask=True)

    def _jinja(self, sample: TextSample, messages: Sequence[Message], **options: bool) -> tuple[str, list[Span]]:
        if self.chat_template is None:
            raise missing_template()
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            texts, spans = render_jinja_template(
                [turns], chat_template=self.chat_template, **options, **self.tokenizer.special_tokens_map
            )
        except TemplateSyntaxError as error:
            raise ConfigError(f"the chat template is wrong in line {error.lineno}: {error.message}") from None
        except (TemplateError, TypeError) as error:
            raise DataError(
                f"the chat template refuses this conversation: {error}",
                where=sample.name,
                hint="change the conversation or chat_template",
            ) from None
        return texts[0], list(spans[0]) if spans else []


def missing_template() -> ConfigError:
    """What to say where conversations are to be trained on without a template."""
    return ConfigError(
        "the set holds conversations, but the model's tokenizer has no chat template",
        hint="name a Jinja file by chat_template, or take the instruct version of the model",
    )


def _overlapping(offsets: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """Which tokens hold characters of the spans; both are in the order of the text."""
    targets = [False] * len(offsets)
    token = 0
    for start, end in spans:
        # Tokens of white space alone have offsets without width in some tokenizers, standing behind the white space.
        while token < len(offsets) and offsets[token][1] <= start:
            token += 1
        first = token
        while token < len(offsets) and min(offsets[token][0], offsets[token][1] - 1) < end:
            token += 1
        targets[first:token] = [True] * (token - first)
    return targets
