"""Points of `wider-clip course grade` beside those of nbgrader 0.9.6, on submissions that are made here.

    python -m venv /tmp/nbgrader && /tmp/nbgrader/bin/pip install -r tests/reference/requirements-course.txt
    /tmp/nbgrader/bin/python tests/reference/course_nbgrader.py --project . --out /tmp/course --assignments 1,2 --jobs 2

Needs a built project whose `wider-clip setup` has run. Into OUT go the course, the submissions, both programs' logs and results, and
`points.csv`; what differs is printed. What is in OUT already is not done again. A submission takes 10 to 20 s with either program.
nbgrader is as it was published, with the settings that `course build` writes and the limit of `--cell-seconds`.

What differs for a reason (`course grade`; nbgrader 0.9.6), seen in the runs:

- A check cell twice: the last counts; nbgrader means the same, but empties the other's metadata, takes them for those of an old version
  and gives up this submission and all students that follow in the same run. Here those get another run.
- A check cell that is gone: 0 points; nbgrader has no points and "needs manual grade", which is 0 in its sum, and so here.

Not among the submissions, by nbgrader's source: a check cell without a value, or with one that is no number (0 points; all points), a
value above the points, and a kernel that is dead (0 points; the submission is given up).
"""

import argparse
import collections
import copy
import csv
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry

BEGIN, END = "// BEGIN SOLUTION", "// END SOLUTION"


def text_of(cell):
    return "".join(cell["source"])


def mark(cell):
    return cell["metadata"].get("nbgrader") or {}


