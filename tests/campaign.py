#!/usr/bin/env python3
"""The kill campaign: the program is killed at random moments, runs into a full disk or a read-only cache, or runs beside
itself on one cache; whatever happens, the same command afterwards ends with the same bytes.

    python3 tests/campaign.py                      1,000 kills, about an hour on two cores
    python3 tests/campaign.py --kills 40 rows      a part of it

Needs a built program (`cargo build`), Linux, nothing but the standard library. `disk` and `readonly` mount a small file system
and so need root; without it they say so and fail. `report` needs the notebook kernel (`cargo run -- setup`).

Stages: rows (extraction, probes, clustering, alignment), pretrain, report, disk, readonly, beside. Each round starts from an
empty folder, is disturbed until it ends by itself, and is held against a round that nobody disturbed: every Parquet file of
features and rows, every weight, every output of a notebook. Dates, durations and the machine's name are left out.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Seconds that a kernel may take to notice that its runner is gone.
OUTLIVES = 120
STAGES = ["rows", "pretrain", "report", "disk", "readonly", "beside"]
SUITE = """id = "campaign"
description = "For the kill campaign: every kind of work on very little."
datasets = ["icons"]
models = ["pixels.raw", "convnext_tiny_pocket.icons", "clip_pocket.icons"]
methods = ["knn", "lr", "zero_shot"]
budgets = [10]
seeds = [0, 1]
max_images = 600
"""


def program():
    target = json.loads(subprocess.run(["cargo", "metadata", "--offline", "--no-deps", "--format-version", "1"], cwd=ROOT,
                                       check=True, capture_output=True, text=True).stdout)["target_directory"]
    found = sorted(Path(target).glob("*/debug/wider-clip"), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit("no built program; run `cargo build` first")
    return found[-1]


def project(folder):
    """A project of its own: manifests and embedded files by link, nothing else."""
    folder.mkdir()
    manifests = folder / "data_manifests"
    manifests.mkdir()
    for entry in (ROOT / "data_manifests").iterdir():
        if entry.name not in ("suites", "results"):
            (manifests / entry.name).symlink_to(entry)
    shutil.copytree(ROOT / "data_manifests" / "suites", manifests / "suites")
    (manifests / "suites" / "campaign.toml").write_text(SUITE)
    corpus = folder / ".wider-clip" / "corpus"
    corpus.mkdir(parents=True)
    (corpus / "pocket_icons.parquet").symlink_to(ROOT / "data_manifests" / "embedded" / "icons.parquet")
    return folder


class Work:
    """A command on a project, and what it leaves."""

    def __init__(self, name, arguments, environment, leaves):
        self.name, self.arguments, self.environment, self.leaves = name, arguments, environment, leaves

    def start(self, root):
        environment = {**os.environ, "WIDER_CLIP_ROOT": str(root), "RUST_BACKTRACE": "0"}
        environment.update({key: value.format(root=root) for key, value in self.environment.items()})
        arguments = [argument.format(root=root) for argument in self.arguments]
        # A session of its own, so that a kill takes what runs a notebook with it; kernels, with sessions of theirs, notice.
        return subprocess.Popen([PROGRAM, *arguments], cwd=root, env=environment, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, start_new_session=True)

    def run(self, root):
        """Runs it undisturbed; gives status, last words and seconds."""
        begun = time.monotonic()
        process = self.start(root)
        words = process.communicate()[1].decode(errors="replace").strip()
        return process.returncode, words, time.monotonic() - begun

    def left(self, root):
        """Everything that it left, by name: a digest of what does not depend on the moment."""
        found = {}
        for pattern in self.leaves:
            for path in sorted(root.glob(pattern)):
                if path.is_file():
                    found[str(path.relative_to(root))] = timeless(path)
        return found


def timeless(path):
    data = path.read_bytes()
    if path.suffix == ".parquet" and b"origin" in data:
        rows = subprocess.run([PROGRAM, "rows", path], cwd=ROOT, capture_output=True, check=True).stdout
        return hashlib.sha256(rows).hexdigest()
    if path.suffix == ".ipynb":
        cells = json.loads(data)["cells"]
        data = json.dumps([[output.get("data", output.get("text")) for output in cell.get("outputs", [])] for cell in cells])
        # What progress says: a line for features that were computed now and not earlier; of others the time.
        data = re.sub(r'"features of [^"]*"', "", data)
        data = re.sub(r"in \d+(\.\d+)? (s|min)|\d+ min \d+ s", "", data).encode()
    return hashlib.sha256(data).hexdigest()


ROWS = Work("rows", ["ship", "--suite", "campaign"], {},
            [".wider-clip/cache/features/**/shard-*.parquet", "data_manifests/results/**/*.parquet"])
PRETRAIN = Work("pretrain", ["pretrain", "efficientnet", "--images", "1280", "--every", "1", "--out", "runs"], {},
                ["runs/*/weights.safetensors"])
REPORT = Work("report", ["report", "--suite", "smoke", "--only", "00"],
              {"WIDER_CLIP_ROOT": str(ROOT), "WIDER_CLIP_CACHE": "{root}/cache", "WIDER_CLIP_RESULTS": "{root}/results"},
              ["cache/features/**/shard-*.parquet", "report/notebooks/00_start_here.ipynb"])
REPORT.arguments += ["--out", "{root}/report"]


def compare(work, root, truth, what):
    found = work.left(root)
    if found != truth:
        names = sorted(name for name in {*found, *truth} if found.get(name) != truth.get(name))
        sys.exit(f"{what}: {len(names)} files differ from an undisturbed run, such as {names[:5]} in {root}")
    unfinished = [str(path) for path in root.rglob(".writing-*")]
    return len(unfinished)


def kills(work, count, scratch):
    """Kills until `count` kills are spent; a round ends when the command does."""
    truth_root = project(scratch / "truth")
    status, words, seconds = work.run(truth_root)
    if status:
        sys.exit(f"{work.name}: undisturbed it ended with {status}: {words}")
    truth, spent, rounds, left = work.left(truth_root), 0, 0, 0
    if not truth:
        sys.exit(f"{work.name}: it left nothing to compare")
    shortest = min(0.05 * seconds, 0.3)
    while spent < count:
        root = project(scratch / "round")
        while True:
            process = work.start(root)
            # Often early, sometimes late; the last round is let end.
            patience = shortest + random.expovariate(2.5 / seconds) if spent < count else None
            try:
                words = process.communicate(timeout=patience)[1].decode(errors="replace").strip()
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                try:
                    # Ends when nothing that it started has the pipe any more.
                    process.communicate(timeout=OUTLIVES)
                except subprocess.TimeoutExpired:
                    sys.exit(f"{work.name}: after {spent + 1} kills something that it started lives on, {OUTLIVES} s later")
                spent += 1
                continue
            if process.returncode:
                sys.exit(f"{work.name}: after {spent} kills it ended with {process.returncode}: {words}")
            break
        left += compare(work, root, truth, f"{work.name} after {spent} kills")
        rounds += 1
        tell(work.name, f"{spent} kills, {rounds} rounds ended byte-equal, {len(truth)} files each")
        shutil.rmtree(root)
    return f"{spent} kills in {rounds} rounds, each byte-equal ({len(truth)} files); {left} temporary files left behind"


def mounted(folder, size):
    folder.mkdir(exist_ok=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        sys.exit(f"a file system cannot be mounted: {made.stderr.strip()} (the stages disk and readonly need root)")


def remount(folder, options):
    for _ in range(200):
        if subprocess.run(["mount", "-o", f"remount,{options}", folder], capture_output=True).returncode == 0:
            return
        time.sleep(0.02)
    sys.exit(f"{folder} cannot be remounted with {options}")


def disk(rounds, scratch):
    """The disk of the cache fills up at some moment; with more room the same command ends well."""
    return disturbed("disk", rounds, scratch, lambda need: f"size={int(need * random.uniform(0.02, 0.95))}", "size=4G", "space")


def readonly(rounds, scratch):
    """The cache becomes read-only at some moment."""
    return disturbed("readonly", rounds, scratch, None, "rw", "ead-only")


def disturbed(name, rounds, scratch, smaller, mended, word):
    truth_root = project(scratch / "truth")
    status, words, seconds = ROWS.run(truth_root)
    if status:
        sys.exit(f"{name}: undisturbed it ended with {status}: {words}")
    truth = ROWS.left(truth_root)
    need = sum(path.stat().st_size for path in (truth_root / ".wider-clip" / "cache").rglob("*") if path.is_file())
    refused = 0
    for number in range(rounds):
        root = project(scratch / "round")
        cache = root / ".wider-clip" / "cache"
        mounted(cache, "4G")
        try:
            if smaller:
                remount(cache, smaller(need))
                status, words, _ = ROWS.run(root)
            else:
                process = ROWS.start(root)
                time.sleep(random.uniform(0.0, seconds))
                remount(cache, "ro")
                words = process.communicate()[1].decode(errors="replace").strip()
                status = process.returncode
            if status:
                refused += 1
                if status != 1 or word not in words:
                    sys.exit(f"{name}: it ended with {status} and did not name the cause: {words}")
            elif smaller:
                sys.exit(f"{name}: it ended well though its disk was too small")
            remount(cache, mended)
            status, words, _ = ROWS.run(root)
            if status:
                sys.exit(f"{name}: mended, it ended with {status}: {words}")
            compare(ROWS, root, truth, f"{name}, round {number + 1}")
        finally:
            subprocess.run(["umount", "-l", cache], check=True)
        shutil.rmtree(root)
        tell(name, f"{number + 1} rounds, {refused} refused with the cause")
    return f"{rounds} rounds, {refused} of them ended early and named the cause, each byte-equal afterwards"


def beside(rounds, scratch):
    """Eight processes on one cache and one folder of rows; half of them are killed and started again."""
    truth_root = project(scratch / "truth")
    status, words, seconds = ROWS.run(truth_root)
    if status:
        sys.exit(f"beside: alone it ended with {status}: {words}")
    truth, spent = ROWS.left(truth_root), 0
    for number in range(rounds):
        root = project(scratch / "round")
        running = [ROWS.start(root) for _ in range(8)]
        for process in running[:4]:
            time.sleep(random.uniform(0.0, seconds / 2))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                spent += 1
            process.communicate()
            running.append(ROWS.start(root))
        for process in running[4:]:
            words = process.communicate()[1].decode(errors="replace").strip()
            if process.returncode:
                sys.exit(f"beside: a process ended with {process.returncode}: {words}")
        compare(ROWS, root, truth, f"beside, round {number + 1}")
        shutil.rmtree(root)
        tell("beside", f"{number + 1} rounds of 8 processes, {spent} kills")
    return f"{rounds} rounds of 8 processes on one cache, {spent} killed meanwhile, each byte-equal"


def tell(name, words):
    print(f"{time.strftime('%H:%M:%S')} {name}: {words}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--kills", type=int, default=1000, help="over all stages that kill")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--program", type=Path, default=None, help="a copy, where builds go on meanwhile")
    arguments = parser.parse_args()
    global PROGRAM
    PROGRAM = arguments.program.resolve() if arguments.program else program()
    stages = arguments.stages or STAGES
    for stage in stages:
        if stage not in STAGES:
            parser.error(f"no stage `{stage}`; known: {', '.join(STAGES)}")
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
    random.seed(seed)
    print(f"seed {seed}", flush=True)
    kill = {"rows": (ROWS, 0.75), "pretrain": (PRETRAIN, 0.2), "report": (REPORT, 0.05)}
    of_all = sum(kill[stage][1] for stage in stages if stage in kill)
    table = []
    for stage in stages:
        # Stays where something differs, to be looked at.
        scratch = Path(tempfile.mkdtemp(prefix="campaign-"))
        if stage in kill:
            work, part = kill[stage]
            words = kills(work, max(1, round(arguments.kills * part / of_all)), scratch)
        else:
            rounds = max(1, arguments.kills // 50)
            words = {"disk": disk, "readonly": readonly, "beside": beside}[stage](rounds, scratch)
        table.append((stage, words))
        shutil.rmtree(scratch)
    for stage, words in table:
        print(f"| {stage} | {words} |")


PROGRAM = None
if __name__ == "__main__":
    main()
