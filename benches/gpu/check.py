"""The GPU check: starts our program and PyTorch's twin, asks them in turn, and writes down each answer as it comes.

`check.sh` starts it. Parts in their order, each with a limit in seconds; what does not fit is named in the table."""

import argparse
import pathlib
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from table import Table, median  # noqa: E402
from worker import Failed, Worker  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
FAMILIES = ["clip", "vit", "beit", "convnext", "efficientnet"]
PARITY = [("clip_vit_b32", "cls", "CLIP ViT-B/32"), ("vit_b16", "cls", "ViT-B/16"), ("convnext_tiny", "avg", "ConvNeXt-T"),
          ("efficientnet_b2", "avg", "EfficientNet-B2")]
# The largest last: it takes the longest.
SPEED = [("clip_vit_b32", "cls", "CLIP ViT-B/32"), ("vit_b16", "cls", "ViT-B/16"), ("convnext_base", "avg", "ConvNeXt-B"),
         ("efficientnet_b2", "avg", "EfficientNet-B2"), ("vit_l16", "cls", "ViT-L/16")]
WORKS = [("forward", "features"), ("train", "a training step")]
OPERATIONS = ["linear", "linear_gelu", "linear_gelu_convnext", "attention", "layer_norm", "residual_scaled", "patches",
              "depthwise_7x7", "depthwise_3x3_silu", "depthwise_5x5_by_2_silu", "squeeze"]
EAGER, COMPILED = 1.0, 0.8  # goals


