"""The training configuration: one flat typed schema that is validation, explanation, JSON Schema and documentation at once.

The groups of keys are for the reader. Values that YAML reads as strings, such as ``2e-4``, are accepted where they are numbers.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lorafleet.contracts.document import Document, parse, validate
from lorafleet.contracts.problems import ConfigError, NoInputError, UsageError

GROUPS = ("data", "model", "lora", "optimization", "text", "saving", "watching")


def _key(group: str, description: str, **options: Any) -> Any:
    return Field(description=description, json_schema_extra={"group": group}, **options)


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


Integer = Annotated[int, BeforeValidator(_no_boolean)]
Number = Annotated[float, BeforeValidator(_no_boolean)]
Names = Annotated[list[str], BeforeValidator(_one_or_many)]


def _standard_bounds(schema: dict[str, Any]) -> None:
    # pydantic writes the bounds of a key that may be null under its own names, which no reader of JSON Schema knows.
    names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
    for key in schema["properties"].values():
        for branch in key.get("anyOf", ()):
            for own, standard in names.items():
                if own in branch:
                    branch[standard] = branch.pop(own)


class TrainingConfig(BaseModel):
    """One training run."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), json_schema_extra=_standard_bounds
    )

    train_data_dir: str = _key(
        "data", "Folder or URL (s3://, gs://, az://, file://) of the images, or a text set's file or folder."
    )
    metadata_path: str | None = _key(
        "data",
        "Captions as metadata.csv or .jsonl; without it metadata.* in the folder is used, then .txt side files.",
        default=None,
    )
    trigger_word: str = _key("data", "Put before every caption, so that the style or subject can be called by it.", default="")
    caption_dropout: Number = _key(
        "data", "Share of rows trained with an empty caption; 0.05 to 0.1 helps guidance.", default=0.0, ge=0, lt=1
    )
    resolution: Integer | None = _key(
        "data",
        "Side in pixels of a square training image; by default 512 for SD 1.5 and 1024 for SDXL.",
        default=None,
        ge=32,
        le=4096,
    )
    buckets: bool = _key("data", "Sort images by aspect ratio into buckets of equal area; false crops to squares.", default=True)
    bucket_step: Integer = _key("data", "Bucket sides are multiples of this many pixels.", default=64, ge=8, multiple_of=8)
    bucket_upscale: bool = _key(
        "data", "Enlarge small images to the training area; false gives them smaller buckets.", default=True
    )
    repeats: Integer = _key("data", "How often each example is seen in one epoch.", default=1, ge=1)
    augmentations: Names = _key("data", "Augmentations by name, in order; 'flip' mirrors half of the rows.", default_factory=list)
    validation_split: Number = _key("data", "Share of the examples held out for the validation loss.", default=0.0, ge=0, le=0.5)
    validation_data_dir: str | None = _key("data", "A set of its own for the validation loss, instead of a split.", default=None)
    strict_data: bool = _key("data", "Treat the data check's warnings as errors.", default=False)
    cache_latents: bool = _key("data", "Encode each image once and keep the result on disk, keyed by content.", default=True)
    cache_text: bool = _key("data", "Encode each caption once; has no effect where the text encoder is trained.", default=True)
    cache_dir: str | None = _key("data", "Where encodings are kept; runs may share it. Default: OUTPUT_DIR/cache.", default=None)

    base_model: str = _key(
        "model",
        "A .safetensors file, a diffusers or transformers folder, or a URL of either; in the console a name below the workers' --models.",
    )
    base_config: str | None = _key(
        "model", "Folder of component configs for a single file with its own architecture; default: the family's.", default=None
    )
    family: str = _key("model", "auto, sd15, sdxl, causal_lm, or the name of a plug-in.", default="auto")
    device: str = _key("model", "auto, cpu, cuda or cuda:N.", default="auto")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = _key(
        "model",
        "Type of the products; LoRA weights stay fp32. auto: bf16 where the GPU has it, fp16 on older ones, fp32 on CPU.",
        default="auto",
    )
    tf32: bool = _key("model", "Let fp32 products on the GPU use TF32.", default=True)
    channels_last: bool = _key("model", "Keep image tensors channels-last, which convolutions on GPUs prefer.", default=True)
    compile: bool = _key("model", "Compile the model with torch.compile; pays off after some hundred steps.", default=False)
    gradient_checkpointing: bool | Literal["auto"] = _key(
        "model", "Recompute activations to save memory; auto turns it on only when the first step shows the need.", default="auto"
    )

    lora_rank: Integer = _key("lora", "Inner dimension of the LoRA; 4 to 8 for styles and small sets.", default=8, ge=1, le=1024)
    lora_alpha: Number | None = _key(
        "lora", "Strength: the change is scaled by alpha / rank. Default: the rank.", default=None, gt=0
    )
    lora_dropout: Number = _key("lora", "Dropout in front of the LoRA.", default=0.0, ge=0, lt=1)
    lora_targets: Literal["attention", "transformer"] | list[str] = _key(
        "lora", "attention, transformer (attention and feed-forward), or a list of endings of module names.", default="attention"
    )
    rslora: bool = _key("lora", "Scale by alpha / sqrt(rank), which keeps high ranks stable.", default=False)
    dora: bool = _key("lora", "Train magnitude and direction apart (DoRA); slower, and not every tool loads it.", default=False)
    train_text_encoder: bool = _key("lora", "Give the text encoders of an image model a LoRA too.", default=False)
    text_encoder_learning_rate: Number | None = _key("lora", "Default: the learning rate.", default=None, gt=0)

    batch_size: Integer = _key("optimization", "Rows that go through the model together, on each device.", default=4, ge=1)
    gradient_accumulation: Integer = _key("optimization", "Micro-batches in one step.", default=1, ge=1)
    epochs: Integer = _key("optimization", "Passes over the data; max_steps ends the run earlier.", default=10, ge=1)
    max_steps: Integer | None = _key("optimization", "End after this many steps, whatever the epochs.", default=None, ge=1)
    learning_rate: Number = _key("optimization", "Peak learning rate.", default=2e-4, gt=0)
    optimizer: str = _key("optimization", "adamw, adafactor, sgd, or the name of a plug-in.", default="adamw")
    optimizer_args: dict[str, Any] = _key("optimization", "More arguments of the optimizer.", default_factory=dict)
    weight_decay: Number = _key("optimization", "Decoupled weight decay.", default=0.01, ge=0)
    scheduler: str = _key(
        "optimization", "constant, linear, cosine, cosine_restarts, polynomial, or a plug-in.", default="constant"
    )
    scheduler_args: dict[str, Any] = _key("optimization", "More arguments of the scheduler.", default_factory=dict)
    warmup_steps: Integer = _key("optimization", "Steps over which the learning rate rises from zero.", default=0, ge=0)
    max_grad_norm: Number = _key("optimization", "Gradients are scaled down to this norm; 0 never clips.", default=1.0, ge=0)
    seed: Integer = _key("optimization", "Everything random follows from it.", default=42, ge=0, lt=2**63)
    loss: str = _key("optimization", "mse, huber, or the name of a plug-in (image models).", default="mse")
    min_snr_gamma: Number | None = _key(
        "optimization", "Weigh timesteps by min-SNR with this gamma; 5 is usual.", default=None, gt=0
    )
    noise_offset: Number = _key(
        "optimization", "Shift the noise of whole channels, for darker and lighter pictures.", default=0.0, ge=0
    )
    prediction_type: Literal["auto", "epsilon", "v_prediction"] = _key(
        "optimization", "What the image model predicts; auto reads it from the base.", default="auto"
    )
    zero_terminal_snr: bool = _key("optimization", "Rescale the noise schedule to end at zero SNR (v-prediction).", default=False)

    max_length: Integer = _key("text", "Tokens of a training row; longer examples are cut and reported.", default=1024, ge=8)
    packing: bool = _key("text", "Fill rows with several examples that do not see each other.", default=True)
    completion_only: bool = _key("text", "Train only on completions and assistant turns, not on what was asked.", default=True)
    chat_template: str | None = _key("text", "A Jinja file for models whose tokenizer brings no chat template.", default=None)

    output_dir: str = _key("saving", "Folder or URL for weights, checkpoints, samples and logs.")
    output_name: str | None = _key("saving", "Name of the weights file; default: the last part of output_dir.", default=None)
    save_steps: Integer = _key(
        "saving", "A checkpoint every so many steps; 0 saves only at the end and when stopped.", default=100, ge=0
    )
    keep_checkpoints: Integer = _key("saving", "How many checkpoints are kept.", default=2, ge=1)
    resume: str = _key(
        "saving", "auto goes on from the newest whole checkpoint, never starts anew, or a checkpoint's folder.", default="auto"
    )
    export_format: Literal["auto", "kohya", "diffusers", "peft"] = _key(
        "saving", "auto: kohya keys for images, which every tool reads, and a PEFT adapter for LLMs.", default="auto"
    )
    export_precision: Literal["fp32", "bf16", "fp16"] = _key("saving", "Type of the exported weights.", default="fp16")

    log_every: Integer = _key("watching", "Steps between two lines of the log.", default=10, ge=1)
    loggers: Names = _key(
        "watching", "Any of jsonl, tensorboard, wandb, prometheus, or plug-ins.", default_factory=lambda: ["jsonl"]
    )
    wandb_project: str = _key("watching", "Project in Weights & Biases; the key comes from WANDB_API_KEY.", default="lorafleet")
    prometheus_port: Integer = _key("watching", "Port of /metrics on loopback; 0 takes a free one.", default=0, ge=0, le=65535)
    sample_prompts: Names = _key("watching", "Prompts that are sampled while training.", default_factory=list)
    sample_every: Integer = _key(
        "watching", "Steps between two rows of samples; 0 samples at the end of each epoch.", default=0, ge=0
    )
    sample_steps: Integer = _key("watching", "Denoising steps of a sample image.", default=20, ge=1)
    sample_guidance: Number = _key("watching", "Guidance scale of a sample image.", default=7.5, ge=0)
    sample_seed: Integer = _key("watching", "Seed of the samples, the same in every row.", default=0, ge=0)
    sample_max_tokens: Integer = _key("watching", "Length of a sample text.", default=64, ge=1)
    validate_every: Integer = _key(
        "watching", "Steps between two validation losses; 0 takes the end of each epoch.", default=0, ge=0
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingConfig":
        if self.validation_split and self.validation_data_dir:
            raise ValueError("validation_split and validation_data_dir exclude each other; keep one")
        if self.text_encoder_learning_rate is not None and not self.train_text_encoder:
            raise ValueError("text_encoder_learning_rate needs train_text_encoder: true")
        return self

    @property
    def alpha(self) -> float:
        """``lora_alpha``, or the rank where it is not given."""
        return float(self.lora_rank) if self.lora_alpha is None else self.lora_alpha

    @property
    def name(self) -> str:
        """``output_name``, or the last part of ``output_dir``."""
        return self.output_name or self.output_dir.rstrip("/").rsplit("/", 1)[-1] or "lora"


# Keys that say where a run stands and what it shows, not what it computes: a run may be resumed with others.
FREE_TO_CHANGE = frozenset(
    {
        "train_data_dir", "metadata_path", "validation_data_dir", "base_model", "base_config", "output_dir", "output_name", "cache_dir",
        "strict_data", "device", "epochs", "max_steps", "save_steps", "keep_checkpoints", "resume", "export_format", "export_precision",
        "log_every", "loggers", "wandb_project", "prometheus_port", "sample_prompts", "sample_every", "sample_steps", "sample_guidance",
        "sample_seed", "sample_max_tokens", "validate_every", "gradient_checkpointing", "cache_latents", "cache_text",
    }
)  # fmt: skip


def load(path: str | Path, overrides: Mapping[str, Any] | None = None) -> TrainingConfig:
    """Read a configuration file and lay ``overrides`` over it.

    Raises:
        NoInputError: the file cannot be read.
        ConfigError: a key or value is wrong.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise NoInputError(f"cannot read the configuration: {reason}", where=str(path), hint="see configs/ for examples") from None
    document = parse(text, str(path))
    if overrides and isinstance(document.value, dict | None):
        document = Document({**(document.value or {}), **overrides}, document.source, _without(document, overrides))
    return validate(TrainingConfig, document)


def _without(document: Document, overrides: Mapping[str, Any]) -> dict[tuple[str | int, ...], int]:
    return {path: line for path, line in document.lines.items() if not path or path[0] not in overrides}


def from_mapping(values: Mapping[str, Any]) -> TrainingConfig:
    """A configuration from a plain mapping, such as ``yaml.safe_load`` gives.

    Raises:
        ConfigError: a key or value is wrong.
    """
    return validate(TrainingConfig, Document(dict(values), "configuration"))


def parse_overrides(words: list[str]) -> dict[str, Any]:
    """``key=value`` words of a command line; values are read as YAML.

    Raises:
        UsageError: a word has no ``=``.
        ConfigError: a value is not YAML.
    """
    overrides: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"'{word}' is not of the form key=value", hint="for example batch_size=2")
        overrides[key] = parse(value, f"{key}=").value
    return overrides


def explain_key(key: str) -> str:
    """What a key means, its type, default and bounds, as plain text.

    Raises:
        ConfigError: there is no such key.
    """
    info = TrainingConfig.model_fields.get(key)
    if info is None:
        near = get_close_matches(key, TrainingConfig.model_fields, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "lorafleet train --explain all lists every key"
        raise ConfigError(f"there is no key '{key}'", hint=hint)
    schema = TrainingConfig.model_json_schema()["properties"][key]
    default = "must be given" if info.is_required() else f"default {info.get_default(call_default_factory=True)!r}"
    return f"{key}: {type_name(schema)}; {default}\n  {info.description}"


def type_name(schema: Mapping[str, Any]) -> str:
    """A JSON Schema property's type in words, with its bounds."""
    if "anyOf" in schema:
        return " or ".join(type_name(branch) for branch in schema["anyOf"] if branch.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " | ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {type_name(schema.get('items', {}))}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "object": "mapping"}
    name = words.get(str(schema.get("type")), "value")
    signs = (
        ("minimum", "≥"),
        ("exclusiveMinimum", ">"),
        ("maximum", "≤"),
        ("exclusiveMaximum", "<"),
        ("multipleOf", "a multiple of"),
    )
    bounds = [f"{sign} {schema[bound]}" for bound, sign in signs if bound in schema]
    return f"{name} {', '.join(bounds)}" if bounds else name
