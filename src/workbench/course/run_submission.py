"""Runs one notebook of a stranger from its first cell to its last, whatever its cells do, and writes the executed copy.

A cell that fails does not end the run; one that takes too long is interrupted, and its kernel ended where that does not help. The copy
is written after each cell, so that what ends this program costs no task before it. What cells print is kept up to a limit. Where WIDER_CLIP_OPEN names folders, this program is in namespaces of its own and first closes the
file system but for these.
"""

import argparse
import asyncio
import ctypes
import json
import os
import socket
import struct
import sys
import time
from pathlib import Path

OPEN = "WIDER_CLIP_OPEN"
# From linux/mount.h and linux/fcntl.h.
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MOUNT_ATTR_RDONLY, AT_RECURSIVE, AT_FDCWD = 1, 0x8000, -100
SYS_MOUNT_SETATTR = 442
# Characters that one cell's outputs may have; the rest is left out, and told.
MOST_TEXT = 200_000
# Seconds in which what a cell printed has to be read once it is done.
IOPUB_SECONDS = 60
# Seconds that a kernel has to answer an interrupt.
TO_ANSWER = 20
# What this program ends with where the notebook is none (sysexits.h, EX_DATAERR); grade.rs knows it.
NO_NOTEBOOK = 65
# The line after which whatever fails is no longer this machine's fault alone; grade.rs knows it.
READY = "the kernel is ready"


def libc():
    return ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, flags):
    checked(libc().mount(source and os.fsencode(source), os.fsencode(target), None, flags, None), f"mounting {target}")


def set_read_only(path, read_only, recursive):
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY if read_only else 0, 0 if read_only else MOUNT_ATTR_RDONLY, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    call = libc().syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, attributes, len(attributes))
    checked(call, f"closing {path}")


def close_file_system(walls):
    """Everything read-only but for folders that are laid over others (or over themselves); some folders hidden, but for what is kept."""
    mount(None, "/", MS_REC | MS_PRIVATE)
    # What lies in a folder that will be hidden is held by its descriptor until it is laid there again.
    place, layers = Path(walls["open"][0][0]), []
    for number, layer in enumerate(walls["layers"]):
        source, target = layer["path"], layer["path"]
        if not layer["seen"]:
            source = place / f"hidden-{number}" if os.path.isdir(target) else walls["nothing"]
            if os.path.isdir(target):
                source.mkdir()
        layers.append((os.open(source, os.O_PATH), target))
    opened = [(os.open(source, os.O_PATH), target) for source, target in walls["open"]]
    for descriptor, target in [*layers, *opened]:
        if not os.path.exists(target):
            os.makedirs(target)
        mount(f"/proc/self/fd/{descriptor}", target, MS_BIND | MS_REC)
    set_read_only("/", True, True)
    for _, target in opened:
        set_read_only(target, False, False)
    for descriptor, _ in [*layers, *opened]:
        os.close(descriptor)
    # The current folder is still the one beneath what was laid over it.
    os.chdir(walls["open"][0][1])


