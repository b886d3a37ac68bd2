"""A base model with its adapters folded in: checked before any work, then read by rows."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.adapter import EMBED, HEAD, Adapter
from convert.families import find_family
from convert.families.tensor import Family, Tensor
from convert.gguf import Plan
from convert.merge import MergedWeights
from convert.metadata import general
from convert.vocab import Vocab, read_vocab
from convert.weights import Weights, open_weights
from models import base as base_folder
from models.errors import UserError

LEFTOVER = re.compile(r"\.(absmax|nested_absmax|quant_map|nested_quant_map|quant_state.*|SCB|weight_format|qweight|"
                      r"qzeros|scales|g_idx|weight_scale.*|weight_packed|weight_shape|input_scale)$|_scale(_inv)?$|_blocks$")
COMPUTED = (".rotary_emb.inv_freq",)                # saved by old transformers, derived from config.json


class MergedModel:
    """plan: the GGUF to write; projector_plan: that of its vision tower, None if it has none; rows: their numbers.

    notes: sentences that a person should read. The source_ methods speak of the tensors of a merged Hugging Face
    folder, under the names of the base's files. Any number of threads may read at once.
    """

    def __init__(self, base: Path, adapters: Sequence[Path], title: str):
        """adapters: PEFT folders, applied in order. Checks everything that headers and configs can tell.

        Raises UserError for an unknown architecture, quantization leftovers, missing, unknown or misshapen tensors,
        an adapter that does not fit or uses something unsupported, and a tokenizer that does not belong.
        """
        base_folder.check_base(base)
        config = base_folder.config(base)
        self._family = find_family(base_folder.family(base))
        _refuse_quantized(base, config)
        weights = open_weights(base)
        _refuse_leftovers(base, weights, self._family)
        self._merged = MergedWeights(weights, [Adapter(path, self._family.canonical) for path in adapters],
                                     self._family.canonical, _is_tied(config, self._family, weights))
        self.notes = [*self._family.notes(config), *self._merged.notes]
        tensors = self._family.tensors(config, frozenset(self._merged.names()))
        projector = self._family.projector(config, base)
        self._check_tensors(base, [*tensors, *(projector.tensors if projector else ())])
        self._trimmed = {t.source: t.shape for t in tensors
                         if t.is_trimmed and t.shape != self._merged.shape(t.source)}
        rows = next(t.shape[0] for t in tensors if t.name == "token_embd.weight")
        vocab = read_vocab(base, rows, self._family.vocabularies)
        self._check_resized(base, rows, vocab)
        self.plan = Plan(architecture=self._family.architecture,
                         metadata={**general(base, title, tensors), **self._family.metadata(config)},
                         vocab=vocab, tensors=tensors,
                         type_name=self._type_name(tensors))
        self.projector_plan: Plan | None = None if projector is None else Plan(
            architecture="clip", metadata={**general(base, title, projector.tensors, "mmproj"), **projector.metadata},
            vocab=None, tensors=projector.tensors, type_name=self._type_name(projector.tensors))

    def rows(self, tensor: Tensor, start: int, stop: int) -> np.ndarray:
        """Rows start to stop of a tensor of a plan: merged, float32 (stop - start, *rest).

        A tensor that is_whole has to be computed whole for them. Raises UserError for NaN or infinity.
        """
        if tensor.values is not None:
            return tensor.values[start:stop]
        if not tensor.transform:
            return self._merged.rows(tensor.source, start, stop)
        whole = self._merged.rows(tensor.source, 0, (tensor.source_shape or tensor.shape)[0])
        return tensor.transform(whole)[start:stop]

    def file_name(self, tensor: Tensor) -> str:
        """What the base's files call the source of a tensor: the keys of a reference's ActivationSums."""
        return self._merged.file_name(tensor.source)

    def is_changed(self, tensor: Tensor) -> bool:
        """True if an adapter has its hand in a tensor."""
        return bool(tensor.source) and self._merged.is_changed(tensor.source)

    def source_names(self) -> list[str]:
        """Every tensor of the merged model that a Hugging Face folder holds."""
        return [self._merged.file_name(name) for name in self._merged.names() if not name.endswith(COMPUTED)]

    def source_shape(self, name: str) -> tuple[int, ...]:
        """Rows first; without those beyond the vocabulary, which transformers would not load."""
        own = self._family.canonical(name)
        return self._trimmed.get(own) or self._merged.shape(own)

    def source_dtype(self, name: str) -> str:
        """The type that the base has it in, such as "BF16"; that of the embedding for a head that an adapter adds."""
        return self._merged.dtype(self._family.canonical(name))

    def source_rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """As rows(), in the layout of the base's files."""
        return self._merged.rows(self._family.canonical(name), start, stop)

    def _type_name(self, tensors: Sequence[Tensor]) -> str:
        """The type of the matrices' own numbers where all have the same; float32 where an adapter makes sums."""
        matrices = [t.source for t in tensors if t.source and len(t.shape) > 1]
        dtypes = {self._merged.dtype(name) for name in matrices}
        is_as_it_was = not any(self._merged.is_changed(name) for name in matrices)
        return dtypes.pop() if is_as_it_was and len(dtypes) == 1 and dtypes <= {"BF16", "F16"} else "F32"

    def _check_tensors(self, base: Path, tensors: Sequence[Tensor]) -> None:
        """Raise UserError unless the families' tensors are all there, in their shapes, and nothing else is."""
        merged = self._merged
        names, known = set(merged.names()), {t.source for t in tensors}
        for name in merged.names():
            if name not in known and not self._family.drops(name) and not name.endswith(COMPUTED):
                raise UserError(f"{base} holds the tensor {merged.file_name(name)}, which this architecture does not "
                                "have; the export would lose it.")
        for t in tensors:
            if not t.source:
                continue
            if t.source not in names:
                raise UserError(f"{base} lacks the tensor {t.source}; copy or download the model again.")
            merged.check_is_float(t.source)
            shape, wanted = merged.shape(t.source), t.source_shape or t.shape
            is_longer = t.is_trimmed and shape[1:] == wanted[1:] and shape[0] > wanted[0]
            if shape != wanted and not is_longer:
                what = "the embeddings were resized, or the" if t.source.startswith((EMBED, HEAD)) else "the"
                raise UserError(f"The tensor {merged.file_name(t.source)} in {base} has the shape {list(shape)}, and "
                                f"config.json makes it {list(wanted)}; {what} two do not belong together.")

    def _check_resized(self, base: Path, rows: int, vocab: Vocab) -> None:
        """Raise UserError if tokens stand where rows would be left out: they were added, and may have been trained."""
        if self._trimmed and vocab.left_out:
            longest = max(self._merged.shape(name)[0] for name in self._trimmed)
            raise UserError(f"The embeddings were resized: config.json in {base} says {rows:,} rows (vocab_size), the "
                            f"embedding has {longest:,}, and the tokenizer has tokens there, such as "
                            f"{vocab.left_out[0]!r}. Export a model without added tokens, or correct vocab_size.")


def _refuse_quantized(base: Path, config: Mapping[str, Any]) -> None:
    quantized = config.get("quantization_config")
    if quantized:
        method = quantized.get("quant_method", "unknown method") if isinstance(quantized, dict) else quantized
        raise UserError(f"{base} holds quantized weights (quantization_config in config.json: {method}); "
                        "export from the original 16-bit weights.")


def _refuse_leftovers(base: Path, weights: Weights, family: Family) -> None:
    for name in weights.entries:
        if LEFTOVER.search(name) and not family.drops(family.canonical(name)):
            raise UserError(f"{base} holds the tensor {name}, a leftover of quantization; "
                            "export from the original 16-bit weights, not from a quantized copy.")


def _is_tied(config: Mapping[str, Any], family: Family, weights: Weights) -> bool:
    """Whether the head is the embedding: as config.json says, else as the files look."""
    said = {**config, **family.text_config(config)}.get("tie_word_embeddings")
    has_head = any(family.canonical(name) == f"{HEAD}.weight" for name in weights.entries)
    return bool(said) if isinstance(said, bool) else not has_head or family.drops(f"{HEAD}.weight")

