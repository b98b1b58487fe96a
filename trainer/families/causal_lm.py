"""Causal language models: Llama, Qwen, Mistral, Gemma and whatever else transformers loads."""

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lorafleet.contracts.problems import ConfigError, DataError
from lorafleet.contracts.training import TrainingConfig
from lorafleet.datasets.checks import CheckReport, check_texts
from lorafleet.datasets.findings import counted, listed
from lorafleet.datasets.texts import TextSample, TextSet, read_text_set
from trainer.export import peft_adapter
from trainer.families.base import Control, EncodedSet, Export, MicroBatch, Placement, Sample
from trainer.families.encodings import EncodingCache, key_of
from trainer.families.holdout import hold_out
from trainer.families.packing import pack
from trainer.families.packing_proof import find_contamination
from trainer.families.text_base import TextBase, check_targets, load_text_base, load_tokenizer, module_targets, set_recomputation
from trainer.families.text_encoding import TextEncoder, missing_template
from trainer.families.text_rows import TextRows
from trainer.families.text_sampling import sample_texts
from trainer.families.token_loss import linear_cross_entropy, target_positions
from trainer.families.token_table import content_key, token_table
from trainer.lora import LoraLayer

# Relative rounding that two ways to compute the same may differ by.
_ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 1e-2}
# With torch.compile each row length is a compilation, so that lengths are rounded up.
_COMPILED_LENGTHS = 64


