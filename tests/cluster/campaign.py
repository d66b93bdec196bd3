#!/usr/bin/env python3
"""The cluster campaign: a suite runs as many jobs, nodes die, jobs are preempted, too large, too long; in the end all is there
and equal to what one undisturbed machine makes.

    python3 tests/cluster/campaign.py PROGRAM --suite smoke          Snakemake on Slurm, then HyperQueue
    python3 tests/cluster/campaign.py PROGRAM --engine hq --hq FILE  one of them: snakemake, array, hq

PROGRAM is a built `wider-clip`. Snakemake is that of .wider-clip/venv, or `--snakemake`; Slurm is started by slurm.sh beside
this and needs root; HyperQueue needs neither, and hq.py beside this says how to do without its program. What is lacking is
told, and the exit status is 77.

Jobs call a stand-in for PROGRAM that hands everything on to it, and on the way makes trouble with four cells of the plan: one
asks for too little memory, one for too little time, one has to be tried again (75), one is refused until it is mended (65).
Each waits a little, so that there is something to kill. `--compare "COMMAND"` is run with the two results folders and ends
with 0 where they are equal; without it rows (without where and when they were made), what stands beside them, and features
are compared. Without `--suite` a small suite is made for it, beside those of the project.
"""

import argparse
import collections
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORKFLOW = ROOT / "data_manifests" / "workflow"
# A suite with work of every kind, none of it long.
SUITE = """id = "campaign"
description = "Work of every kind, none of it long, for tests of many machines."
datasets = ["icons"]
models = ["pixels.raw", "vit_p16_pocket.icons", "convnext_tiny_pocket.icons"]
methods = ["knn", "lr"]
budgets = [10]
seeds = [0, 1]
max_images = 900
[[finetuning]]
methods = ["lp_ft", "wise"]
models = ["vit_p16_pocket.icons"]
datasets = ["icons"]
budgets = [10]
seeds = [0]
max_epochs = 2
"""
# What was started beside this and may have to be ended.
STARTED = []
# The stand-in: PROGRAM, with trouble on the way. Its log has a line at the beginning of each attempt and one at the end.
STAND_IN = """#!{python}
import json, os, subprocess, sys, time
from pathlib import Path
PROGRAM, FOLDER = {program!r}, Path({folder!r})
arguments = sys.argv[1:]
trouble = json.loads((FOLDER / "trouble.json").read_text()) if (FOLDER / "trouble.json").exists() else {{}}
if arguments[0] == "plan" and "--out" in arguments:
    subprocess.run([PROGRAM, *arguments], check=True)
    path = Path(arguments[arguments.index("--out") + 1])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.update({{"memory_mb": 1}} if line["cell"] == trouble.get("memory") else {{}})
        line.update({{"seconds": 1}} if line["cell"] == trouble.get("time") else {{}})
    path.write_text("".join(json.dumps(line) + "\\n" for line in lines))
    sys.exit(0)
if arguments[0] != "run" or not trouble:
    os.execv(PROGRAM, [PROGRAM, *arguments])
cell = arguments[arguments.index("--cell") + 1]
def tell(**what):
    here = dict(cell=cell, pid=os.getpid(), time=time.time(), job=os.environ.get("SLURM_JOB_ID", ""),
                node=os.environ.get("SLURMD_NODENAME") or os.environ.get("CAMPAIGN_NODE", ""))
    with open(FOLDER / "log.jsonl", "a") as log:
        log.write(json.dumps(here | what) + "\\n")
tell(begins=True)
time.sleep(trouble["pause"])
if cell == trouble.get("memory"):
    held = bytearray(700 << 20)
    for place in range(0, len(held), 4096):
        held[place] = 1
    time.sleep(5)
    del held
if cell == trouble.get("time"):
    time.sleep(95)
code = None
if cell == trouble.get("again") and not (FOLDER / "again").exists():
    (FOLDER / "again").touch()
    code = 75
elif cell == trouble.get("wrong") and not (FOLDER / "mended").exists():
    code = 65
if code is None:
    code = subprocess.run([PROGRAM, *arguments]).returncode
tell(code=code)
sys.exit(code if code >= 0 else 128 - code)
"""


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def start(command, **more):
    """Starts it in a session of its own, which ends with the campaign at the latest."""
    STARTED.append(subprocess.Popen([str(word) for word in command], stderr=subprocess.STDOUT, start_new_session=True, **more))
    return STARTED[-1]


