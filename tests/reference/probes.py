"""Goldens for tests/probe.rs: scikit-learn on small seeded problems.

    python -m pip install -r tests/reference/requirements-metrics.txt
    python tests/reference/probes.py

writes tests/golden/probes.json: features, labels, queries, and what KNeighborsClassifier and LogisticRegression say;
and tests/golden/numerics/offset.json: a logistic regression on columns far from 0.
"""

import base64
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

OFFSET = Path(__file__).parent.parent / "golden" / "numerics" / "offset.json"
OUT = Path(__file__).parent.parent / "golden" / "probes.json"


def problem(name, seed, n, d, classes, queries=12, scale=1.0, separable=False, duplicates=False):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centres = rng.normal(size=(classes, d)) * (4.0 if separable else 0.7)
    x = (rng.normal(size=(n, d)) + centres[y]) * scale
    q = (rng.normal(size=(queries, d)) + centres[rng.integers(0, classes, queries)]) * scale
    if duplicates:
        x = np.round(x)
        q = np.round(q)
    return name, np.round(x, 4).astype(np.float32), y, np.round(q, 4).astype(np.float32)


PROBLEMS = [
    problem("many rows", 0, 60, 6, 4),
    problem("two classes", 1, 40, 5, 2),
    problem("fewer rows than columns", 2, 12, 20, 3),
    problem("separable", 3, 30, 4, 3, separable=True),
    problem("small features", 4, 40, 5, 3, scale=1e-2),
    problem("large features", 5, 40, 5, 3, scale=1e2),
    problem("duplicates", 6, 60, 2, 3, duplicates=True),
]


def offset():
    """Columns around 2000: scikit-learn's own criterion is met far from the minimum, which the centred columns have."""
    rng = np.random.default_rng(7)
    y = np.arange(200) % 2
    x = np.round((rng.normal(size=(200, 4)) + 0.8 * y[:, None]) * 8) / 8
    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=100000).fit(x, y)
    # The intercept has no penalty: an offset moves it and nothing else.
    logits = model.decision_function(x)
    loss = np.logaddexp(0, logits) - y * logits
    objective = loss.mean() + (model.coef_**2).sum() / (2 * len(y))
    rows = (x + 2000).astype("<f4")
    return {
        "x": {"shape": list(rows.shape), "f32": base64.b64encode(rows.tobytes()).decode()},
        "y": y.tolist(),
        "objective": objective,
    }


def main():
    OFFSET.write_text(json.dumps(offset()) + "\n")
    goldens = []
    for name, x, y, q in PROBLEMS:
        golden = {"name": name, "x": x.tolist(), "y": y.tolist(), "q": q.tolist(), "lr": [], "knn": []}
        for c in (0.01, 1.0, 100.0):
            model = LogisticRegression(C=c, tol=1e-8, max_iter=10000).fit(x.astype(np.float64), y)
            golden["lr"].append({"c": c, "probabilities": np.round(model.predict_proba(q), 7).tolist()})
        for k in (1, 5):
            # The brute-force search ranks by distance alone; the index breaks ties, as in our own.
            distances = np.linalg.norm(q[:, None].astype(np.float64) - x[None].astype(np.float64), axis=2)
            order = np.argsort(distances, axis=1, kind="stable")[:, :k]
            model = KNeighborsClassifier(n_neighbors=k, algorithm="brute").fit(x.astype(np.float64), y)
            votes = np.array([np.bincount(y[row]).argmax() for row in order])
            tied = [bool(np.isclose(np.sort(row)[k - 1], np.sort(row)[k])) for row in distances]
            theirs = model.predict(q.astype(np.float64))
            assert all(t or a == b for t, a, b in zip(tied, votes, theirs)), name
            golden["knn"].append({"k": k, "rows": order.tolist(), "votes": votes.tolist(), "tied": tied})
        goldens.append(golden)
    OUT.write_text(json.dumps(goldens, separators=(",", ":")) + "\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
