"""Goldens for tests/neighbours.rs, tests/probe.rs and tests/clustering.rs: kNN, logistic regression, k-means and UMAP from
scikit-learn and umap-learn.

    python -m pip install -r tests/reference/requirements-numerics.txt
    python tests/reference/numerics.py knn logistic kmeans umap

writes tests/golden/numerics/. Features are float32; the references compute with them in float64. An array is written as
{"shape", "f32"}: base64 of little-endian values, row after row. `umap` also writes digits.bin.gz and openemoji.bin.gz, which
the tests map themselves; the latter needs the features of EfficientNet-Lite0 in the project's cache (`cargo run --
report` puts them there), whole and under one key: remove those of earlier versions.
"""

import base64
import gzip
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).parent.parent.parent
OUT = ROOT / "tests" / "golden" / "numerics"


def packed(x):
    x = np.ascontiguousarray(x, dtype="<f4")
    return {"shape": list(x.shape), "f32": base64.b64encode(x.tobytes()).decode()}


def write(name, value):
    path = OUT / name
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")
    print(path.name, path.stat().st_size, "bytes")


def problem(seed, n, d, k, queries=24, spread=0.8, scale=1.0, offset=0.0, sparse=False, balance=None):
    """Features around class centres; every class has at least one row."""
    rng = np.random.default_rng(seed)
    chance = None if balance is None else np.asarray(balance) / np.sum(balance)
    y = np.concatenate([np.arange(k), rng.choice(k, size=n - k, p=chance)])
    centres = rng.normal(size=(k, d)) * spread
    x = rng.normal(size=(n, d)) + centres[y]
    q = rng.normal(size=(queries, d)) + centres[rng.integers(0, k, queries)]
    if sparse:
        x, q = np.maximum(x - 0.5, 0), np.maximum(q - 0.5, 0)
        x[:, 0] += 0.1
        q[:, 0] += 0.1
    return (x * scale + offset).astype(np.float32), y, (q * scale + offset).astype(np.float32)


