"""Runs one notebook from its first cell to its last and writes the executed copy.

A cell fails the run when the kernel reports an error (src/proxy makes one of every panic and every returned error) and when it writes
to standard error. The failure goes
to a JSON file. So does a cell that goes on too long: one that says nothing for two hours, or, where a number of seconds is
given, one that takes longer than that; its kernel is killed with all that it started. Everything meant for people goes to standard output: in a terminal as one line that is replaced, else
one whole line at a time. Lines with the mark of a status (src/numbers/progress.rs) are shown and not kept.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

# What the names of errors mean (src/proxy/errors.rs); any other is a compiler's.
MEANINGS = {"Panic": "the cell panicked", "Error": "the cell returned an error"}
# As in src/numbers/progress.rs.
STATUS_VARIABLE = "WIDER_CLIP_STATUS"
STATUS_MARK = "[status] "
# As in src/workbench/process.rs.
RELAY_VARIABLE = "WIDER_CLIP_RELAY"
# Seconds that a cell may go on without a word, where no limit is given. Progress speaks up more often than that.
SILENT_SECONDS = 7200
# As in src/workbench/notebooks.rs.
LIMIT_VARIABLE = "WIDER_CLIP_CELL_SECONDS"
# As in src/proxy/lib.rs.
RAW_STATUS_VARIABLE = "WIDER_CLIP_STATUS_RAW"

LANGUAGE = {"name": "rust", "pygments_lexer": "rust", "file_extension": ".rs", "mimetype": "text/rust"}

class CellFailed(Exception):
    def __init__(self, cell_index, message):
        super().__init__(message)
        self.cell_index = cell_index
        self.message = message


class Runner(NotebookClient):
    """nbclient that prints a line a cell, passes on the cell's own lines, and notices failures."""

    def __init__(self, notebook, label, cell_seconds=None, **options):
        super().__init__(notebook, **options)
        # None: the limit is on silence; 0: there is none.
        self.cell_seconds = cell_seconds
        self.begun = self.heard = time.monotonic()
        self.label = label
        self.code_cells = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
        self.started = time.monotonic()
        self.partial_line = ""
        self.terminal = sys.stdout.isatty()
        # The program that started this one shows the line, beside those of others.
        self.relayed = os.environ.get(RELAY_VARIABLE) == "line"
        self.cell, self.status = "starting the kernel", ""

    def say(self, text):
        """A line that stays."""
        self.print_line(f"{self.label}: {text}")

    def print_line(self, line):
        self.write(("\r\x1b[K" if self.terminal else "") + line + "\n")
        self.show()

    def show(self):
        """The line that is replaced, in a terminal."""
        text = f"{self.label}: {self.cell}, {self.seconds()}" + (f": {self.status}" if self.status else "")
        if self.relayed:
            self.write(f"{STATUS_MARK}{text}\n")
        elif self.terminal:
            self.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")

    @staticmethod
    def write(text):
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            pass  # Nobody reads any more; `watch_parent` ends the run.

    def leave(self):
        """Takes that line away."""
        if self.terminal:
            self.write("\r\x1b[K")

    def tell_cell(self, number, status):
        self.cell, self.status = f"cell {number}/{len(self.code_cells)}", status
        self.show()

    def seconds(self):
        return f"{time.monotonic() - self.started:.0f} s"

    def process_message(self, message, cell, cell_index):
        self.heard = time.monotonic()
        content = message["content"]
        if message["msg_type"] == "stream" and content.get("name") == "stdout":
            kept = []
            # The kernel sends whole lines. Python's own splitlines would also split at characters of a name.
            for line in re.findall(r"[^\n]*\n|[^\n]+", content["text"]):
                if line.startswith(STATUS_MARK):
                    self.status = line[len(STATUS_MARK) :].strip()
                    self.show()
                else:
                    kept.append(line)
            if not kept:
                return None
            content["text"] = "".join(kept)
            *lines, self.partial_line = (self.partial_line + content["text"]).split("\n")
            for line in lines:
                self.print_line(f"    {line}")
        return super().process_message(message, cell, cell_index)

    async def run(self):
        # The event loop keeps no task alive by itself.
        self.watcher = asyncio.create_task(self.watch_parent(os.getppid(), asyncio.current_task()))
        # The kernel's own greeting is of no use to anyone; its errors stay visible.
        async with self.async_setup_kernel(stdout=subprocess.DEVNULL):
            if not (self.terminal or self.relayed):
                self.say(f"kernel ready ({self.seconds()})")
            # Ctrl-C ends the run here; leaving the block then stops the kernel.
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, asyncio.current_task().cancel)
            for number, index in enumerate(self.code_cells, start=1):
                self.tell_cell(number, "")
                await self.run_cell(number, index)
                if not (self.terminal or self.relayed):
                    self.say(f"cell {number}/{len(self.code_cells)} ({self.seconds()})")

    async def watch_parent(self, parent, run):
        """Ends the run when the program that started it is gone: what ended that alone was not told to us."""
        while os.getppid() == parent:
            await asyncio.sleep(1.0)
            self.show()
        run.cancel()

    async def run_cell(self, number, index):
        cell = self.nb.cells[index]
        try:
            await self.within_limit(index, self.async_execute_cell(cell, index, execution_count=number))
        except CellExecutionError as error:
            raise CellFailed(index, readable_error(cell, error)) from None
        except CellTimeoutError as error:
            raise CellFailed(index, str(error)) from None
        except DeadKernelError:
            raise CellFailed(index, "the kernel died") from None
        stderr = text_of(cell, "stderr")
        if stderr.strip():
            raise CellFailed(index, "the cell wrote to standard error\n" + stderr)

    async def within_limit(self, index, work):
        """Waits for the cell, but not for ever."""
        task = asyncio.ensure_future(work)
        self.begun = self.heard = time.monotonic()
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=min(1.0, self.cell_seconds or 1.0))
                if not task.done() and (over := self.overtime()):
                    # The kernel waits for the cell: it would not end when asked.
                    self.shutdown_kernel = "immediate"
                    raise CellFailed(index, over)
            return await task
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    await task

    def overtime(self):
        """Why the cell must end now, if it must."""
        advice = f"Set {LIMIT_VARIABLE} to the seconds that a cell may take, or to 0 for no limit"
        if self.cell_seconds is None:
            if time.monotonic() - self.heard > SILENT_SECONDS:
                return f"the cell said nothing for {SILENT_SECONDS} s, so its kernel was ended. {advice}"
        elif self.cell_seconds and time.monotonic() - self.begun > self.cell_seconds:
            given = f"{self.cell_seconds:g} s, the limit that {LIMIT_VARIABLE} sets"
            return f"the cell took longer than {given}, so its kernel was ended. {advice}"
        return None


