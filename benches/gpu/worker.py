"""A program that answers commands, with a time limit for each: one that is late or gone costs its own command alone."""

import queue
import subprocess
import threading
import time


class Failed(Exception):
    """The command gave no rows; the text says why."""


class Worker:
    def __init__(self, name, command, folder):
        self.name, self.command, self.log = name, command, folder / f"{name}.log"
        self.process, self.settings, self.loaded = None, {}, None
        self.log.write_text("")

    def start(self):
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            text=True)
        self.lines, self.loaded = queue.Queue(), None
        threading.Thread(target=self.read, args=(self.process.stdout, self.lines), daemon=True).start()

    @staticmethod
    def read(stream, lines):
        for line in stream:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def set(self, name, value, limit=30):
        """A setting, which a program that is started again gets again."""
        if self.settings.get(name) != value:
            self.settings[name] = value
            self.ask(name, value, limit=limit)

    def ask(self, *words, limit, load=None):
        """The rows that answer the command; `load` is what has to be loaded before."""
        end = time.monotonic() + limit
        if self.process is None:
            self.start()
            for setting in self.settings.items():
                self.exchange(setting, end)
        if load is not None and self.loaded != load:
            self.exchange(("load", *load), end)
            self.loaded = load
        if words[0] == "free":
            self.loaded = None
        return self.exchange(words, end)

    def exchange(self, words, end):
        command = " ".join(map(str, words))
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # the reader says that it is gone
        rows = []
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self.stop()
                raise Failed(f"{self.name}: `{command}` took too long") from None
            if line is None:
                self.stop()
                said = self.log.read_text(errors="replace").strip().splitlines()
                raise Failed(f"{self.name} ended at `{command}`: {said[-1] if said else 'it said nothing'}")
            if line == "done":
                return rows
            if line.startswith("failed\t"):
                raise Failed(f"{self.name}, `{command}`: {line[7:]}")
            rows.append(line.split("\t"))

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None
