"""Parquet files as other programs write them, each of a few rows, for tests/parquet.rs.

    pip install -r tests/reference/requirements-parquet.txt
    python tests/reference/parquet.py

writes tests/golden/parquet/. The images are PNGs of one pixel, all different.
"""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).parents[1] / "golden" / "parquet"


def png(value):
    """A PNG of one pixel."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(bytes([0, value, 255 - value, 7]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


N = 6
BYTES = [png(10 * i) for i in range(N)]
IMAGES = pa.array([{"bytes": b, "path": f"{i}.png"} for i, b in enumerate(BYTES)])
LABELS = [0, 0, 0, 1, 1, 1]
WORDS = ["cat", "cat", "cat", "dog", "dog", "dog"]


def features(label, names, column=None):
    feature = {"names": names, "_type": "ClassLabel"}
    inner = {"image": {"_type": "Image"}, label: feature}
    return {b"huggingface": json.dumps({"info": {"features": column or inner}}).encode()}


def write(name, columns, metadata=None, **how):
    table = pa.table(columns)
    if metadata:
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, OUT / f"{name}.parquet", **how)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    named = features("label", ["cat", "dog"])
    numbers = pa.array(LABELS)

    # Labels of every type.
    for kind in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]:
        write(f"label_{kind}", {"image": IMAGES, "label": pa.array(LABELS, kind)}, named)
    write("label_bool", {"image": IMAGES, "label": pa.array([bool(x) for x in LABELS])})
    for kind in [pa.string(), pa.large_string(), pa.string_view(), pa.binary()]:
        write(f"label_{kind}", {"image": IMAGES, "label": pa.array(WORDS).cast(kind)})
    write("label_dictionary", {"image": IMAGES, "label": pa.array(WORDS).dictionary_encode()})
    category = pd.DataFrame({"label": pd.Categorical(WORDS + [None])})["label"][:N]
    write("label_category", {"image": IMAGES, "label": pa.Array.from_pandas(category)})

    # Rows without a label.
    write("label_null", {"image": IMAGES, "label": pa.array([0, None, 0, 1, None, 1])}, named)
    write("label_minus_one", {"image": IMAGES, "label": pa.array([0, -1, 0, 1, -100, 1], "int8")}, named)
    write("label_nan", {"image": IMAGES, "label": pa.array([0.0, float("nan"), None, 1.0, 10.0, 1.0])})
    write("label_text_null", {"image": IMAGES, "label": pa.array(["cat", None, "", " ", "dog", "dog"])})
    write("label_all_null", {"image": IMAGES, "label": pa.nulls(N, "int64")}, named)
    write("label_null_type", {"image": IMAGES, "label": pa.nulls(N)})
    write("label_half", {"image": IMAGES, "label": pa.array([0.0, 0.5, 1.0, 0.0, 1.0, 1.0])})

    # Numbers that do not begin at 0, or leave some out.
    write("labels_from_one", {"image": IMAGES, "label": pa.array([1, 1, 2, 2, 3, 3])})
    huge = pa.array([7, 7, 7, 100_000_000, 100_000_000, 2**64 - 1], "uint64")
    write("labels_huge", {"image": IMAGES, "label": huge})
    unused = features("label", ["ant", "cat", "cow", "dog", "eel"])
    write("names_unused", {"image": IMAGES, "label": pa.array([1, 1, 1, 3, 3, 3])}, unused)
    write("names_too_few", {"image": IMAGES, "label": pa.array([0, 0, 1, 1, 2, 2])}, named)

    # Names of images.
    twice = pa.array([{"bytes": b, "path": f"{i % 3}.png"} for i, b in enumerate(BYTES)])
    write("paths_twice", {"image": twice, "label": numbers}, named)
    awkward = ["a.png", "a.png", "a.png#0", "a.png#1", "b.png", "b.png"]
    write("paths_awkward", {"image": pa.array([{"bytes": b, "path": p} for b, p in zip(BYTES, awkward)]), "label": numbers})
    nulls = [None, "", "2.png", None, "4.png", "5.png"]
    write("paths_null", {"image": pa.array([{"bytes": b, "path": p} for b, p in zip(BYTES, nulls)]), "label": numbers})
    untyped = pa.StructArray.from_arrays([pa.array(BYTES), pa.nulls(N)], ["bytes", "path"])
    write("paths_null_type", {"image": untyped, "label": numbers})

    # Forms of the image column.
    for kind in [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(len(BYTES[0]))]:
        name = "fixed_binary" if pa.types.is_fixed_size_binary(kind) else str(kind)
        write(f"image_{name}", {"image": pa.array(BYTES).cast(kind), "label": numbers}, named)
    large = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
    write("image_large_struct", {"image": IMAGES.cast(large), "label": numbers}, named)
    extra = [{"width": 1, "path": f"{i}.png", "tags": ["a", "b"], "bytes": b} for i, b in enumerate(BYTES)]
    kind = pa.struct([("width", pa.uint16()), ("path", pa.string()), ("tags", pa.list_(pa.string())), ("bytes", pa.binary())])
    write("image_extra_fields", {"label": numbers, "image": pa.array(extra, kind)}, named)
    write("image_bytes_only", {"image": pa.array([{"bytes": b} for b in BYTES]), "label": numbers}, named)
    holes = [{"bytes": None if i == 1 else b, "path": f"{i}.png"} for i, b in enumerate(BYTES)]
    holes[4] = None
    write("image_null", {"image": pa.array(holes, IMAGES.type), "label": numbers}, named)
    write("image_text", {"image": pa.array([f"/data/{i}.png" for i in range(N)]), "label": numbers}, named)
    write("image_list", {"image": pa.array([[x] for x in IMAGES.to_pylist()]), "label": numbers}, named)
    write("image_number", {"image": numbers, "label": numbers}, named)
    write("image_path_only", {"image": pa.array([{"path": f"{i}.png"} for i in range(N)]), "label": numbers}, named)

    # Columns inside structs.
    inner = [{"picture": x, "class": c} for x, c in zip(IMAGES.to_pylist(), LABELS)]
    inner[2] = None
    deep = features("", [], {"data": {"class": {"names": ["cat", "dog"], "_type": "ClassLabel"}}})
    write("nested", {"data": pa.array(inner), "a.b": pa.array([f"g{x}" for x in LABELS])}, deep)

    # Many row groups, pages and codecs.
    for codec in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
        write(f"codec_{codec}", {"image": IMAGES, "label": numbers}, named, compression=codec, row_group_size=2)
    write("pages_v2", {"image": IMAGES, "label": numbers}, named, data_page_version="2.0", use_dictionary=False)
    plain = {"use_dictionary": False, "column_encoding": {"label": "DELTA_BINARY_PACKED", "image.bytes": "DELTA_LENGTH_BYTE_ARRAY", "image.path": "DELTA_BYTE_ARRAY"}}
    write("encodings_delta", {"image": IMAGES, "label": numbers}, named, **plain)

    # Deltas of many blocks, up and down, from the smallest number to the largest.
    many = range(300)
    pictures = pa.array([f"picture {i % 6}".encode() for i in many])
    far = [-(2**63) if i % 2 == 0 else 2**63 - 1 - i for i in many]
    text = [f"group {i // 7:03}/{'x' * (i % 5)}" for i in many]
    encodings = {"label": "DELTA_BINARY_PACKED", "far": "DELTA_BINARY_PACKED", "image": "DELTA_LENGTH_BYTE_ARRAY", "text": "DELTA_BYTE_ARRAY"}
    for name, hole, how in [
        ("deltas_v1", None, {"compression": "none"}),
        ("deltas_v2", None, {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 170}),
        ("deltas_nulls", 3, {"compression": "snappy"}),
    ]:
        holes = lambda values: [None if i % 7 == hole else v for i, v in enumerate(values)]
        columns = {"image": pictures, "label": pa.array([i * 2654435761 % 2**32 for i in many]), "far": pa.array(holes(far)), "text": pa.array(holes(text))}
        write(name, columns, use_dictionary=False, column_encoding=encodings, **how)

    # Shards that differ.
    write("shard_0", {"image": IMAGES[:2], "label": pa.array([0, 1], "int32")}, named)
    write("shard_1", {"image": IMAGES[:0], "label": pa.array([], "int64")})
    write("shard_2", {"label": pa.array([1, 0, 1, 0], "uint8"), "image": IMAGES[2:]}, named)
    write("shard_words", {"image": IMAGES, "label": pa.array(WORDS)})
    write("shard_other_names", {"image": IMAGES, "label": numbers}, features("label", ["cat", "wolf"]))

    # Kinds of a group column.
    for name, values in {
        "uint8": pa.array(LABELS, "uint8"),
        "dictionary": pa.array(WORDS).dictionary_encode(),
        "bool": pa.array([bool(x) for x in LABELS]),
        "float64": pa.array([0.5, 0.5, 1.0, 1.0, np.inf, 2.0]),
        "date32": pa.array([0, 1, 2, 3, 4, 19_000], "int32").cast(pa.date32()),
        "timestamp": pa.array([0, 1, 2, 3, 4, 5], pa.timestamp("us")),
        "list": pa.array([[1]] * N),
    }.items():
        write(f"extra_{name}", {"image": IMAGES, "label": numbers, "extra": values})


if __name__ == "__main__":
    main()