def wait_for(what, ready, seconds=300, while_runs=None):
    """Waits until `ready()` gives something, and gives it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := ready():
            return found
        if while_runs and while_runs.poll() is not None:
            break
        time.sleep(0.3)
    sys.exit(f"waited in vain for {what}")


class Lacking(Exception):
    """What an engine takes is not on this machine."""


class Round:
    """A results folder, the stand-in for the program, what happened."""

    def __init__(self, folder, arguments, disturbed=True):
        self.folder, self.arguments = folder, arguments
        self.results = folder / "results"
        folder.mkdir()
        self.program = folder / "wider-clip"
        self.program.write_text(STAND_IN.format(python=sys.executable, program=str(arguments.program), folder=str(folder)))
        self.program.chmod(0o755)
        # One thread each, as the jobs have: rows say how many.
        self.environment = {**os.environ, "WIDER_CLIP_ROOT": str(arguments.root), "WIDER_CLIP_FRESH": "1", "RAYON_NUM_THREADS": "1", "WIDER_CLIP_RESULTS": str(self.results),
                            "WIDER_CLIP_CACHE": str(folder / "cache"), "WIDER_CLIP_PROGRAM": str(self.program),
                            "WIDER_CLIP_WAIT": "5"}
        self.plan = self.left()
        if not self.plan:
            sys.exit(f"nothing to do in the suite {arguments.suite}")
        if disturbed:
            self.make_trouble()

    def left(self):
        """What the program itself still plans."""
        out = self.folder / "left.jsonl"
        subprocess.run([self.arguments.program, "plan", "--suite", self.arguments.suite, "--out", out], check=True,
                       env=self.environment, stdout=subprocess.DEVNULL)
        return lines(out)

    def make_trouble(self):
        """Trouble for cells that no other waits for, and for one that others do."""
        ends = [line["cell"] for line in self.plan if line["what"] != "features"]
        begins = [line["cell"] for line in self.plan if line["what"] == "features"]
        if len(ends) < 4 or not begins:
            sys.exit("too small a suite: it takes five cells at least, features among them")
        self.trouble = {"memory": ends[0], "time": ends[-1], "wrong": ends[1], "again": begins[0],
                        "pause": self.arguments.pause}
        (self.folder / "trouble.json").write_text(json.dumps(self.trouble))

    def log(self):
        return lines(self.folder / "log.jsonl")

    def running(self, node=None, longer=1):
        """Attempts that began and have not ended, by what they told."""
        ended = {(line["pid"], line["node"], line["cell"]) for line in self.log() if "code" in line}
        now = time.time()
        begun = [line for line in self.log() if "begins" in line and (node is None or line["node"] == node)]
        return [line for line in begun if (line["pid"], line["node"], line["cell"]) not in ended and
                longer < now - line["time"] < self.arguments.pause]

    def snakemake(self, profile, *more):
        settings = [f"program={self.program}", f"suite={self.arguments.suite}", f"results={self.results}", "wait=5",
                    "least_minutes=1", "threads=1"]
        command = [self.arguments.snakemake, "--snakefile", WORKFLOW / "Snakefile", "--profile", WORKFLOW / "profiles" / profile,
                   *more, "--config", *settings]
        with open(self.folder / "snakemake.log", "a") as out:
            return start(command, cwd=self.folder, env=self.environment, stdout=out)

    def content(self):
        """What is left in the end, by name: rows without where and when, all else as bytes. How long runs took differs."""
        found = {}
        for path in sorted([*self.results.rglob("*.parquet"), *(self.folder / "cache" / "features").rglob("*.parquet")]):
            name = str(path.relative_to(self.folder))
            if not name.startswith(("results/current/", "results/parts/", "results/runs/")):
                found[name] = self.content_of(path)
        return found

    def content_of(self, path):
        if path.name.endswith(".runs.parquet"):
            return "there"
        if self.results in path.parents and path.suffixes[-2:-1] not in ([".answers"], [".right"]) and \
                not path.parent.name.endswith(".predictions"):
            done = subprocess.run([self.arguments.program, "rows", path], check=True, capture_output=True, env=self.environment)
            return hashlib.sha256(done.stdout).hexdigest()
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def equals(self, other):
        if self.arguments.compare:
            command = [*shlex.split(self.arguments.compare), str(other.results), str(self.results)]
            return subprocess.run(command, env=self.environment).returncode == 0
        ours, theirs = self.content(), other.content()
        for name in sorted(set(ours) | set(theirs)):
            if ours.get(name) != theirs.get(name):
                print(f"differs: {name}")
        print(f"{len(ours)} files compared")
        return ours == theirs and len(ours) > 10

    def gather(self):
        done = subprocess.run([self.program, "gather", "--suite", self.arguments.suite], env=self.environment,
                              capture_output=True, text=True)
        return done.returncode, done.stdout.strip()

    def hold(self, name, undisturbed):
        """Everything is there, nothing is left to do, and it equals what an undisturbed machine made."""
        code, words = self.gather()
        held = [("gather ends with 0", code == 0), ("nothing is left", not self.left()),
                ("equal to one machine", self.equals(undisturbed))]
        for what, holds in held:
            print(f"{name}: {what}: {'yes' if holds else 'NO'}")
        if code:
            print(words)
        return all(holds for _, holds in held)


class Slurm:
    """The cluster of slurm.sh."""

    def __init__(self, folder):
        self.folder = folder
        started = subprocess.run([HERE / "slurm.sh", "up", folder])
        if started.returncode == 77:
            raise Lacking("Slurm cannot be started here")
        if started.returncode:
            sys.exit("Slurm did not start")
        os.environ["SLURM_CONF"] = str(folder / "etc" / "slurm.conf")

    def do(self, *words):
        subprocess.run([HERE / "slurm.sh", words[0], self.folder, *words[1:]], check=True)

    def kill(self, node):
        self.do("kill", node)
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=down", "reason=campaign"], check=True)

    def back(self, node):
        self.do("start", node)
        # A node that has told it is back by itself needs no more.
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], stderr=subprocess.DEVNULL)

    def ends(self):
        """How Slurm says that its jobs ended: job, state, node, end."""
        found = []
        # A limit that is held by sampling leaves "failed" behind; the node's log knows better.
        logs = "".join(path.read_text(errors="replace") for path in self.folder.glob("n?.log"))
        over = set(re.findall(r"StepId=(\d+)\S* exceeded memory limit", logs))
        for line in (self.folder / "jobs.txt").read_text(errors="replace").splitlines():
            fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if "JobId" in fields:
                end = time.mktime(time.strptime(fields["EndTime"], "%Y-%m-%dT%H:%M:%S"))
                state = "OUT_OF_MEMORY" if fields["JobState"] == "FAILED" and fields["JobId"] in over else fields["JobState"]
                found.append((fields["JobId"], state, fields["NodeList"], end))
        return found


def table(round_, ends=(), events=()):
    """What happened, an attempt a line where anything was out of the ordinary."""
    of_cell = collections.defaultdict(list)
    for line in round_.log():
        if "begins" in line:
            of_cell[line["cell"]].append(line | {"cause": "killed"})
        else:
            for attempt in reversed(of_cell[line["cell"]]):
                if attempt["pid"] == line["pid"] and attempt["node"] == line["node"]:
                    attempt["cause"] = {0: "done"}.get(line["code"], f"exit {line['code']}")
                    break
    names = {"OUT_OF_MEMORY": "out of memory", "TIMEOUT": "out of time", "NODE_FAIL": "node failed", "PREEMPTED": "preempted",
             "CANCELLED": "cancelled", "FAILED": "killed"}
    print("\n| cell | attempts | how each ended |\n|---|---|---|")
    smooth = 0
    for cell, attempts in of_cell.items():
        for attempt in attempts:
            # Of a job that Slurm queued again, the end that followed this beginning.
            after = [end for end in ends if end[0] == attempt["job"] and end[3] >= int(attempt["time"])]
            if attempt["cause"] == "killed" and after:
                attempt["cause"] = names.get(after[0][1], after[0][1].lower())
            over = [seconds for seconds, node in events if node == attempt["node"] and 0 <= seconds - attempt["time"] < 120]
            if attempt["cause"] == "killed" and over:
                attempt["cause"] = "node failed"
        if len(attempts) == 1 and attempts[0]["cause"] == "done":
            smooth += 1
            continue
        how = ", ".join(f"{attempt['cause']} ({attempt['node']})" for attempt in attempts)
        print(f"| `{cell}` | {len(attempts)} | {how} |")
    print(f"| {smooth} others | 1 | done |\n")
    return [attempt["cause"] for attempts in of_cell.values() for attempt in attempts]


def on_slurm(folder, arguments, undisturbed):
    """Snakemake on Slurm: killed itself, then with every disturbance, then mended, then with nothing to do."""
    if not Path(arguments.snakemake).exists():
        raise Lacking(f"no {arguments.snakemake}; `wider-clip setup --workflow` brings Snakemake")
    slurm = Slurm(folder / "cluster")
    try:
        return disturbed_slurm(Round(folder / "snakemake", arguments), slurm, undisturbed)
    finally:
        if not arguments.keep:
            slurm.do("down")


def disturbed_slurm(round_, slurm, undisturbed):
    options = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "5",
               "--latency-wait", "5"]
    begun = time.monotonic()
    planned = len(round_.plan)

    # The machine that Snakemake runs on is gone; its jobs in the queue are not.
    first = round_.snakemake("slurm", *options)
    wait_for("the first cells", lambda: sum(line.get("code") == 0 for line in round_.log()) >= 2, while_runs=first)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    print(f"Snakemake was killed with {planned - len(round_.left())} of {planned} cells done")

    second = round_.snakemake("slurm", *options)
    events = []

    def strike(node):
        found = wait_for(f"a job on {node}", lambda: round_.running(node), while_runs=second)
        print(f"{node} runs {', '.join(line['cell'] for line in found)}")
        events.append((time.time(), node))

    strike("n1")
    slurm.kill("n1")
    print("n1 was killed")
    strike("n2")
    urgent = subprocess.run(["sbatch", "--parsable", "--partition=urgent", "--nodelist=n2", "--exclusive", "--output=/dev/null",
                             "--wrap=sleep 8"], check=True, capture_output=True, text=True).stdout.strip()
    print(f"job {urgent} took n2 for itself")
    time.sleep(10)
    slurm.back("n1")
    print("n1 is back")
    second.wait()
    code, words = round_.gather()
    missing = [line["cell"] for line in round_.left()]
    print(f"Snakemake ended with {second.returncode}; missing: {', '.join(missing) or 'nothing'}")
    right = second.returncode != 0 and missing == [round_.trouble["wrong"]] and code == 65

    (round_.folder / "mended").touch()
    third = round_.snakemake("slurm", *options)
    right &= third.wait() == 0
    print(f"after it was mended Snakemake ended with {third.returncode}")
    told = len(round_.log())
    fourth = round_.snakemake("slurm", *options)
    right &= fourth.wait() == 0 and len(round_.log()) == told
    print(f"once more: {len(round_.log()) - told} attempts, Snakemake ended with {fourth.returncode}")
    causes = table(round_, slurm.ends(), events)
    for cause in ("node failed", "preempted", "out of memory", "out of time", "exit 75", "exit 65"):
        if not any(cause == other for other in causes):
            print(f"no attempt ended so: {cause}")
            right = False
    print(f"{planned} cells, {len(causes)} attempts, {time.monotonic() - begun:.0f} s")
    return round_.hold("Snakemake on Slurm", undisturbed) and right


def as_array(folder, arguments, undisturbed):
    """The bare array, twice: a node dies in the first call, and the second brings what the first did not."""
    slurm = Slurm(folder / "array_cluster")
    try:
        round_ = Round(folder / "array", arguments)
        begun = time.monotonic()
        events = []
        for call in range(2):
            subprocess.run([WORKFLOW / "slurm_array.sh", arguments.suite, "--mem=1500"], check=True, cwd=round_.folder,
                           env=round_.environment)
            if call == 0:
                wait_for("a job on n1", lambda: round_.running("n1"))
                events.append((time.time(), "n1"))
                slurm.kill("n1")
                print("n1 was killed")
                time.sleep(10)
                slurm.back("n1")
            queue = ["squeue", "--noheader"]
            wait_for("the arrays", lambda: not subprocess.run(queue, capture_output=True).stdout, seconds=1200)
            print(f"{len(round_.left())} cells are left")
            (round_.folder / "mended").touch()
        causes = table(round_, slurm.ends(), events)
        print(f"{len(round_.plan)} cells, {len(causes)} attempts, {time.monotonic() - begun:.0f} s")
        return round_.hold("Slurm array", undisturbed) and "node failed" in causes
    finally:
        if not arguments.keep:
            slurm.do("down")


def with_hyperqueue(folder, arguments, undisturbed):
    """HyperQueue with a server and two workers, one of which is killed."""
    if not arguments.hq:
        raise Lacking("no `hq`, HyperQueue's program: one file, on its page of releases, or tests/cluster/hq.py; `--hq` names it")
    round_ = Round(folder / "hyperqueue", arguments)
    path = f"{Path(arguments.hq).resolve().parent}:{os.environ['PATH']}"
    environment = {**round_.environment, "HQ_SERVER_DIR": str(folder / "hq"), "PATH": path}
    out = open(folder / "hq.log", "w")
    begun = time.monotonic()

    started = [start([arguments.hq, "server", "start", "--host", "localhost"], env=environment, stdout=out)]
    try:
        info = [arguments.hq, "server", "info"]
        wait_for("the server", lambda: subprocess.run(info, env=environment, capture_output=True).returncode == 0, 30)
        worker = [arguments.hq, "worker", "start", "--cpus", "4", "--heartbeat", "2s"]
        # What hyperqueue.sh is told, its tasks are told by it alone.
        told = ("WIDER_CLIP_", "HF_", "RAYON_")
        bare = {name: value for name, value in environment.items() if not name.startswith(told)}
        workers = {name: start(worker, env=bare | {"CAMPAIGN_NODE": name}, stdout=out) for name in ("w1", "w2")}
        started += workers.values()
        command = [WORKFLOW / "hyperqueue.sh", arguments.suite]
        first = start(command, cwd=round_.folder, env=environment, stdout=out)
        found = wait_for("a job on w1", lambda: round_.running("w1"), while_runs=first)
        print(f"w1 runs {', '.join(line['cell'] for line in found)}")
        workers["w1"].kill()
        for line in found:  # a machine that dies takes them with it
            kill_tree(line["pid"])
        events = [(time.time(), "w1")]
        print("w1 was killed")
        first.wait()
        missing = [line["cell"] for line in round_.left()]
        print(f"hyperqueue.sh ended with {first.returncode}; missing: {', '.join(missing) or 'nothing'}")
        right = first.returncode == 65 and missing == [round_.trouble["wrong"]]
        (round_.folder / "mended").touch()
        right &= subprocess.run(command, cwd=round_.folder, env=environment, stdout=out, stderr=out).returncode == 0
        told = len(round_.log())
        right &= subprocess.run(command, cwd=round_.folder, env=environment, stdout=out, stderr=out).returncode == 0
        print(f"once more: {len(round_.log()) - told} attempts")
        causes = table(round_, events=events)
        right &= len(round_.log()) == told and "node failed" in causes
        print(f"{len(round_.plan)} cells, {len(causes)} attempts, {time.monotonic() - begun:.0f} s")
        return round_.hold("HyperQueue", undisturbed) and right
    finally:
        for process in reversed(started):
            if process.poll() is None:
                process.terminate()
                process.wait()


def kill_tree(pid):
    for line in subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split():
        kill_tree(int(line))
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def root_with_suite(folder):
    """The project's manifests with one suite more."""
    manifests = folder / "root" / "data_manifests"
    (manifests / "suites").mkdir(parents=True)
    for path in (ROOT / "data_manifests").iterdir():
        if path.name != "suites":
            (manifests / path.name).symlink_to(path)
    for path in (ROOT / "data_manifests" / "suites").iterdir():
        (manifests / "suites" / path.name).symlink_to(path)
    (manifests / "suites" / "campaign.toml").write_text(SUITE)
    return folder / "root"