def knn():
    cases = {
        "many rows": problem(0, 150, 8, 5),
        "two classes": problem(1, 100, 6, 2),
        "fewer rows than columns": problem(2, 12, 24, 3),
        "many classes": problem(3, 120, 10, 40),
        "one class rare": problem(4, 100, 5, 4, balance=[50, 30, 20, 1]),
        "clusters apart": problem(5, 90, 6, 3, spread=8),
        "small features": problem(6, 100, 8, 4, scale=1e-3),
        "large features": problem(7, 100, 8, 4, scale=1e3),
        "far from the origin": problem(8, 100, 8, 4, offset=100),
        "far from the origin and close": problem(9, 100, 8, 4, scale=1e-2, offset=100),
        "sparse": problem(10, 120, 16, 6, sparse=True),
        "one column": problem(11, 60, 1, 3),
        "two columns": problem(12, 140, 2, 7),
        "no structure": problem(13, 120, 12, 6, spread=0),
        "many queries": problem(14, 60, 6, 3, queries=80),
        "few rows": problem(15, 7, 4, 2),
        "wide": problem(16, 40, 24, 8),
        "imbalanced": problem(17, 140, 6, 3, balance=[100, 5, 1]),
        "tiny features": problem(18, 80, 6, 4, scale=1e-6),
        "mixed scales": problem(19, 100, 8, 4),
    }
    x, y, q = cases["mixed scales"]
    stretch = np.logspace(-2, 2, 8).astype(np.float32)
    cases["mixed scales"] = (x * stretch, y, q * stretch)
    for name, (seed, d) in {"duplicates, two columns": (20, 2), "duplicates, four columns": (21, 4)}.items():
        x, y, q = problem(seed, 120, d, 4)
        cases[name] = (np.round(x), y, np.round(q))
    out, n_queries, n_left_out = [], 0, 0
    for name, (x, y, q) in cases.items():
        x64, q64 = x.astype(np.float64), q.astype(np.float64)
        euclidean = np.sqrt(((q64[:, None] - x64[None]) ** 2).sum(2))
        unit = lambda a: a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-300)
        cosine = 1 - unit(q64) @ unit(x64).T
        golden = {"name": name, "x": packed(x), "y": y.tolist(), "q": packed(q), "cases": []}
        for metric, k, votes in [("euclidean", 1, "uniform"), ("euclidean", 5, "uniform"), ("cosine", 5, "uniform"),
                                 ("cosine", min(20, len(x)), "weighted")]:
            distances = euclidean if metric == "euclidean" else cosine
            if name.startswith("duplicates") and metric == "cosine":
                continue  # Ties of cosines are a matter of rounding.
            order = np.argsort(distances, axis=1, kind="stable")[:, :k]
            ranked = np.sort(distances, axis=1)
            if k < len(x):
                left_out = ranked[:, k] - ranked[:, k - 1] <= 1e-6 * np.maximum(ranked[:, k], 1e-300)
            else:
                left_out = np.zeros(len(q), dtype=bool)
            weights = np.ones(order.shape) if votes == "uniform" else np.exp(
                (1 - np.take_along_axis(distances, order, 1)) / 0.07)
            tally = np.zeros((len(q), y.max() + 1))
            for i in range(len(q)):
                np.add.at(tally[i], y[order[i]], weights[i])
            predictions = tally.argmax(1)
            if votes == "uniform":
                model = KNeighborsClassifier(k, algorithm="brute", metric=metric).fit(x64, y)
                theirs = model.predict(q64)
                assert (theirs == predictions)[~left_out].all(), (name, metric, k)
            if name.startswith("duplicates"):
                left_out[:] = False
            n_queries, n_left_out = n_queries + len(q), n_left_out + int(left_out.sum())
            golden["cases"].append({"metric": metric, "k": k, "votes": votes, "predictions": predictions.tolist(),
                                    "rows": order.tolist(), "left_out": left_out.tolist()})
        out.append(golden)
    print(f"kNN: {n_left_out} of {n_queries} queries left out")
    write("knn.json", out)


