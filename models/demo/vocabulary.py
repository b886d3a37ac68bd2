"""The tokenizer: a SentencePiece BPE of 8,192 pieces and the same thing as tokenizer.json."""

import io
import json
import random
import shutil
import unicodedata
from pathlib import Path

import sentencepiece as spm
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import AutoTokenizer, PreTrainedTokenizerBase

PIECES = 8192
PAD, EOS, BOS, UNK, START, END = range(6)
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def make_tokenizer(texts: list[str], out: Path) -> None:
    """Train on the texts and write tokenizer.model, tokenizer.json, tokenizer_config.json and the chat template."""
    model = train_pieces(texts)
    (out / "tokenizer.model").write_bytes(model)
    pieces = spm.SentencePieceProcessor(model_proto=model)
    converted(pieces).save(str(out / "tokenizer.json"))
    settings = {
        "tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "add_eos_token": False,
        "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": None,
        "additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"],
        "clean_up_tokenization_spaces": False, "model_max_length": 2048, "padding_side": "left",
        "chat_template": TEMPLATE.read_text(encoding="utf-8"),
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if TEMPLATE.resolve() != (out / TEMPLATE.name).resolve():
        shutil.copyfile(TEMPLATE, out / TEMPLATE.name)


def train_pieces(texts: list[str]) -> bytes:
    """The serialized SentencePiece model. Lines are its sentences, so a newline enters as a symbol of its own."""
    lines = (line for text in texts for line in text.split("\n") if line)
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=lines, model_writer=model, model_type="bpe", vocab_size=PIECES,
        pad_id=PAD, eos_id=EOS, bos_id=BOS, unk_id=UNK,
        pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>", unk_piece="<unk>",
        control_symbols=SPECIAL[START:], user_defined_symbols=["\n", "\n\n"], byte_fallback=True,
        add_dummy_prefix=False, normalization_rule_name="identity", remove_extra_whitespaces=False,
        split_digits=True, allow_whitespace_only_pieces=True, character_coverage=0.9999,
        max_sentence_length=100_000, num_threads=3, minloglevel=2)
    return model.getvalue()


def converted(pieces: spm.SentencePieceProcessor) -> Tokenizer:
    """The same pieces as a Gemma-shaped tokenizers BPE that adds one <bos>."""
    vocab = {pieces.id_to_piece(i): i for i in range(len(pieces))}
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges(pieces), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", BOS)])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ("\n\n", "\n")])
    return tokenizer


def merges(pieces: spm.SentencePieceProcessor) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, in the order SentencePiece merges them: by the score of the result."""
    special = {i for i in range(len(pieces)) if pieces.is_control(i) or pieces.is_byte(i) or pieces.is_unknown(i)}
    ordinary = {pieces.id_to_piece(i): pieces.get_score(i) for i in range(len(pieces)) if i not in special}
    ordinary = {piece: score for piece, score in ordinary.items() if "\n" not in piece}
    found = []
    for piece, score in ordinary.items():
        splits = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
        found += [(-score, left, right) for left, right in splits if left in ordinary and right in ordinary]
    return [(left, right) for _, left, right in sorted(found, key=lambda item: item[0])]


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


def random_texts(count: int, seed: int) -> list[str]:
    """Strings of random Unicode mixed with letters and spaces; without U+2581, which the tokenizer reads as a space."""
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        kinds = [lambda: draw.choice(" \n\t0123456789.,-()'"), lambda: draw.choice("abcdeinorstu"),
                 lambda: chr(draw.randrange(32, 127)), lambda: chr(draw.randrange(0xA0, 0x3000)),
                 lambda: chr(draw.randrange(0x3000, 0x110000))]
        weights = [draw.random() ** 2 for _ in kinds]
        letters = (draw.choices(kinds, weights)[0]() for _ in range(draw.randrange(1, 120)))
        texts.append("".join(c for c in letters if c != "\u2581" and unicodedata.category(c) != "Cs"))
    return texts


def disagreements(folder: Path, texts: list[str]) -> list[str]:
    """Texts for which tokenizer.model and tokenizer.json give different ids, or do not give the text back."""
    pieces = spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tokenizer = load_tokenizer(folder)

    def is_equal(text: str) -> bool:
        ids = pieces.encode(text)
        same_ids = ids == tokenizer.encode(text, add_special_tokens=False)
        return same_ids and pieces.decode(ids) == text == tokenizer.decode(ids)

    return [text for text in texts if not is_equal(text)]