ENGINES = {"snakemake": on_slurm, "array": as_array, "hq": with_hyperqueue}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--suite", default="campaign", help="default: a small one, made for it")
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: all")
    parser.add_argument("--snakemake", default=ROOT / ".wider-clip" / "venv" / "bin" / "snakemake")
    parser.add_argument("--hq", default=shutil.which("hq"))
    parser.add_argument("--pause", type=float, default=8, help="seconds that every attempt waits (8)")
    parser.add_argument("--compare", help="a command that is given two results folders")
    parser.add_argument("--keep", action="store_true", help="leave the folder and the cluster")
    arguments = parser.parse_args()
    arguments.program = arguments.program.resolve()
    # What is ended from outside takes its cluster with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(tempfile.mkdtemp(prefix="wider-clip-cluster-"))
    seen = {}
    arguments.root = root_with_suite(folder)
    try:
        undisturbed = Round(folder / "one", arguments, disturbed=False)
        begun = time.monotonic()
        for line in sorted(undisturbed.plan, key=lambda line: line["what"] != "features"):
            subprocess.run([arguments.program, "run", "--suite", arguments.suite, "--cell", line["cell"]], check=True,
                           env=undisturbed.environment, stdout=subprocess.DEVNULL)
        took = time.monotonic() - begun
        print(f"one machine: {len(undisturbed.plan)} cells in {took:.0f} s, gather ends with {undisturbed.gather()[0]}\n")
        for name in arguments.engine or ENGINES:
            print(f"== {name}")
            try:
                seen[name] = ENGINES[name](folder, arguments, undisturbed)
            except Lacking as why:
                print(f"skipped: {why}")
                seen[name] = None
    finally:
        for process in STARTED:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if arguments.keep:
            print(f"left: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for name, right in seen.items():
        print(f"{name}: {'passed over' if right is None else 'ok' if right else 'FAILED'}")
    if False in seen.values():
        return 1
    return 77 if None in seen.values() else 0


if __name__ == "__main__":
    sys.exit(main())
