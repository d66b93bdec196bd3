"""CLIP's tokenizer: the vocabulary and templates that ship, and the ids that tests/tokenizer.rs compares with.

    python -m venv .venv && .venv/bin/pip install -r tests/reference/requirements-tokenizer.txt
    .venv/bin/python tests/reference/tokenizer.py

Run from the repository's root. It writes
    data_manifests/embedded/bpe_simple_vocab_16e6.txt.gz      the pairs of open_clip_torch's file that CLIP uses
    data_manifests/embedded/openai_imagenet_templates.txt     OpenAI's 80 templates, one a line, {} for the class name
    tests/golden/tokenizer/strings-N.jsonl.gz                 [text, ids] a line, 77 ids at most, without padding
    tests/golden/tokenizer/cases.json.gz                      hand-made cases; decoded text; a batch; prompts
    tests/golden/tokenizer/code_points.json                   SHA-256 of the ids of all code points, planes 0 to 3 and 14
    tests/golden/tokenizer/captions.json                      100 captions in 24 languages and in emoji, padded ids

The reference is CLIPTokenizerFast.from_pretrained on a folder that holds what openai/clip-vit-base-patch32 publishes:
vocab.json and merges.txt are rebuilt from OpenAI's file, the special tokens are written as the published
tokenizer.json and tokenizer_config.json have them (the start token is matched in normalised text, the end token in raw
text). The strings are in tokenizer_strings.py.
"""

import gzip
import hashlib
import itertools
import json
import pathlib
import tempfile

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer, bytes_to_unicode, default_bpe
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from tokenizer_strings import CAPTIONS, CASES, strings
from transformers import CLIPTokenizerFast

EMBEDDED = pathlib.Path("data_manifests/embedded")
GOLDEN = pathlib.Path("tests/golden/tokenizer")
START, END = "<|startoftext|>", "<|endoftext|>"
CONTEXT = 77
N_FILES, PER_FILE = 5, 2000


def published(folder):
    """Writes the tokenizer's files as the hub has them for openai/clip-vit-base-patch32."""
    lines = gzip.open(default_bpe()).read().decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    symbols = list(bytes_to_unicode().values())
    vocab = symbols + [s + "</w>" for s in symbols] + ["".join(pair) for pair in merges] + [START, END]
    vocab = {token: i for i, token in enumerate(vocab)}
    assert len(vocab) == 49408 and len(merges) == 48894
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n")
    # The backend as the class builds it, with the flags of the published added tokens.
    backend = json.loads(CLIPTokenizerFast(vocab=vocab, merges=merges).backend_tokenizer.to_str())
    plain = {"single_word": False, "lstrip": False, "rstrip": False}
    backend["added_tokens"] = [
        {"id": 49406, "content": START, **plain, "normalized": True, "special": True},
        {"id": 49407, "content": END, **plain, "normalized": False, "special": True},
    ]
    (folder / "tokenizer.json").write_text(json.dumps(backend))
    special = {
        "bos_token": {"content": START, **plain, "normalized": True},
        "eos_token": {"content": END, **plain, "normalized": True},
        "unk_token": {"content": END, **plain, "normalized": True},
        "pad_token": END,
    }
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    typed = {k: {**v, "__type": "AddedToken"} if isinstance(v, dict) else v for k, v in special.items()}
    config = typed | {"add_prefix_space": False, "errors": "replace", "do_lower_case": True}
    config["model_max_length"] = CONTEXT
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return CLIPTokenizerFast.from_pretrained(folder)


def encoded(tokenizer, texts, **options):
    return tokenizer(texts, truncation=True, max_length=CONTEXT, **options)["input_ids"]


def write_json(name, value, **options):
    path = GOLDEN / name
    text = (json.dumps(value, ensure_ascii=False, **options) + "\n").encode()
    path.write_bytes(gzip.compress(text, 9, mtime=0) if name.endswith(".gz") else text)
    report(path)


def report(path):
    size = path.stat().st_size
    assert size < 300_000 or path.parent == EMBEDDED, path
    path.chmod(0o644)
    print(path, size, "bytes")