def logistic():
    with_constant = lambda p: (np.hstack([p[0], np.full((len(p[0]), 1), 3, np.float32)]), p[1],
                               np.hstack([p[2], np.full((len(p[2]), 1), 3, np.float32)]))
    doubled = lambda p: (np.hstack([p[0], p[0]]), p[1], np.hstack([p[2], p[2]]))
    lonely = problem(5, 60, 6, 3)
    lonely[1][:] = np.where(lonely[1] == 2, 0, lonely[1])
    lonely[1][7] = 2
    cases = [
        ("many rows", problem(30, 150, 8, 4), 1.0, None, False),
        ("two classes", problem(31, 100, 6, 2), 1.0, None, False),
        ("n < d", problem(32, 14, 24, 3), 1.0, None, False),
        ("n < d, two classes", problem(33, 10, 20, 2), 100.0, None, False),
        ("separable", problem(34, 80, 6, 3, spread=8), 1.0, None, False),
        ("separable, weak penalty", problem(35, 80, 6, 3, spread=8), 100.0, None, False),
        ("one class with one row", lonely, 1.0, None, False),
        ("constant feature", with_constant(problem(36, 80, 5, 3)), 1.0, None, False),
        ("duplicated features", doubled(problem(37, 80, 5, 3)), 1.0, None, False),
        ("features x 1e-4", problem(38, 100, 6, 4, scale=1e-4), 100.0, None, False),
        ("features x 1e4", problem(39, 100, 6, 4, scale=1e4), 1.0, None, False),
        ("imbalanced", problem(40, 140, 6, 3, balance=[100, 10, 2]), 1.0, None, False),
        ("twenty classes", problem(41, 150, 8, 20), 1.0, None, False),
        ("strong penalty", problem(42, 100, 6, 4), 1e-3, None, False),
        ("weak penalty", problem(43, 140, 6, 4), 100.0, None, False),
        ("balanced", problem(44, 140, 6, 3, balance=[100, 10, 2]), 1.0, "balanced", False),
        ("balanced, two classes", problem(45, 120, 6, 2, balance=[100, 5]), 0.1, "balanced", False),
        ("balanced, twenty classes", problem(46, 150, 8, 20), 1.0, "balanced", False),
        ("standardised", problem(47, 100, 6, 4, scale=50, offset=100), 1.0, None, True),
        ("standardised, constant feature", with_constant(problem(48, 100, 6, 4, scale=1e-3)), 1.0, None, True),
        ("standardised and balanced", problem(49, 120, 6, 3, balance=[80, 10, 4]), 1.0, "balanced", True),
    ]
    out = []
    for name, (x, y, q), c, class_weight, standardise in cases:
        a, b = x.astype(np.float64), q.astype(np.float64)
        if standardise:
            scaler = StandardScaler().fit(a)
            a, b = scaler.transform(a), scaler.transform(b)

        def objective(model):
            """Weighted mean cross-entropy + |W|^2 / (2 C S), S the sum of the row weights; as scikit-learn's."""
            weight = np.ones(len(y))
            if class_weight == "balanced":
                counts = np.bincount(y)
                weight = (len(y) / ((counts > 0).sum() * np.maximum(counts, 1)))[y]
            log = model.predict_log_proba(a)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
            return -(weight * log).sum() / weight.sum() + (model.coef_**2).sum() / (2 * c * weight.sum())

        fit = lambda tol, **kw: LogisticRegression(C=c, tol=tol, max_iter=10_000, class_weight=class_weight, **kw).fit(a, y)
        theirs, tight = fit(1e-6), fit(1e-12, solver="newton-cholesky")
        gap = abs(theirs.predict_proba(b) - tight.predict_proba(b)).max()
        if gap > 1e-3:
            print(f"{name}: scikit-learn at 1e-6 is {gap:.1e} from its tight solution")
        out.append({"name": name, "x": packed(x), "y": y.tolist(), "q": packed(q), "c": c, "class_weight": class_weight,
                    "standardise": standardise, "objective": objective(theirs), "tight_objective": objective(tight),
                    "probabilities": np.round(theirs.predict_proba(b), 8).tolist(),
                    "tight_probabilities": np.round(tight.predict_proba(b), 8).tolist()})
    write("logistic.json", out)


def kmeans():
    rng = np.random.default_rng(60)
    # Rows repeat, but no two places are equally far from a third: there the order of ties would decide.
    places = rng.normal(size=(20, 2)).astype(np.float32)
    cases = [
        ("overlapping blobs", problem(61, 150, 6, 5, spread=1.5)[0], 5, 10),
        ("uniform", rng.random((150, 3)).astype(np.float32), 8, 10),
        ("repeated rows", places[rng.integers(0, 20, size=150)], 12, 10),
        ("mixed scales", problem(62, 150, 4, 4)[0] * np.float32([1, 10, 0.1, 100]), 6, 10),
        ("one start", problem(63, 150, 6, 3, spread=6)[0], 3, 1),
        ("far from the origin", problem(64, 150, 6, 5, spread=3, offset=1000)[0], 5, 10),
        ("digits", load_digits().data.astype(np.float32), 10, 10),
    ]
    out = []
    for name, x, k, n_init in cases:
        inertias = [KMeans(k, n_init=n_init, random_state=s).fit(x.astype(np.float64)).inertia_ for s in range(10)]
        golden = {"name": name, "k": k, "n_init": n_init, "inertias": inertias, "median": float(np.median(inertias))}
        out.append(golden | ({"data": "digits"} if name == "digits" else {"x": packed(x)}))
    write("kmeans.json", out)


