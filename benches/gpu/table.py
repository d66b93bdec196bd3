"""What was found, as a page and as rows in the form of benches/results.csv, written again after every case."""

import csv


class Table:
    def __init__(self, folder, device):
        self.folder, self.device = folder, device
        self.facts, self.cases, self.parity, self.speed, self.operations, self.notes = [], [], [], [], [], []
        self.times = []

    def note(self, text):
        print(text, flush=True)
        self.notes.append(text)
        self.write()

    def add(self, part, row):
        print(" | ".join(map(shown, row.values() if isinstance(row, dict) else row)), flush=True)
        getattr(self, part).append(row)
        self.write()

    def write(self):
        failed = [row for row in self.cases if row[3] != "PASS"] + [row for row in self.parity if row[-1] != "PASS"]
        n = len(self.cases) + len(self.parity)
        page = ["# The GPU check", "", f"{n - len(failed)} of {n} comparisons passed.", ""]
        page += section("Machine", ["what", "found"], self.facts)
        page += section("The device against the processor", ["case", "largest error", "bound", "verdict", "why"],
                        sorted(self.cases, key=lambda row: row[3] == "PASS"))
        page += section("Against PyTorch on the device, f32", ["model", "names of", "least cosine", "largest error",
                                                               "bound of the error", "bound of the cosine", "verdict"],
                        self.parity)
        page += section("Speed", ["work", "ours", "reference", "unit", "ratio [lowest, highest]", "goal",
                                  "memory, ours / reference (GiB)"], map(self.speed_line, self.speed))
        page += section("Operations (ms, batch 64)", ["operation", "type", "ours", "PyTorch", "ratio"], self.operations)
        page += section("Seconds of each part", ["part", "seconds"], self.times)
        if self.notes:
            page += ["## Skipped, failed, to know", "", *[f"- {note}" for note in self.notes], ""]
        put(self.folder / "table.md", "\n".join(page))
        with (self.folder / "results.csv.part").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow("bench,device,ours,reference,unit,ratio,low,high".split(","))
            for row in self.speed:
                ratios = [f"{x:.4f}" for x in (median(row["ratios"]), min(row["ratios"]), max(row["ratios"]))]
                numbers = [f"{row['ours']:.4f}", f"{row['reference']:.4f}"]
                writer.writerow([row["bench"], self.device, *numbers, row["unit"], *ratios])
        (self.folder / "results.csv.part").replace(self.folder / "results.csv")

    @staticmethod
    def speed_line(row):
        ratio, goal = median(row["ratios"]), row["goal"]
        reached = f"{goal}x, {'reached' if ratio >= goal else 'not reached'}" if goal else "–"
        memory = " / ".join("–" if m is None else f"{m / 2**30:.1f}" for m in row["memory"])
        return [row["bench"], f"{row['ours']:.4g}", f"{row['reference']:.4g}", row["unit"],
                f"{ratio:.2f}x [{min(row['ratios']):.2f}, {max(row['ratios']):.2f}]", reached, memory]


def put(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def section(title, heads, rows):
    rows = list(rows)
    if not rows:
        return []
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (heads, ["---"] * len(heads), *rows)]
    return [f"## {title}", "", *lines, ""]


def shown(cell):
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def median(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