def text_of(cell, name):
    return "".join(out.text for out in cell.get("outputs", []) if out.output_type == "stream" and out.name == name)


def readable_error(cell, error):
    for out in cell.get("outputs", []):
        if out.output_type == "error":
            lines = [MEANINGS[out.ename]] if out.ename in MEANINGS else []
            return "\n".join(lines + list(out.get("traceback") or [out.get("evalue", "")]))
    return str(error)


def prepared(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
    return notebook


def tidy(notebook):
    """Drops what changes from run to run though the results do not, and the empty value of a cell without one."""
    notebook.metadata["language_info"] = LANGUAGE
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("data") != {"text/plain": "()"}]
    return notebook


def write_whole(path, text):
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebook", type=Path, required=True)
    parser.add_argument("--executed", type=Path, required=True, help="where the executed copy goes")
    parser.add_argument("--folder", required=True, help="the kernel's current directory")
    parser.add_argument("--failure", type=Path, required=True, help="where a failure is described as JSON")
    parser.add_argument("--record", required=True, help="JSON kept in the copy's metadata")
    parser.add_argument("--opened", required=True, type=Path, help="file with a line for each folder that cells opened")
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--position", default="", help="which of how many notebooks it is, such as 2/4")
    parser.add_argument("--cell-seconds", type=float, help="limit for one cell, 0 for none")
    args = parser.parse_args()

    notebook = prepared(args.notebook)
    os.environ[STATUS_VARIABLE] = os.environ[RAW_STATUS_VARIABLE] = "1"
    runner = Runner(
        notebook,
        f"notebook {args.position} {args.notebook.stem}" if args.position else args.notebook.stem,
        kernel_name=args.kernel,
        cell_seconds=args.cell_seconds,
        timeout=None,
        startup_timeout=600,
        coalesce_streams=True,
        resources={"metadata": {"path": args.folder}},
    )
    runner.show()
    try:
        asyncio.run(runner.run())
    except CellFailed as failed:
        number = runner.code_cells.index(failed.cell_index) + 1
        report = {"cell": number, "source": notebook.cells[failed.cell_index].source, "message": failed.message.strip()}
        args.failure.write_text(json.dumps(report), encoding="utf-8")
        return 1
    except RuntimeError as error:  # The kernel did not start; its own words stand above.
        report = {"cell": 0, "source": "", "message": f"the kernel did not start: {error}"}
        args.failure.write_text(json.dumps(report), encoding="utf-8")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        runner.say("interrupted; the kernel is stopped")
        return 130
    runner.leave()
    record = json.loads(args.record)
    # What cells opened of a reader's own, each line once.
    record["opened"] = sorted({line for line in args.opened.read_text(encoding="utf-8").split("\n") if line})
    record["seconds"] = round(time.monotonic() - runner.started, 1)
    record["date"] = time.strftime("%Y-%m-%d")
    notebook.metadata["wider_clip"] = {**notebook.metadata.get("wider_clip", {}), **record}
    nbformat.validate(notebook)
    write_whole(args.executed, nbformat.writes(tidy(notebook)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
