"""Small files of weights as PyTorch and safetensors write them, for tests/weights.rs.

    python tests/reference/weights.py      (from the repository's root; versions in requirements-efficientnet.txt)

Writes tests/golden/weights/. Every tensor's values follow from its shape: element i in row-major order is
(i * 7 % 23 - 11) / 4, which all types hold exactly (integers: i * 7 % 23 - 11).
"""

import argparse
import collections
import copy
import pathlib
import zipfile

import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path("tests/golden/weights")
FLOATS = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64}
INTEGERS = {"i16": torch.int16, "i32": torch.int32, "i64": torch.int64}


def values(*shape, dtype=torch.float32):
    count = torch.Size(shape).numel()
    whole = torch.arange(count) * 7 % 23 - 11
    return (whole if dtype in INTEGERS.values() else whole / 4).to(dtype).reshape(shape)


def typed():
    """One tensor a type, a scalar, an empty one, truth values, bytes."""
    out = {name: values(3, 4, dtype=dtype) for name, dtype in (FLOATS | INTEGERS).items()}
    return out | {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "bool": torch.tensor([True, False, True]),
                  "u8": torch.tensor([1, 200, 255], dtype=torch.uint8)}


def views():
    """Tensors that share storages, begin inside one, or run through it in other steps than row by row."""
    base = values(4, 5, 6)
    out = collections.OrderedDict()
    out["base"] = base
    out["rows"] = base[1:3]                               # an offset, contiguous
    out["columns"] = base[:, 1:4, 2:5]                    # an offset, not contiguous
    out["steps"] = base[::2, ::3, 1::2]
    out["transposed"] = values(3, 5).t()                  # column-major
    out["permuted"] = base.permute(2, 0, 1)
    out["channels_last"] = values(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    out["expanded"] = values(3, 1).expand(3, 4)           # stride 0
    out["tied"] = base                                    # the same tensor under a second name
    out["parameter"] = torch.nn.Parameter(values(4, 3).t())
    out["one"] = base[2:3, 3:4, 4:5]
    out["half_rows"] = values(6, 4, dtype=torch.float16)[2:5, 1:]
    return out


def module():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(values(*tensor.shape, dtype=tensor.dtype))
    return model


def contiguous(tensors):
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_file(contiguous(typed()), FOLDER / "typed.safetensors", metadata={"format": "pt"})
    torch.save(typed(), FOLDER / "typed.bin")
    save_file(contiguous(views()), FOLDER / "views.safetensors")
    torch.save(views(), FOLDER / "views.bin")
    state = module().state_dict()
    torch.save(state, FOLDER / "module.bin")
    torch.save({"state_dict": state, "epoch": 3, "arch": "tiny", "lr": 1e-3, "best": None}, FOLDER / "state_dict.bin")
    # Trained, so that the optimizer holds numbers and tensors.
    model = module()
    optimizer = torch.optim.Adam(model.parameters())
    model[0](torch.ones(1, 3, 3, 3)).sum().backward()
    optimizer.step()
    after = copy.deepcopy(module().state_dict())
    torch.save({"model": after, "optimizer": optimizer.state_dict(), "epoch": 300}, FOLDER / "model.bin")
    torch.save({"model": state, "args": argparse.Namespace(lr=1e-3)}, FOLDER / "namespace_beside.bin")
    torch.save({"a": values(2), "epoch": 3}, FOLDER / "number_inside.bin")
    torch.save({"a": values(2), "helper": argparse.Namespace(lr=1e-3)}, FOLDER / "object_inside.bin")
    torch.save({"student": state, "teacher": state}, FOLDER / "two_models.bin")
    torch.save(torch.nn.Linear(2, 1), FOLDER / "whole_module.bin")
    torch.save([values(2)], FOLDER / "list.bin")
    torch.save({"a": values(2), "b": values(4).to_sparse()}, FOLDER / "sparse.bin")
    torch.save({"a": values(2), "b": values(2).to(torch.complex64)}, FOLDER / "complex.bin")
    torch.save({"a": values(2)}, FOLDER / "protocol4.bin", pickle_protocol=4)
    torch.save({"a": values(2)}, FOLDER / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), FOLDER / "torchscript.bin")
    with zipfile.ZipFile(FOLDER / "views.bin") as source, zipfile.ZipFile(FOLDER / "big_endian.bin", "w") as target:
        for info in source.infolist():
            data = b"big" if info.filename.endswith("/byteorder") else source.read(info)
            target.writestr(info.filename, data)
    with zipfile.ZipFile(FOLDER / "typed.bin") as source:
        with zipfile.ZipFile(FOLDER / "compressed.bin", "w", zipfile.ZIP_DEFLATED) as target:
            for info in source.infolist():
                target.writestr(info.filename, source.read(info))
    for path in sorted(FOLDER.iterdir()):
        path.chmod(0o644)
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