def raise_loopback():
    """A network namespace begins with its loopback down, and the kernel's channels need it."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as of:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(of, 0x8913, request))[1]  # SIOCGIFFLAGS
        fcntl.ioctl(of, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))  # SIOCSIFFLAGS, IFF_UP


def drop_rights():
    """No right of the namespace is needed any more: what is closed cannot be opened again."""
    pr_capbset_drop, pr_set_no_new_privs = 24, 38
    for capability in range(64):
        libc().prctl(pr_capbset_drop, capability, 0, 0, 0)
    libc().prctl(pr_set_no_new_privs, 1, 0, 0, 0)
    header, data = struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", 0, 0, 0, 0, 0, 0)
    checked(libc().capset(header, data), "giving up rights")


# Whose turn it is to take a share of what is kept, others between: points are read from a cell's value and its error.
TURNS, BETWEEN = {"execute_result": 0, "error": 0, "stream": 2}, 1


def shortened(outputs):
    """Outputs up to a limit, in their places, and a line where one was cut. What was printed gets what others leave."""
    left, kept = MOST_TEXT, list(outputs)
    for at in sorted(range(len(kept)), key=lambda at: TURNS.get(kept[at]["output_type"], BETWEEN)):
        if size_of(kept[at]) > left:
            kept[at] = cut(kept[at], left)
        left = max(0, left - size_of(kept[at]))
    return kept


def size_of(output):
    return len(json.dumps(output))


def cut(output, most):
    """Of an output that is too long: what was printed up to there, a value's text alone, an error's name."""
    kind = output["output_type"]
    if kind == "stream":
        return {**output, "text": output["text"][:most] + "\n[the rest of the output was left out]\n"}
    if kind == "error":
        return failed(output["ename"][:200], "[the error was left out: it is too long]")
    if kind == "execute_result":
        plain = {name: text for name, text in output["data"].items() if name == "text/plain"}
        value = {**output, "data": plain, "metadata": {}}
        if plain and size_of(value) <= most:
            return value
    return {"output_type": "stream", "name": "stdout", "text": "[an output was left out: it is too long]\n"}


def failed(name, value):
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": [value]}


def client_of(notebook, args):
    from nbclient import NotebookClient

    class Client(NotebookClient):
        """nbclient that forgets what a cell prints beyond a limit, before it fills the memory."""

        printed = 0

        def process_message(self, message, cell, cell_index):
            if message["msg_type"] in ("stream", "display_data", "update_display_data", "execute_result"):
                self.printed += len(json.dumps(message["content"]))
                if self.printed > 4 * MOST_TEXT and message["msg_type"] == "stream":
                    return None
            return super().process_message(message, cell, cell_index)

    return Client(
        notebook,
        kernel_name=args.kernel,
        timeout=args.cell_seconds,
        startup_timeout=600,
        # Of a cell that printed much the last messages are read long after its reply; those of the next cell would be lost.
        iopub_timeout=IOPUB_SECONDS,
        interrupt_on_timeout=True,
        error_on_timeout=failed("Timeout", f"the cell took more than {args.cell_seconds:g} s"),
        allow_errors=True,
        coalesce_streams=True,
        resources={"metadata": {"path": os.getcwd()}},
    )


async def run(notebook, args):
    import nbformat
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    client = client_of(notebook, args)
    number, dead = 0, None
    async with client.async_setup_kernel():
        print(READY, flush=True)
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            number += 1
            if dead:
                cell.outputs = [nbformat.from_dict(failed("KernelDied", dead))]
                continue
            client.printed = 0
            begun = time.monotonic()
            try:
                # Where an interrupt is not answered nbclient would wait for ever.
                work = client.async_execute_cell(cell, index, execution_count=number)
                await asyncio.wait_for(work, args.cell_seconds + TO_ANSWER)
            except DeadKernelError:
                dead = "the kernel died: what its cells left is lost, and later cells were not run"
                cell.outputs = [*cell.outputs, nbformat.from_dict(failed("KernelDied", dead))]
            except (CellTimeoutError, asyncio.TimeoutError):
                dead = f"a cell took more than {args.cell_seconds:g} s and could not be interrupted; later cells were not run"
                cell.outputs = [*cell.outputs, nbformat.from_dict(failed("Timeout", dead))]
                client.shutdown_kernel = "immediate"
            cell.metadata["seconds"] = round(time.monotonic() - begun, 2)
            cell.outputs = nbformat.from_dict(shortened(cell.outputs))
            try:
                write_new(args.executed, nbformat.writes(notebook))
            except OSError:
                # What was in its way may be gone at the end, where it is told.
                pass
            print(f"cell {number} of {args.cells}", flush=True)


def write_new(path, text):
    """A file of our own, whatever stood under that name: what runs in this folder may have put a link there. Whole or not at all."""
    new = path.with_name(path.name + ".new")
    try:
        os.remove(new)
    except FileNotFoundError:
        pass
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(new, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebook", type=Path, required=True)
    parser.add_argument("--executed", type=Path, required=True)
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--cell-seconds", type=float, required=True)
    args = parser.parse_args()
    if os.environ.get(OPEN):
        close_file_system(json.loads(os.environ.pop(OPEN)))
        raise_loopback()
        drop_rights()

    import nbformat

    text = args.notebook.read_text(encoding="utf-8")
    try:
        notebook = nbformat.reads(text, as_version=4)
        args.cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    except Exception as error:
        print(f"expected a notebook, found one that nbformat does not read: {error!r}")
        return NO_NOTEBOOK
    asyncio.run(run(notebook, args))
    try:
        write_new(args.executed, nbformat.writes(notebook))
    except OSError as error:
        print(f"the executed notebook could not be written: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