def write_strings(tokenizer, texts):
    ids = encoded(tokenizer, texts)
    assert max(map(len, ids)) == CONTEXT and min(map(len, ids)) == 2
    for part in range(N_FILES):
        rows = range(part * PER_FILE, (part + 1) * PER_FILE)
        lines = [json.dumps([texts[i], ids[i]], ensure_ascii=False, separators=(",", ":")) for i in rows]
        path = GOLDEN / f"strings-{part}.jsonl.gz"
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))
        report(path)
    return ids


def write_cases(tokenizer, texts, ids):
    batch = ["", "a photo of a cat", "word " * 100]
    name = "great white shark"
    decoded = []
    for i in range(0, len(texts), 20):
        decoded.append([ids[i], tokenizer.decode(ids[i], skip_special_tokens=True)])
    value = {
        "cases": [[text, encoded(tokenizer, text)] for text in CASES],
        "batch": {"texts": batch, "ids": encoded(tokenizer, batch, padding="max_length")},
        "decoded": decoded,
        "prompts": {"class": name, "prompts": [template(name) for template in OPENAI_IMAGENET_TEMPLATES]},
    }
    write_json("cases.json.gz", value, separators=(",", ":"))


def write_code_points(tokenizer):
    """One string for 256 code points, each between a letter and a mark: what it is taken for decides the tokens."""
    blocks = {}
    for block in [*range(0x00, 0x40), *range(0xE0, 0xF0)]:
        digest = hashlib.sha256()
        for row in range(block << 12, (block + 1) << 12, 256):
            text = " ".join(f"a{chr(c)}!" for c in range(row, row + 256) if not 0xD800 <= c < 0xE000)
            ids = tokenizer(text)["input_ids"]
            digest.update(b"".join(i.to_bytes(4, "little") for i in ids))
        blocks[f"{block:02x}"] = digest.hexdigest()
    write_json("code_points.json", blocks, indent=0)


def write_captions(tokenizer):
    rows = [(language, text) for language, texts in CAPTIONS.items() for text in texts]
    assert len(rows) == 100 and len({text for _, text in rows}) == 100
    ids = encoded(tokenizer, [text for _, text in rows], padding="max_length")
    value = [{"language": l, "text": t, "ids": i} for (l, t), i in zip(rows, ids)]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in value)
    (GOLDEN / "captions.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    report(GOLDEN / "captions.json")
    return [text for _, text in rows]


def compare_with_open_clip(tokenizer, name, texts):
    """Prints how many strings open_clip's own tokenizer sees differently (it pads with zeros)."""
    theirs, differ = SimpleTokenizer()(texts), []
    for text, row in zip(texts, theirs):
        ours = torch.tensor(encoded(tokenizer, text))
        if not (torch.equal(ours, row[: len(ours)]) and not row[len(ours) :].any()):
            differ.append(text)
    print(f"{name}: open_clip differs on {len(differ)} of {len(texts)};", differ[:8])


def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    # The first line names the version; pairs beyond those that CLIP uses are four fifths of the file.
    with gzip.open(default_bpe()) as whole, open(EMBEDDED / "bpe_simple_vocab_16e6.txt.gz", "wb") as out:
        with gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=9, mtime=0) as used:
            used.writelines(itertools.islice(whole, 1 + 49408 - 512 - 2))
    report(EMBEDDED / "bpe_simple_vocab_16e6.txt.gz")
    templates = "".join(template("{}") + "\n" for template in OPENAI_IMAGENET_TEMPLATES)
    (EMBEDDED / "openai_imagenet_templates.txt").write_text(templates)
    report(EMBEDDED / "openai_imagenet_templates.txt")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = published(pathlib.Path(folder))
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id] == [49406, 49407, 49407]
    print({i: (str(t), t.normalized) for i, t in tokenizer.added_tokens_decoder.items()}, len(tokenizer))
    texts = strings(N_FILES * PER_FILE)
    ids = write_strings(tokenizer, texts)
    write_cases(tokenizer, texts, ids)
    write_code_points(tokenizer)
    captions = write_captions(tokenizer)
    print("open_clip", open_clip.__version__)
    compare_with_open_clip(tokenizer, "captions", captions)
    compare_with_open_clip(tokenizer, "cases", CASES)
    compare_with_open_clip(tokenizer, "strings", texts)


if __name__ == "__main__":
    main()