class Check:
    def __init__(self, arguments):
        self.device, self.quick = arguments.device, arguments.quick
        self.out = arguments.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.end = time.monotonic() + 60 * arguments.minutes
        self.table = Table(self.out, self.device)
        quick = ["--quick"] if self.quick else []
        self.ours = Worker("wider-clip", [arguments.program, "--serve", "--device", self.device, *quick], self.out)
        self.theirs = Worker("pytorch", [sys.executable, str(HERE / "twin.py"), self.device], self.out)
        self.dtypes = ["f32"] if self.device == "cpu" else ["tf32", "bf16"]
        self.batches = [2] if self.quick else [64, 256]
        self.size = 64 if self.quick else 224
        self.budget = 0.1 if self.quick else 0.25
        self.our_rates = {}

    def left(self):
        return self.end - time.monotonic()

    def part(self, name, limit, work):
        """One part; `work` yields where it may be ended, with the name of what comes next."""
        start, skipped = time.monotonic(), []
        self.part_end = min(start + limit, self.end - 3)
        for step, run in work():
            if time.monotonic() > self.part_end - 1:
                skipped.append(step)
                continue
            try:
                run()
            except Failed as error:
                self.table.note(f"{name}, {step}: {error}")
        if skipped:
            self.table.note(f"{name}, no time left for: {'; '.join(skipped)}")
        self.table.add("times", [name, f"{time.monotonic() - start:.0f}"])

    def ask(self, worker, *words, most=90, load=None):
        return worker.ask(*words, limit=max(1, min(most, self.part_end - time.monotonic())), load=load)

    def facts(self):
        def smi():
            try:
                fields = "name,driver_version,compute_cap,memory.total,clocks.max.sm,power.limit"
                command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
                said = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
                self.table.add("facts", [f"nvidia-smi ({fields})", said or "nothing"])
            except (OSError, subprocess.TimeoutExpired) as error:
                self.table.add("facts", ["nvidia-smi", type(error).__name__])

        def of(worker):
            for row in self.ask(worker, "facts"):
                self.table.add("facts", row)

        return [("nvidia-smi", smi), ("wider-clip", lambda: of(self.ours)), ("PyTorch", lambda: of(self.theirs))]

    def correctness(self):
        def of(*command):
            for row in self.ask(self.ours, *command):
                self.table.add("cases", row)

        return [("depthwise", lambda: of("depthwise")), *[(name, lambda n=name: of("family", n)) for name in FAMILIES]]

    def parity(self):
        folder = self.out / "parity"

        def of(architecture, pooling, name):
            try:
                self.ask(self.theirs, "write", architecture, self.size, folder)
                row, = self.ask(self.ours, "parity", architecture, pooling, folder)
                self.table.add("parity", [name, *row])
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        return [(model[2], lambda m=model: of(*m)) for model in PARITY]

    def speed(self):
        for worker in (self.ours, self.theirs):
            worker.set("tf32", "on")
        if "bf16" in self.dtypes:
            self.table.note("EfficientNet's training step in bf16: not ours, whose batch normalisation is trained in f32")
        for architecture, pooling, name in SPEED[:1] + SPEED[2:4] if self.quick else SPEED:
            load = (architecture, pooling, self.size)
            for batch in self.batches:
                for dtype in self.dtypes:
                    for work, told in WORKS:
                        if architecture.startswith("efficientnet") and (work, dtype) == ("train", "bf16"):
                            continue  # ours refuses it: batch statistics in bf16
                        bench = f"{name}: {told}, batch {batch}, {dtype}"
                        yield bench, lambda a=(bench, load, work, batch, dtype): self.pair(*a)
        for worker in (self.ours, self.theirs):
            yield f"freeing {worker.name}", lambda w=worker: self.ask(w, "free")

    def pair(self, bench, load, work, batch, dtype):
        """Ours and theirs in turn, twice; once where a pass takes long."""
        ours, theirs, memory = [], [], [None, None]
        try:
            self.turns(ours, theirs, memory, bench, load, work, batch, dtype)
        except Failed as error:
            if not ours:
                raise
            alone = "" if theirs else f"; ours alone, {batch / ours[0]:.4g} images/s"
            self.table.note(f"{bench}: {error}{alone}")
        self.our_rates[bench] = batch / median(ours)
        if not theirs:
            return
        self.put(bench + ", PyTorch eager", batch, ours, theirs, EAGER, memory)

    def turns(self, ours, theirs, memory, bench, load, work, batch, dtype):
        for turn in range(2):
            for i, (worker, seconds) in enumerate([(self.ours, ours), (self.theirs, theirs)]):
                (taken, peak), = self.ask(worker, work, batch, dtype, self.budget, load=load)
                seconds.append(float(taken))
                memory[i] = None if peak == "none" else int(peak)
            if max(ours[0], theirs[0]) > 0.3:
                break

    def put(self, bench, batch, ours, theirs, goal, memory):
        self.table.add("speed", {"bench": bench, "ours": batch / median(ours), "reference": batch / median(theirs),
                                 "unit": "images/s", "ratios": [b / a for a, b in zip(ours, theirs)], "goal": goal,
                                 "memory": memory})

    def neighbours(self):
        file = self.out / "features.safetensors"

        def of(n, q):
            try:
                self.ask(self.theirs, "draw", file, n, q, 768, 38)
                (ours,), = self.ask(self.ours, "knn", file, 10, 3)
                (theirs,), = self.ask(self.theirs, "knn", file, 10, 3)
                (same,), = self.ask(self.theirs, "agree", file)
                ours, theirs = float(ours), float(theirs)
                bench = f"kNN on the device, {n} references, {q} queries, 768-d"
                self.table.add("speed", {"bench": bench, "ours": ours, "reference": theirs, "unit": "s",
                                         "ratios": [theirs / ours], "goal": EAGER, "memory": [None, None]})
                self.table.note(f"{bench}: {float(same):.2%} of the classes are the same; f32 products may round to TF32 "
                                "on both sides, ours are decided in f64")
            finally:
                file.unlink(missing_ok=True)
                file.with_name(file.name + ".ours").unlink(missing_ok=True)

        sizes = [(200, 300)] if self.quick else [(2812, 26638), (50000, 10000)]
        return [(f"{n} references", lambda s=(n, q): of(*s)) for n, q in sizes]

    def operations(self):
        def of(name, dtype):
            batch = 1 if self.quick else 64
            (ours,), = self.ask(self.ours, "operation", name, batch, dtype, self.budget, most=20)
            (theirs,), = self.ask(self.theirs, "operation", name, batch, dtype, self.budget, most=20)
            ours, theirs = 1e3 * float(ours), 1e3 * float(theirs)
            self.table.add("operations", [name, dtype, f"{ours:.4f}", f"{theirs:.4f}", f"{theirs / ours:.2f}x"])

        return [(f"{name}, {dtype}", lambda a=(name, dtype): of(*a)) for name in OPERATIONS for dtype in self.dtypes]

    def kept(self):
        """The same with freed memory kept by the process, which our program doesn't ask the driver for by itself."""
        def of(bench, load, work, batch, dtype):
            self.ours.set("keep", "on")
            try:
                (taken, _), = self.ask(self.ours, work, batch, dtype, self.budget, load=load)
            finally:
                self.ours.set("keep", "off")
            before = self.our_rates.get(bench)
            if before:
                self.table.note(f"{bench}, freed memory kept: {batch / float(taken):.4g} images/s, {before:.4g} without")

        for architecture, pooling, name in SPEED[1:4] if self.device == "cuda" else []:
            for work, told in WORKS:
                batch, dtype = self.batches[0], self.dtypes[0]
                bench = f"{name}: {told}, batch {batch}, {dtype}"
                if bench in self.our_rates:
                    load = (architecture, pooling, self.size)
                    yield bench, lambda a=(bench, load, work, batch, dtype): of(*a)

    def compiled(self):
        """Against what ours reached before; each of them is compiled anew, which takes up to a minute."""
        self.theirs.set("compiled", "on")

        def of(bench, load, work, batch, dtype):
            (taken, peak), = self.ask(self.theirs, work, batch, dtype, self.budget, most=120, load=load)
            rate = self.our_rates[bench]
            memory = [None, None if peak == "none" else int(peak)]
            self.put(bench + ", PyTorch compiled", batch, [batch / rate], [float(taken)], COMPILED, memory)

        batch, dtype = self.batches[-1], self.dtypes[-1]
        for work, told in WORKS:
            for architecture, pooling, name in SPEED[:4]:
                bench = f"{name}: {told}, batch {batch}, {dtype}"
                if bench in self.our_rates:
                    load = (architecture, pooling, self.size)
                    yield bench, lambda a=(bench, load, work, batch, dtype): of(*a)

    def run(self):
        parts = [("facts", 60, self.facts), ("correctness", 70, self.correctness), ("parity", 60, self.parity),
                 ("speed", 210, self.speed), ("neighbours", 25, self.neighbours), ("operations", 30, self.operations),
                 ("kept memory", 20, self.kept), ("compiled", 600, self.compiled)]
        for name, limit, work in parts:
            try:
                self.part(name, limit, work)
            except Failed as error:
                self.table.note(f"{name}: {error}")
            if not any(row[0] == "wider-clip" for row in self.table.facts):
                self.table.note("our program does not run here: nothing else was looked at")
                break
        for worker in (self.ours, self.theirs):
            worker.stop()
        table = self.table
        verdicts = [row[3] for row in table.cases] + [row[-1] for row in table.parity]
        print(f"written: {self.out / 'table.md'}")
        return 0 if verdicts and all(verdict == "PASS" for verdict in verdicts) else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="our side, built from main.rs")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the check itself")
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("gpu_results"))
    sys.exit(Check(parser.parse_args()).run())


if __name__ == "__main__":
    main()