class Made:
    """A submission: the notebook that students get, with the teacher's answers, to be spoilt by one of the rules."""

    def __init__(self, teacher, release):
        self.cells = copy.deepcopy(release["cells"])
        self.release = [text_of(cell) for cell in release["cells"]]
        self.whole = release
        for cell, own in zip(self.cells, teacher["cells"]):
            if mark(cell).get("solution") and cell["cell_type"] == "code":
                cell["source"] = text_of(own)
        self.solutions = [cell for cell in self.cells if mark(cell).get("solution") and cell["cell_type"] == "code"]
        self.checks = [cell for cell in self.cells if mark(cell).get("grade") and cell["cell_type"] == "code"]
        self.text = next(cell for cell in self.cells if mark(cell).get("solution") and cell["cell_type"] == "markdown")
        self.middle = self.solutions[len(self.solutions) // 2]

    def unsolve(self, cell):
        cell["source"] = self.release[self.cells.index(cell)]

    def place(self, cell):
        return next(at for at, other in enumerate(self.cells) if other is cell)

    def notebook(self):
        return {**self.whole, "cells": self.cells}


def body(cell, new, keep=False):
    """Other text between the words around a solution, or text before it."""
    before, rest = text_of(cell).split(BEGIN)
    old, after = rest.split(END)
    cell["source"] = f"{before}{BEGIN}\n    {new}\n{old if keep else '    '}{END}{after}"


def add(cell, lines):
    cell["source"] = text_of(cell) + "\n" + lines


def cell_of(text, kind="code"):
    made = {"cell_type": kind, "id": f"own-{abs(hash(text)) % 10**8}", "metadata": {}, "source": text}
    return {**made, "outputs": [], "execution_count": None} if kind == "code" else made


def empty(made):
    for cell in made.solutions:
        cell["source"] = made.release[made.place(cell)]


def half(made):
    for cell in made.solutions[1::2]:
        cell["source"] = made.release[made.place(cell)]


def duplicated(made):
    at = made.place(made.checks[len(made.checks) // 2])
    again = copy.deepcopy(made.cells[at])
    again["id"] = "again"
    made.cells.insert(at + 1, again)


def renamed(made):
    made.middle["source"] = re.sub(r"\bfn (\w+)\(", r"fn my_\1(", text_of(made.middle), count=1)


def stderr(made):
    add(made.solutions[0], 'eprintln!("a word");')
    body(made.middle, 'eprintln!("from the function");', keep=True)


def prints(made):
    add(made.solutions[0], 'for _ in 0..20_000 { println!("{}", "x".repeat(100)); }')
    body(made.middle, 'println!("from the function");', keep=True)


def extra(made):
    made.cells.insert(made.place(made.middle), cell_of("let scratch = vec![1, 2, 3];\nscratch.len()"))
    made.cells.insert(2, cell_of("A remark.", "markdown"))
    made.cells.append(cell_of("let unfinished: u32 = \"text\";"))


def retyped(made):
    for key in ("outputs", "execution_count"):
        made.middle.pop(key)
    made.middle["cell_type"] = "markdown"
    made.unsolve(made.middle)


def written(made):
    made.text["source"] = "Two sentences. That is all."


def edited(made):
    empty(made)
    for cell in made.checks:
        cell["source"] = "4.0"


SLEEP = "loop { std::thread::sleep(std::time::Duration::from_millis(5)); }"
# What becomes of a right submission. Those whose place in the list is odd have a text, too.
RULES = {
    "right": lambda made: None,
    "empty": empty,
    "half": half,
    "first-does-not-compile": lambda made: add(made.solutions[0], "let x = ;"),
    "last-does-not-compile": lambda made: add(made.solutions[-1], "let x = ;"),
    "type-error": lambda made: body(made.middle, 'let x: u32 = "text"; todo!()'),
    "panics": lambda made: body(made.middle, 'panic!("no")'),
    "todo": lambda made: made.unsolve(made.middle),
    "function-loops": lambda made: body(made.middle, SLEEP),
    "cell-loops": lambda made: add(made.middle, SLEEP),
    "solution-deleted": lambda made: made.cells.remove(made.middle),
    "check-deleted": lambda made: made.cells.remove(made.checks[len(made.checks) // 2]),
    "check-edited": edited,
    "check-twice": duplicated,
    "renamed": renamed,
    "aborts": lambda made: body(made.middle, "std::process::abort()"),
    "stderr": stderr,
    "prints": prints,
    "constant": lambda made: body(made.middle, "Default::default()"),
    "extra-cells": extra,
    "made-markdown": retyped,
}


def submissions(args, course, names):
    for name in names:
        teacher = json.loads((course / "nbgrader" / "source" / name / f"{name}.ipynb").read_text())
        release = json.loads((course / "release" / f"{name}.ipynb").read_text())
        for number, student in enumerate(RULES):
            if student not in args.students:
                continue
            made = Made(teacher, release)
            RULES[student](made)
            if number % 2:
                written(made)
            text = json.dumps(made.notebook(), indent=1)
            for folder in (course / "nbgrader" / "submitted" / student / name, args.out / "submissions" / name / student):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{name}.ipynb").write_text(text)


def releases(course, names):
    """Cells of what `course build` and nbgrader hand out that are not the same text."""
    different = []
    for name in names:
        ours = json.loads((course / "release" / f"{name}.ipynb").read_text())["cells"]
        theirs = json.loads((course / "nbgrader" / "release" / name / f"{name}.ipynb").read_text())["cells"]
        if len(ours) != len(theirs):
            different.append(f"{name}: {len(ours)} cells and {len(theirs)}")
        pairs = enumerate(zip(map(text_of, ours), map(text_of, theirs)))
        different += [f"{name}, cell {at}: {one!r} and {other!r}" for at, (one, other) in pairs if one != other]
    return different


def logged(command, log, **options):
    begun = time.monotonic()
    with open(log, "w") as file:
        code = subprocess.run([str(part) for part in command], stdout=file, stderr=subprocess.STDOUT, **options).returncode
    return code, time.monotonic() - begun


def autograded(course, name, student):
    return course / "nbgrader" / "autograded" / student / name / f"{name}.ipynb"


def of_nbgrader(course, name, student):
    """Per task the points (None: to be read) and what the cell said; no tasks where nbgrader gave the submission up."""
    path = autograded(course, name, student)
    said = {}
    if path.exists():
        for cell in json.loads(path.read_text())["cells"]:
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    said.setdefault(mark(cell).get("grade_id"), f"{output['ename']}: {output['evalue']}"[:80])
                if output.get("name") == "stderr":
                    said.setdefault(mark(cell).get("grade_id"), "stderr")
    with Gradebook(f"sqlite:///{course}/nbgrader/gradebook.db") as book:
        try:
            grades = book.find_submission_notebook(name, name, student).grades
        except MissingEntry:
            return {}
        texts = {grade.name for grade in grades if grade.cell.cell_type == "markdown"}
        # A cell of code that is not there has no points and "needs manual grading"; that is 0 in its sum.
        given = {g.name: g.auto_score if g.name in texts else (g.auto_score or 0.0) for g in grades}
    return {task: (points, "" if path.exists() else "given up", said.get(task, "")) for task, points in given.items()}


def of_ours(out, name):
    found = collections.defaultdict(dict)
    with open(out / "grades" / name / "grades.csv", newline="") as file:
        for line in csv.DictReader(file):
            points = float(line["points"]) if line["points"] else None
            found[line["student"]][line["task"]] = (points, "", line["why"][:80])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path("."))
    parser.add_argument("--assignments", default="1,2,3,4,5,6,7,8", help="numbers")
    parser.add_argument("--students", default=",".join(RULES), help="names of rules")
    parser.add_argument("--jobs", type=int, default=2, help="2 or more: both programs at the same time")
    parser.add_argument("--cell-seconds", type=int, default=120)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.project, args.out = args.project.resolve(), args.out.resolve()
    args.students = args.students.split(",")
    args.out.mkdir(parents=True, exist_ok=True)
    program = next(args.project.glob("target/*/debug/wider-clip"))
    course = args.out / "course"
    here = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
        "JUPYTER_PATH": str(args.project / ".wider-clip" / "venv" / "share" / "jupyter"),
    }
    subprocess.run([program, "course", "build", "--out", course], cwd=args.project, check=True)
    wanted = args.assignments.split(",")
    names = sorted(p.stem for p in (course / "release").glob("*.ipynb") if p.stem.split("_")[0] in wanted)

    def nbgrader(log, *arguments):
        command = [here / "nbgrader", *arguments]
        return logged(command, args.out / log, cwd=course / "nbgrader", env=environment)

    for name in names:
        code, seconds = nbgrader(f"generate_{name}.log", "generate_assignment", name, "--force")
        log = (args.out / f"generate_{name}.log").read_text()
        notes = [line for line in log.splitlines() if "INFO" not in line and "Removing existing" not in line]
        print(f"generate_assignment {name}: {code}, {seconds:.0f} s", *notes, sep="\n  ", flush=True)
    different = releases(course, names)
    print(f"releases: {len(different)} cells differ", *different, sep="\n  ", flush=True)

    submissions(args, course, names)

    def ours():
        for name in names:
            if (args.out / "grades" / name / "grades.csv").exists():
                continue
            command = [program, "course", "grade", args.out / "submissions" / name, "--out", args.out / "grades" / name]
            command += ["--jobs", max(1, args.jobs - 1), "--cell-seconds", args.cell_seconds]
            code, seconds = logged(command, args.out / f"grade_{name}.log", cwd=args.project)
            print(f"course grade {name}: {code}, {seconds:.0f} s", flush=True)

    def theirs():
        for name in names:
            given_up, runs = [], 0
            while True:
                runs += 1
                log = f"autograde_{name}_{runs}.log"
                limits = [f"--Execute.timeout={args.cell_seconds}"]
                limits += [f"--CourseDirectory.student_id_exclude={','.join(given_up)}"] * bool(given_up)
                code, seconds = nbgrader(log, "autograde", name, *limits)
                print(f"nbgrader autograde {name}: {code}, {seconds:.0f} s, without {given_up}", flush=True)
                # Some failures end the run before the students that follow; those get a run without the one who failed.
                tried = set(re.findall(r"student with ID '(.+?)'", (args.out / log).read_text()))
                left = [student for student in args.students if not autograded(course, name, student).exists()]
                new = [student for student in left if student in tried]
                given_up += new
                if code == 0 or not new or set(left) <= set(given_up):
                    break

    threads = [threading.Thread(target=ours), threading.Thread(target=theirs)]
    for thread in threads:
        thread.start()
        if args.jobs < 2:
            thread.join()
    for thread in threads:
        thread.join()

    lines, table = [], []
    for name in names:
        all_ours = of_ours(args.out, name)
        for student in args.students:
            mine, other = all_ours[student], of_nbgrader(course, name, student)
            for task in sorted({*mine, *other}):
                one, two = mine.get(task, ("missing", "", "")), other.get(task, ("missing", "", ""))
                lines.append([name, student, task, one[0], two[0], one[2], two[1] or two[2]])
                if one[0] != two[0] or two[1]:
                    table.append(lines[-1])
    header = ["assignment", "student", "task", "ours", "nbgrader", "why (ours)", "why (nbgrader)"]
    with open(args.out / "points.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    print(f"{len(names) * len(args.students)} submissions, {len(lines)} tasks, {len(lines) - len(table)} equal")
    for line in [header, *table]:
        print(" | ".join(str(part) for part in line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
