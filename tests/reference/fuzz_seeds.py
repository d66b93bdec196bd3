"""The small files that tests/fuzz.rs begins with: what its readers take, in as many forms as they have.

    python tests/reference/fuzz_seeds.py      (from the repository's root; versions in requirements-fuzz.txt)

Writes tests/fuzz/seeds/{bmp,parquet,tar,zip,pickle}/ and tests/fuzz/regressions/pickle/. Images of the other formats are those of tests/golden/images/decode.
"""

import collections
import io
import json
import pathlib
import pickle
import pickletools
import shutil
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

FOLDER = pathlib.Path("tests/fuzz/seeds")


def picture(i, kind="PNG", mode="RGB", size=(5, 4)):
    image = Image.new("RGB", size)
    image.putdata([((37 * i + 50 * x) % 256, 60 * y % 256, 11 * (x + y + i) % 256)
                   for y in range(size[1]) for x in range(size[0])])
    out = io.BytesIO()
    image.convert(mode).save(out, kind)
    return out.getvalue()


def write(name, data):
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def bmp():
    for mode in ["RGB", "L", "P", "1"]:
        write(f"bmp/{mode}.bmp", picture(1, "BMP", mode))


def parquet():
    n = 5
    images = [{"bytes": picture(i), "path": f"{i}.png"} for i in range(n)]
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    text = [f"class {i % 2}" for i in range(n)]
    hf = {"info": {"features": {"image": {"_type": "Image"},
                                "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    numbers = pa.table({"image": pa.array(images, image), "label": pa.array([i % 2 for i in range(n)], pa.int64())})
    numbers = numbers.replace_schema_metadata({"huggingface": json.dumps(hf)})
    words = pa.table({"image": pa.array(images, image), "label": pa.array(text)})
    for name, table, options in [
        ("numbers_snappy", numbers, {"compression": "snappy"}),
        ("numbers_plain", numbers, {"compression": "none", "use_dictionary": False}),
        ("words_zstd", words, {"compression": "zstd"}),
        ("words_gzip", words, {"compression": "gzip", "data_page_version": "2.0"}),
        ("words_groups", words, {"compression": "none", "row_group_size": 2}),
        ("words_delta", words, {"use_dictionary": False, "compression": "none",
                                "column_encoding": {"label": "DELTA_BYTE_ARRAY", "image.path": "DELTA_LENGTH_BYTE_ARRAY"}}),
    ]:
        out = io.BytesIO()
        pq.write_table(table, out, **options)
        write(f"parquet/{name}.parquet", out.getvalue())


def archives():
    files = [(f"set/{label}/{i}.png", picture(i)) for label in ["cat", "dog"] for i in range(2)]
    for name, kind in [("plain", "w"), ("gnu", "w"), ("pax", "w")]:
        formats = {"plain": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=kind, format=formats[name]) as tar:
            for path, data in files:
                # Longer than an old header holds.
                long = path[:-5] + 120 * "x" + path[-5:]
                info = tarfile.TarInfo(path if name == "plain" else long)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            link = tarfile.TarInfo("set/cat/link.png")
            link.type, link.linkname = tarfile.SYMTYPE, 120 * "x" + "0.png"
            if name == "gnu":
                tar.addfile(link)
        write(f"tar/{name}.tar", out.getvalue())
    for name, method in [("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)]:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for path, data in files:
                archive.writestr(zipfile.ZipInfo(path), data, method)
        write(f"zip/{name}.zip", out.getvalue())


class Storage:
    """What torch.save names outside of the pickle."""

    def __init__(self, kind, name, count):
        self.id = ("storage", Named("torch", kind), name, "cpu", count)


class Named:
    """A class or function by its name alone."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class Pickler(pickle._Pickler):
    """Writes names as they are, without importing what they name."""

    def persistent_id(self, value):
        return value.id if isinstance(value, Storage) else None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Named):
            if id(value) in self.memo:
                return self.write(self.get(self.memo[id(value)][0]))
            if self.proto >= 4:
                self.save(value.module)
                self.save(value.name)
                self.write(pickle.STACK_GLOBAL)
            else:
                self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
            return self.memoize(value)
        if isinstance(value, Call):
            self.save(value.function)
            self.save(value.arguments)
            return self.write(pickle.REDUCE)
        return super().save(value, save_persistent_id)


def pickles():
    v2, v3 = Named("torch._utils", "_rebuild_tensor_v2"), Named("torch._utils", "_rebuild_tensor_v3")
    parameter = Named("torch._utils", "_rebuild_parameter")
    hooks = collections.OrderedDict()
    zero, one = Storage("FloatStorage", "0", 6), Storage("FloatStorage", "1", 2)
    w = Call(v2, zero, 0, (2, 3), (3, 1), False, hooks)
    turned = Call(v2, zero, 0, (3, 2), (1, 3), False, hooks)
    expanded = Call(v2, one, 1, (4, 2), (0, 0), False, hooks)
    b = Call(parameter, Call(v2, one, 0, (2,), (1,), False, hooks), True, hooks)
    untyped = Storage("UntypedStorage", "1", 8)
    newest = Call(v3, untyped, 0, (4,), (1,), False, hooks, Named("torch", "uint16"), {})
    state = collections.OrderedDict(w=w, b=b)
    namespace = Call(Named("argparse", "Namespace"))
    files = {
        "plain": state,
        "twice": {"state_dict": state, "model": state},
        "beside": {"model": state, "epoch": 7, "lr": 1e-3, "args": namespace, "seed": 2**64 - 1, "ids": {1, 2},
                   "key": b"\x00\x01", "none": None, "best": [1.5, True, (1, 2, 3, 4)]},
        "views": {"turned": turned, "expanded": expanded, "newest": newest, "w": w},
    }
    for name, value in files.items():
        for protocol in [2, 3, 4, 5]:
            out = io.BytesIO()
            pickler = Pickler(out, protocol)
            pickler.dump(value)
            if protocol == 2:
                pickletools.dis(out.getvalue(), io.StringIO())
            write(f"pickle/{name}{protocol}.pkl", out.getvalue())
    for protocol in [0, 1]:
        write(f"pickle/words{protocol}.pkl", pickle.dumps({"epoch": 7, "lr": 1e-3, "who": "a\nb", "all": [1, 2, (3,)]}, protocol))


def harmful():
    """Pickles that once took memory without end, or overran the stack."""
    folder = FOLDER.parent / "regressions" / "pickle"
    folder.mkdir(parents=True, exist_ok=True)
    text = lambda word: b"X" + len(word).to_bytes(4, "little") + word.encode()
    tensor = (b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + b"ctorch\nFloatStorage\n" + text("1")
              + text("cpu") + b"K\x02tQK\x00J\x00\x00\x00\x40K\x02\x86K\x00K\x00\x86\x89NtR")
    for name, data in {
        "doubled": b"\x80\x02)" + 100 * b"2\x86" + b".",
        "lists": b"\x80\x02]q\x00" + 40 * b"]q\x01h\x00ah\x01h\x00a0h\x01q\x000" + b"h\x00.",
        "nested": b"\x80\x02)" + 50_000 * b"\x85" + b".",
        "wrapped": b"\x80\x02}" + text("a") + 2_000 * b"ctorch._utils\n_rebuild_parameter\n" + tensor + 2_000 * b"\x85R" + b"s.",
        "own": b"\x80\x02}q\x00" + text("model") + b"h\x00s.",
        "repeated": b"\x80\x02}" + text("a") + tensor + b"s.",
    }.items():
        (folder / f"{name}.pkl").write_bytes(data)


def main():
    for kind in ["bmp", "parquet", "tar", "zip", "pickle"]:
        shutil.rmtree(FOLDER / kind, ignore_errors=True)
    bmp()
    parquet()
    archives()
    pickles()
    harmful()
    print(sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()), "bytes")


if __name__ == "__main__":
    main()
