"""What data set checks and workers say in English, in the page's language.

Reports and outcomes are kept as they were said, whatever version said them: a sentence is found again by its form, and what stands in its
places is taken over. One that is not known here stays as it is.
"""

import re
from collections.abc import Sequence

from lorafleet.console.web.language import ENGLISH, Language


def _(text: str) -> str:
    """Mark a sentence for the catalogues."""
    return text


# %(name)s is any text, and %(names)s a list as lorafleet.datasets.findings.listed writes it.
_FORMS: Sequence[str] = (
    # Tables and rows of a data set.
    _("columns 'file_name' and 'text' are needed, found %(names)s"),
    _("the first line names the columns; 'file' and 'prompt' are known too"),
    _("the file is empty"),
    _("there are no rows"),
    _("add a row for each example"),
    _("expected a list of objects"),
    _("put the rows in square brackets, or write .jsonl"),
    _("the text is neither UTF-8 nor GBK"),
    _("save it as UTF-8"),
    _("'%(first)s' and '%(second)s' must be text"),
    _("%(found)s values for the %(count)s columns %(columns)s"),
    _("put values that hold a comma in double quotes"),
    _("this is not CSV: %(reason)s"),
    _("look for a double quote that is not closed, or double it"),
    _("this is not JSON: %(reason)s"),
    _("write one object on each line"),
    _("one object a line is .jsonl"),
    _("expected an object, found %(kind)s"),
    _('for example {"text": "…"}'),
    _("not UTF-8, read as GBK: %(names)s"),
    _("not UTF-8, read as GBK"),
    _("save as UTF-8 if characters look wrong"),
    _("not read, since %(file)s is there too"),
    _("no captions in it: %(sentence)s"),
    _("it takes too much to read"),
    # Images.
    _("no image can be read here"),
    _("there are no images here"),
    _("PNG, JPEG, WebP and BMP files are read"),
    _("the image cannot be read: %(reason)s"),
    _("the image file is empty"),
    _("this is not a PNG, JPEG, WebP or BMP image"),
    _("the image is broken or cut off: %(reason)s"),
    _("replace or remove it"),
    _("the image has more than %(count)s megapixels"),
    _("scale it down"),
    _("%(count)s pictures of a format that is not read: %(names)s"),
    _("convert them to PNG, JPEG or WebP"),
    _("the file's name is not UTF-8"),
    _("rename the file"),
    _("%(count)s images smaller than %(limit)s px: %(names)s"),
    _("small images give blurred results; use larger ones"),
    _("%(count)s images enlarged to resolution %(resolution)s: %(names)s"),
    _("larger images give sharper results, or set bucket_upscale: false"),
    _("the same image: %(names)s"),
    _("nearly the same image: %(names)s"),
    _("keep one; repeated images are learnt too strongly"),
    _("%(count)s buckets with fewer images than a batch of %(batch)s: %(names)s"),
    _("their batches are smaller"),
    # Captions.
    _("%(count)s images without a caption: %(names)s"),
    _("%(count)s images with an empty caption: %(names)s"),
    _("captions tell the model what not to learn; 'lorafleet data caption-csv' starts the file"),
    _("all %(count)s captions are the same: '%(caption)s'"),
    _("say what each image shows"),
    _("%(count)s caption files without an image: %(names)s"),
    _("'%(file)s' is no image that can be read"),
    _("'%(file)s' is not there"),
    _("did you mean '%(file)s'?"),
    _("add the file or remove the row"),
    _("'%(file)s' leads out of the folder"),
    _("file names are relative to the folder"),
    _("'%(file)s' has a caption already, on line %(line)s; that one is used"),
    # Texts.
    _("no example can be read here"),
    _("there are no examples here"),
    _("JSONL, JSON, CSV and plain text files are read"),
    _("'%(key)s' is empty, the row is passed over"),
    _("fill or remove it"),
    _("the same example %(count)s times: %(names)s"),
    _("keep one"),
    _("no assistant turn to learn from"),
    _("add the answer"),
    _("'%(key)s' must be text, found %(kind)s"),
    _("a conversation is a list of objects with '%(role)s' and '%(content)s'"),
    _("turn %(number)s is not an object with '%(role)s' and '%(content)s'"),
    _("turn %(number)s has the unknown role %(role)s"),
    _("known roles: %(roles)s"),
    _("turn %(number)s has no text in '%(key)s'"),
    _("turn %(number)s holds something other than text"),
    _("images and sounds are not trained on"),
    _("expected %(shapes)s, found %(keys)s"),
    # How the set fits the training.
    _("lora_rank %(rank)s with %(examples)s tends to learn the examples by heart (overfitting)"),
    _("use lora_rank 4 to 8"),
    _("and %(count)s more of this kind"),
    # Workers.
    _("one row with gradient checkpointing does not fit the device's memory"),
    _("lower resolution or max_length, use precision: bf16, or a GPU with more memory"),
    _("%(what)s of step %(step)s is not finite; its files: %(files)s"),
    _("look at these files, lower learning_rate, or use precision: bf16 or fp32; the last checkpoint is good"),
    _("the GPU does not work: %(reason)s"),
    _("run 'lorafleet doctor' in this image to see why"),
    _("the console cannot decrypt a secret of this team any more"),
    _("set it anew: lorafleet secret set NAME"),
    _("the data set version has no files"),
    _("upload it again"),
    _("the disk refused: %(reason)s"),
    _("the disk has %(free)s MiB free, what is fetched needs %(needed)s MiB"),
    _("free some space, or set LORAFLEET_WORK_DIR to a larger disk"),
    _("output_dir has %(free)s MiB free, the run needs about %(needed)s MiB"),
    _("free some space, or lower keep_checkpoints"),
    _("free some space"),
    _("the training process cannot be started: %(reason)s"),
    _("%(key)s: this worker has no models"),
    _("start the worker with --models FOLDER"),
    _("%(key)s is a relative path below %(place)s"),
    _("name it as the worker's site has it"),
    _("%(key)s leads out of %(place)s"),
    _("%(key)s: there is no such file or folder below %(place)s"),
    _("check its name"),
    _("there is no such file or folder"),
    _("check base_model"),
    _("a base model is a .safetensors file or a folder"),
    _("cannot tell what kind of model this is"),
    _("set family to one of %(families)s"),
    _("this is no whole .safetensors file (%(size)s bytes): %(reason)s"),
    _("download or copy it again"),
    _("the VAE gives NaN or infinity for this image"),
    _("check or remove the image"),
    _("validation_split leaves nothing of %(count)s to train on"),
    _("lower it or add examples"),
    _("no example has a token to learn within max_length: %(count)s tokens"),
    _("raise max_length, or set completion_only: false"),
    _("worker %(worker)s in %(site)s was not heard of since %(time)s UTC"),
    _("worker %(worker)s in %(site)s asked for a job and did not know of this lease"),
    _("it goes on elsewhere from the last published step"),
)  # fmt: skip
_LIST = _("%(names)s and %(count)s more")
_COUNTED = ("images", "pictures", "buckets", "caption files")
"""One of them is called in the singular."""
_PLACE = re.compile(r"%\((\w+)\)s")


def translated(words: Language, text: str) -> str:
    """A sentence in the page's language; one that is not known stays as it is."""
    if words.code == ENGLISH or not text:
        return text
    for form, pattern in _PATTERNS:
        if found := pattern.fullmatch(text):
            return words.gettext(form, **{name: _filled(words, name, value) for name, value in found.groupdict().items()})
    return text


def _filled(words: Language, name: str, value: str) -> str:
    if name == "sentence":
        return translated(words, value)
    if name == "examples" and (found := re.fullmatch(r"(\d+) (?:images?|examples?)", value)):
        return words.gettext(_("%(count)s examples"), count=found[1])
    if name == "names" and (found := re.fullmatch(r"(.*) and (\d+) more", value, re.DOTALL)):
        return words.gettext(_LIST, names=found[1], count=found[2])
    return value


def _pattern(form: str) -> re.Pattern[str]:
    parts = _PLACE.split(form)
    pattern = "".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts))
    for noun in _COUNTED:
        pattern = pattern.replace(re.escape(noun), f"{re.escape(noun)}?")
    return re.compile(pattern, re.DOTALL)


_PATTERNS = tuple((form, _pattern(form)) for form in _FORMS)
