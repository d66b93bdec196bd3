"""The Python twin of the benchmark: scikit-learn and umap-learn on the same arrays, driven over standard input.

Reads one JSON command a line and answers one JSON line. Arrays are .npy files, loaded before the clock starts; only
fitting and predicting is timed. Threads are set by the caller through the environment.
"""

import json
import sys
import time
import warnings

import numpy as np
import sklearn
import umap
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

ARRAYS = {}


def load(path):
    if path not in ARRAYS:
        ARRAYS[path] = np.load(path)
    return ARRAYS[path]


def objective(model, x, y):
    """Mean cross-entropy + |W|^2 / (2 C n)."""
    log = model.predict_log_proba(x.astype(np.float64))[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return float(-log.mean() + (model.coef_.astype(np.float64) ** 2).sum() / (2 * model.C * len(y)))


def knn(c, x, y):
    q = load(c["q"])
    start = time.perf_counter()
    predicted = KNeighborsClassifier(c["k"], algorithm="brute").fit(x, y).predict(q)
    seconds = time.perf_counter() - start
    return seconds, {"predicted": predicted.tolist()}


def lr(c, x, y):
    start = time.perf_counter()
    model = LogisticRegression(C=c["c"]).fit(x, y)
    return time.perf_counter() - start, {"objective": objective(model, x, y), "iterations": int(model.n_iter_.max())}


def lr_sweep(c, x, y):
    xv, yv = load(c["xv"]), load(c["yv"])
    start = time.perf_counter()
    accuracies = [LogisticRegression(C=v, max_iter=1000).fit(x, y).score(xv, yv) for v in c["cs"]]
    best = c["cs"][int(np.argmax(accuracies))]
    both, labels = np.vstack([x, xv]), np.concatenate([y, yv])
    model = LogisticRegression(C=best, max_iter=1000).fit(both, labels)
    seconds = time.perf_counter() - start
    return seconds, {"c": best, "accuracy": max(accuracies), "objective": objective(model, both, labels)}


def kmeans(c, x, y):
    start = time.perf_counter()
    model = KMeans(n_clusters=c["k"], n_init=c["n_init"], random_state=c["seed"]).fit(x)
    return time.perf_counter() - start, {"inertia": float(model.inertia_)}


def umap_map(c, x, y):
    start = time.perf_counter()
    placed = umap.UMAP(n_jobs=-1).fit_transform(x)
    seconds = time.perf_counter() - start
    clusters = KMeans(len(np.unique(y)), n_init=10, random_state=0).fit_predict(placed)
    return seconds, {"ari": float(adjusted_rand_score(y, clusters))}


def probes(c, x, y):
    splits = [(np.array(s["train"]), np.array(s["test"])) for s in c["splits"]]
    start = time.perf_counter()
    accuracies = []
    for train, test in splits:
        for model in (KNeighborsClassifier(5, algorithm="brute"), LogisticRegression()):
            predicted = model.fit(x[train], y[train]).predict(x[test])
            accuracies.append(float((predicted == y[test]).mean()))
    return time.perf_counter() - start, {"accuracy": float(np.mean(accuracies))}


WORKS = {"knn": knn, "lr": lr, "lr_sweep": lr_sweep, "kmeans": kmeans, "umap": umap_map, "probes": probes}


def main():
    versions = {"Python": sys.version.split()[0], "numpy": np.__version__, "scikit-learn": sklearn.__version__,
                "umap-learn": umap.__version__}
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        x, y = load(command["x"]), load(command["y"])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            seconds, answer = WORKS[command["work"]](command, x, y)
        answer["not_converged"] = sum(issubclass(w.category, ConvergenceWarning) for w in caught)
        print(json.dumps(answer | {"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