def openemoji():
    """2,500 images under EfficientNet-Lite0, on their first 48 principal components, as float16; and their classes."""
    import pyarrow.parquet as pq

    table = pq.read_table(ROOT / "data_manifests/embedded/openemoji.parquet", columns=["label", "style"])
    labels, styles = np.array(table["label"].to_pylist()), np.array(table["style"].to_pylist())
    features = ROOT / ".wider-clip/cache/features/openemoji/efficientnet_lite0.in1k"
    folders = sorted(folder for folder in features.iterdir() if any(folder.glob("*.parquet")))
    if len(folders) != 1:
        sys.exit(f"{features}: expected features under one key, found {[folder.name for folder in folders]}")
    tables = [pq.read_table(shard) for shard in sorted(folders[0].glob("*.parquet"))]
    rows = np.concatenate([t["row"].to_numpy() for t in tables])
    name = next(c for c in tables[0].column_names if c not in ("row", "id", "error"))
    features = np.concatenate([np.stack(t[name].to_pylist()) for t in tables]).astype(np.float64)
    kept = np.flatnonzero(styles[rows] != "openmoji")
    kept = np.sort(np.random.default_rng(0).choice(kept, 2500, replace=False))
    x = features[kept] - features[kept].mean(0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    _, y = np.unique(labels[rows[kept]], return_inverse=True)
    return (u[:, :48] * s[:48]).astype("<f2"), y.astype(np.uint8)


def umap_goldens():
    import umap
    from sklearn.manifold import trustworthiness
    from umap.umap_ import find_ab_params, fuzzy_simplicial_set, nearest_neighbors, smooth_knn_dist

    digits = load_digits()
    x, y = digits.data.astype(np.uint8), digits.target.astype(np.uint8)
    (OUT / "digits.bin.gz").write_bytes(gzip.compress(x.tobytes() + y.tobytes(), mtime=0))
    emoji, classes = openemoji()
    (OUT / "openemoji.bin.gz").write_bytes(gzip.compress(emoji.tobytes() + classes.tobytes(), mtime=0))
    golden = {"ab": list(map(float, find_ab_params(1.0, 0.1))), "maps": {}, "graphs": []}
    for name, features, labels in [("digits", x.astype(np.float32), y), ("openemoji", emoji.astype(np.float32), classes)]:
        seeds = []
        for seed in range(10):
            placed = umap.UMAP(random_state=seed).fit_transform(features)
            clusters = KMeans(len(set(labels.tolist())), n_init=10, random_state=0).fit_predict(placed)
            seeds.append({"trustworthiness": float(trustworthiness(features, placed, n_neighbors=15)),
                          "ari": float(adjusted_rand_score(labels, clusters))})
        golden["maps"][name] = seeds
        print(name, *[f"{s['trustworthiness']:.4f}/{s['ari']:.3f}" for s in seeds])
    rng = np.random.default_rng(70)
    apart = rng.normal(size=(60, 5)) + np.repeat([[0] * 5, [100] * 5, [-100] * 5], 20, axis=0)
    for features in (rng.normal(size=(60, 5)).astype(np.float32), apart.astype(np.float32)):
        indices, distances, _ = nearest_neighbors(features, 15, "euclidean", {}, False, np.random.RandomState(0))
        sigmas, rhos = smooth_knn_dist(distances.astype(np.float32), 15.0)
        graph = fuzzy_simplicial_set(features, 15, np.random.RandomState(0), "euclidean")[0].tocoo()
        golden["graphs"].append({"x": packed(features), "indices": indices.tolist(), "sigmas": sigmas.tolist(),
                                 "rhos": rhos.tolist(), "rows": graph.row.tolist(), "columns": graph.col.tolist(),
                                 "weights": graph.data.tolist()})
    write("umap.json", golden)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:] or ["knn", "logistic", "kmeans", "umap"]
    for name, make in [("knn", knn), ("logistic", logistic), ("kmeans", kmeans), ("umap", umap_goldens)]:
        if name in wanted:
            make()