class CausalLMFamily:
    """See :class:`trainer.families.base.Family`."""

    name = "causal_lm"
    unit = "tokens"

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._packing = config.packing
        self._plain_head = False
        self._base: TextBase
        self._encoder: TextEncoder
        self._placement: Placement
        self._samples: list[TextSample] = []
        self._validation: list[TextSample] = []
        self._cache = EncodingCache(Path(config.cache_dir or Path(config.output_dir) / "cache"))
        self._facts: dict[str, str] = {}

    def read(self, control: Control) -> CheckReport:
        """See :class:`~trainer.families.base.Family`."""
        config = self._config
        control.check()
        text_set, report = self._read_set(config.train_data_dir)
        self._samples = list(text_set.samples)
        if config.validation_data_dir:
            self._validation = list(self._read_set(config.validation_data_dir)[0].samples)
        elif config.validation_split:
            self._samples, self._validation = hold_out(self._samples, content_key, config.validation_split, config.seed)
        return report

    def _read_set(self, path: str) -> tuple[TextSet, CheckReport]:
        text_set = read_text_set(Path(path))
        report = check_texts(text_set, lora_rank=self._config.lora_rank)
        report.raise_if_bad(self._config.strict_data)
        return text_set, report

    @property
    def _chats(self) -> bool:
        return any(sample.kind == "messages" for sample in self._samples)

    def load(self, placement: Placement, control: Control) -> None:
        """See :class:`~trainer.families.base.Family`."""
        config, folder = self._config, Path(self._config.base_model)
        self._placement = placement
        # Before the weights, which may take minutes.
        tokenizer = load_tokenizer(folder)
        template = self._template(tokenizer)
        if template is None and self._chats:
            raise missing_template()
        for note in peft_adapter.serving_notes(config.lora_rank, config.dora):
            control.warn(note)
        self._base = load_text_base(folder, placement.compute, placement.device, control)
        longest = config.max_length
        if self._base.positions is not None and self._base.positions < longest:
            longest = self._base.positions
            control.warn(f"max_length: the model was made for {longest} tokens, so rows have {longest} and not {config.max_length}")
        stop_ids = self._base.stop_ids | {tokenizer.eos_token_id}
        self._encoder = TextEncoder(tokenizer, longest, config.completion_only, template, stop_ids)
        self._plain_head = self._find_plain_head()
        if self._packing:
            reason = self._why_not_packed()
            if reason is not None:
                self._packing = False
                control.warn(f"packing: off, as this model does not keep packed examples apart ({reason})")
        if config.compile and self._plain_head:
            self._base.decoder.compile()

    def _template(self, tokenizer: Any) -> str | None:
        if self._config.chat_template is not None:
            path = Path(self._config.chat_template)
            try:
                return path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                raise ConfigError(f"chat_template: cannot read the file: {reason}", where=str(path)) from None
        try:
            template: str = tokenizer.get_chat_template()
        except ValueError:
            return None
        return template

    @property
    def _vocabulary(self) -> int:
        return int(self._base.model.get_input_embeddings().num_embeddings)

    @torch.no_grad()
    def _find_plain_head(self) -> bool:
        """Whether logits are nothing but the head's product with the decoder's output: no scale, no soft cap."""
        head = self._base.head
        if type(head) is not nn.Linear or self._base.decoder is self._base.model:
            return False
        ids = torch.arange(8, device=self._placement.device)[None] % self._vocabulary
        logits = self._base.model(input_ids=ids, use_cache=False).logits.float()
        return torch.allclose(head(self._hidden(ids, None)).float(), logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max()))

    def _hidden(self, input_ids: Tensor, position_ids: Tensor | None) -> Tensor:
        """Hidden states (rows, length, channels). Without ``position_ids`` each row is one example."""
        positions = {} if position_ids is None else {"position_ids": position_ids}
        hidden: Tensor = self._base.decoder(input_ids=input_ids, use_cache=False, **positions).last_hidden_state
        return hidden

    def _why_not_packed(self) -> str | None:
        base, placement = self._base, self._placement
        if "position_ids" not in signature(base.decoder.forward).parameters:
            return "it takes no position_ids"

        def logits(input_ids: Tensor, position_ids: Tensor) -> Tensor:
            if self._plain_head:
                return cast(Tensor, base.head(self._hidden(input_ids, position_ids)))
            return cast(Tensor, base.model(input_ids=input_ids, position_ids=position_ids, use_cache=False).logits)

        return find_contamination(logits, self._vocabulary, placement.device, _ROUNDING[placement.compute])

    def adapted(self) -> Mapping[str, nn.Module]:
        """See :class:`~trainer.families.base.Family`."""
        return {"model": self._base.model}

    def targets(self, component: str) -> str | list[str]:
        """See :class:`~trainer.families.base.Family`."""
        wanted, base = self._config.lora_targets, self._base
        if isinstance(wanted, list):
            check_targets(wanted, base)
            return wanted
        paths = base.attention if wanted == "attention" else base.linear
        if not paths:
            raise ConfigError(f"lora_targets: the model has no linear layers for '{wanted}'", hint="name layers in a list")
        return module_targets(paths, [*base.linear, base.head_name])

    def encode(self, control: Control) -> tuple[EncodedSet, EncodedSet | None]:
        """See :class:`~trainer.families.base.Family`."""
        training = self._encode(self._samples, control)
        validation = self._encode(self._validation, control) if self._validation else None
        self._facts = {
            "lorafleet_data_sha256": key_of(*map(content_key, self._samples)),
            "lorafleet_base_sha256": self._base.digest,
            "lorafleet_rows": str(len(training)),
            "lorafleet_tokens": str(sum(training.lengths)),
            "lorafleet_packing": str(self._packing).lower(),
        }
        return training, validation

    def _encode(self, samples: Sequence[TextSample], control: Control) -> TextRows:
        table = token_table(samples, self._encoder, self._cache, control)
        if not len(table):
            raise DataError(
                f"no example has a token to learn within max_length: {self._encoder.max_length} tokens",
                hint="raise max_length, or set completion_only: false",
            )
        names = [samples[source].name for source in table.sources.tolist()]
        if table.cut:
            control.warn(f"{counted(table.cut, 'example')} longer than max_length: {self._encoder.max_length} tokens were cut")
        dropped = [sample.name for sample in samples if sample.name not in set(names)]
        if dropped:
            control.warn(f"{counted(len(dropped), 'example')} left out, with no token to learn: {listed(dropped)}")
        if int(table.tokens.max()) >= self._vocabulary:
            raise ConfigError(
                f"the tokenizer gives token {int(table.tokens.max())}, the model knows {self._vocabulary}",
                hint="tokenizer and weights are of different models",
            )
        packs = pack(table.lengths, self._encoder.max_length) if self._packing else None
        padding = self._encoder.tokenizer.pad_token_id or 0
        return TextRows(table, names, packs, padding=padding, multiple_of=_COMPILED_LENGTHS if self._config.compile else 1)

    def loss(self, batch: MicroBatch) -> Tensor:
        """See :class:`~trainer.families.base.Family`. Logits are computed for target tokens alone."""
        tensors = batch.tensors
        input_ids, position_ids = tensors["input_ids"], tensors.get("position_ids")
        positions, targets = target_positions(tensors["labels"], sum(batch.weights))
        head = self._base.head
        if self._plain_head and type(head) is nn.Linear:
            hidden = self._hidden(input_ids, position_ids).flatten(0, 1).index_select(0, positions)
            return linear_cross_entropy(hidden, head, targets)

        def only_targets(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            return (inputs[0].flatten(0, 1).index_select(0, positions)[None],)

        hook = head.register_forward_pre_hook(only_targets)
        try:
            extra = {} if position_ids is None else {"position_ids": position_ids}
            logits = self._base.model(input_ids=input_ids, use_cache=False, **extra).logits[0]
        finally:
            hook.remove()
        return functional.cross_entropy(logits.float(), targets, reduction="sum")

    def gradient_checkpointing(self, on: bool) -> None:
        """See :class:`~trainer.families.base.Family`."""
        set_recomputation(self._base.model, on)

    def sample(self, prompts: Sequence[str], seed: int, control: Control) -> list[Sample]:
        """See :class:`~trainer.families.base.Family`. Greedy, so that the seed changes nothing."""
        ids = [self._encoder.prompt(prompt, self._chats) for prompt in prompts]
        texts = sample_texts(
            self._base,
            self._encoder.tokenizer,
            ids,
            self._encoder.stop_ids,
            self._config.sample_max_tokens,
            self._placement,
            control,
        )
        return [Sample(prompt, text=text) for prompt, text in zip(prompts, texts, strict=True)]

    def metadata(self) -> Mapping[str, str]:
        """See :class:`~trainer.families.base.Family`."""
        return self._facts

    def export(self, layers: Sequence[LoraLayer], export: Export) -> list[Path]:
        """See :class:`~trainer.families.base.Family`."""
        if export.format != "peft":
            raise ConfigError(f"export_format: {export.format} is for image models", hint="use peft")
        everything = [*self._base.linear, self._base.head_name]
        facts = peft_adapter.AdapterFacts(
            base_name=Path(self._config.base_model).resolve().name,
            target_modules=module_targets((layer.path for layer in layers), everything),
            dropout=self._config.lora_dropout,
        )
        return peft_adapter.write(layers, facts, export)
