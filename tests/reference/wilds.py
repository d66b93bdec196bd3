"""Golden values of drift, from the evaluation of the wilds package.

    python -m venv .venv
    grep -v torch-scatter tests/reference/requirements-wilds.txt | .venv/bin/pip install -r /dev/stdin
    .venv/bin/pip install --no-build-isolation torch-scatter==2.1.2
    WIDER_CLIP_WILDS_OUT=/tmp/wilds cargo test --test wilds
    .venv/bin/python tests/reference/wilds.py /tmp/wilds

Run from the repository's root; writes tests/golden/wilds.json. The folder holds the tables of both miniatures and
files of predictions, predictions/SOURCE/DATASET/, each of which `examples/evaluate.py` of the package's repository
reads as its predictions_dir too (--dataset DATASET --root_dir /tmp/wilds).

The package opens each table with its own data set class, divides it, numbers its classes and scores the files, as
evaluate.py does. Its accuracies are f32; the number of right answers that each stands for is kept, so that they can be
compared as f64. Recall and F1 come from scikit-learn as f64 and are kept so by torch's default type.
"""

import ast
import hashlib
import json
import pathlib
import sys

# This folder holds a file with the package's name: this one.
sys.path = sys.path[1:]

import numpy as np
import torch
from wilds import get_dataset


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def right(accuracy, n):
    """How many of n are right, where the package says which fraction, as f32."""
    found = round(accuracy * n)
    assert np.float32(found / n) == np.float32(accuracy), (accuracy, n)
    return found


def by_group(results, field):
    """Right answers and images of the groups that have images."""
    counts = {}
    for key, n in results.items():
        prefix = f"count_{field}:"
        if key.startswith(prefix) and n > 0:
            name = key.removeprefix(prefix)
            counts[name] = [right(results[f"acc_{field}:{name}"], n), int(n)]
    return counts


def exact(accuracy, counts):
    """The worst accuracy as f64: one of the groups has it."""
    fractions = [right / n for right, n in counts.values()]
    return next(fraction for fraction in fractions if np.float32(fraction) == np.float32(accuracy))


def scores(dataset, split, path):
    subset = dataset.get_subset(split)
    lines = [ast.literal_eval(line.rstrip()) for line in path.read_text().splitlines() if line.rstrip()]
    predicted = torch.from_numpy(np.array(lines))
    assert predicted.shape == subset.y_array.shape, (path, predicted.shape, subset.y_array.shape)
    # What counts by group is f32 inside.
    torch.set_default_dtype(torch.float64 if dataset.dataset_name == "iwildcam" else torch.float32)
    results, _ = dataset.eval(predicted, subset.y_array, subset.metadata_array)
    n = len(lines)
    found = {"sha256": sha256(path), "n": n, "acc_avg": right(results["acc_avg"], n) / n}
    if dataset.dataset_name == "iwildcam":
        return found | {key: results[key] for key in ("recall-macro_all", "F1-macro_all")}
    years, regions = by_group(results, "year"), by_group(results, "region")
    return found | {
        "acc_worst_year": exact(results["acc_worst_year"], years),
        "acc_worst_region": exact(results["acc_worst_region"], regions),
        "years": years,
        "regions": regions,
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    golden = {"tables": {}, "scores": {}}
    for name in ("fmow", "iwildcam"):
        dataset = get_dataset(name, root_dir=str(folder), download=False)
        for table in sorted(pathlib.Path(dataset.data_dir).glob("*.csv")):
            golden["tables"][f"{table.parent.name}/{table.name}"] = sha256(table)
        for source in ("formula", "knn", "lr"):
            for split in ("id_test", "id_val", "test", "val"):
                path = folder / "predictions" / source / name / f"{name}_split:{split}_seed:0_epoch:best_pred.csv"
                golden["scores"][f"{source} {name} {split} 0"] = scores(dataset, split, path)
    path = pathlib.Path("tests/golden/wilds.json")
    path.write_text(json.dumps(golden) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
