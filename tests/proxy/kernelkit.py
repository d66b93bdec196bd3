"""Starts a kernel, by any command, and speaks to it with jupyter_client. Waits are for events; their limits are far away."""

import os
import queue
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from jupyter_client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

LIMIT = 180


class Result:
    def __init__(self, reply, messages):
        self.content = reply["content"]
        self.messages = messages

    def of(self, kind):
        return [m["content"] for m in self.messages if m["msg_type"] == kind]

    def kinds(self):
        """Message types in order, repeats of one kind counted once."""
        out = []
        for m in self.messages:
            kind = m["content"]["execution_state"] if m["msg_type"] == "status" else m["msg_type"]
            if out[-1:] != [kind]:
                out.append(kind)
        return out

    def text(self, name):
        return "".join(c["text"] for c in self.of("stream") if c["name"] == name)


class Kernel:
    """`argv` may name the connection file as {file}, as may `env`."""

    def __init__(self, argv, env):
        self.folder = tempfile.TemporaryDirectory(prefix="proxy-test-")
        self.file, self.info = write_connection_file(
            os.path.join(self.folder.name, "connection.json"), ip="127.0.0.1", key=os.urandom(16).hex().encode()
        )
        fill = lambda word: word.replace("{file}", self.file)
        self.argv, self.env = [fill(word) for word in argv], {name: fill(value) for name, value in env.items()}
        self.start()
        self.kc = self.client()

    def start(self):
        with open(os.path.join(self.folder.name, "log"), "ab") as log:
            self.process = subprocess.Popen(
                self.argv, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def client(self):
        kc = BlockingKernelClient(connection_file=self.file)
        kc.load_connection_file()
        kc.start_channels()
        self.wait_until_ready(kc)
        return kc

    def wait_until_ready(self, kc):
        """Until what is published arrives, after a restart too."""
        deadline = time.monotonic() + LIMIT
        while True:
            assert self.process.poll() is None and time.monotonic() < deadline, "no kernel"
            msg_id = kc.kernel_info()
            try:
                answer(kc.get_iopub_msg, msg_id, 0.5)
            except queue.Empty:
                continue
            reply_of(kc, msg_id)
            return

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(Path(self.folder.name, "log").read_text(errors="replace")[-3000:])
        self.kc.stop_channels()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def answer(receive, msg_id, seconds=LIMIT):
    deadline = time.monotonic() + seconds
    while True:
        message = receive(timeout=max(0.01, deadline - time.monotonic()))
        if message["parent_header"].get("msg_id") == msg_id:
            return message


def reply_of(kc, msg_id):
    return answer(kc.get_shell_msg, msg_id)


def published(kc, msg_id, last):
    """What is published for a request, up to the first message that is `last`."""
    messages = []
    while not messages or not last(messages[-1]):
        messages.append(answer(kc.get_iopub_msg, msg_id))
    return messages


def is_idle(message):
    return message["content"].get("execution_state") == "idle"


def result_of(kc, msg_id):
    # In this order: who does not read what is published loses output once much of it waits.
    messages = published(kc, msg_id, is_idle)
    return Result(reply_of(kc, msg_id), messages)


def run(kc, code, **options):
    return result_of(kc, kc.execute(code, **options))


def begun(kc, code):
    """Sends a cell that prints a line when it has begun, and waits for the line."""
    msg_id = kc.execute(code)
    published(kc, msg_id, lambda message: message["content"].get("text") == "begun\n")
    return msg_id


def control(kc, kind, content=None):
    message = kc.session.msg(kind, content or {})
    kc.control_channel.send(message)
    return answer(kc.get_control_msg, message["header"]["msg_id"])["content"]


def descendants(pid):
    stats = [path.read_text().rsplit(")", 1) for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    parents = {int(before.split()[0]): int(after.split()[1]) for before, after in stats}
    found, todo = [], [pid]
    while todo:
        above = todo.pop()
        children = [child for child, parent in parents.items() if parent == above]
        found, todo = found + children, todo + children
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids):
    deadline = time.monotonic() + 60
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, f"{left} still run"
        time.sleep(0.02)
