"""A kernel for the tests of the proxy: it behaves as evcxr_jupyter does, and does what the first word of a cell says."""

import json
import os
import subprocess
import sys
import threading
import time

import zmq
from jupyter_client.session import Session

info = json.load(open(sys.argv[1]))
context = zmq.Context()


def bind(kind, name):
    socket = context.socket(kind)
    socket.linger = 1000
    socket.sndhwm = 0  # Lose nothing; to be set before the port is bound.
    socket.bind(f"tcp://{info['ip']}:{info[name + '_port']}")
    return socket


shell, control, stdin = (bind(zmq.ROUTER, name) for name in ("shell", "control", "stdin"))
iopub = bind(zmq.PUB, "iopub")
hb = bind(zmq.REP, "hb")
session = Session(key=info["key"].encode(), signature_scheme="hmac-sha256", check_pid=False)
interrupted = threading.Event()


def heartbeat():
    while True:
        hb.recv()
        hb.send(b"ping")


def controls():
    while True:
        identities, message = session.recv(control, mode=0)
        if message is None:
            continue
        kind = message["msg_type"]
        if kind == "interrupt_request":
            interrupted.set()
            session.send(control, "interrupt_reply", {"status": "ok"}, parent=message, ident=identities)
        elif kind == "shutdown_request":
            session.send(control, "shutdown_reply", {"status": "ok", "restart": False}, parent=message, ident=identities)
            time.sleep(0.05)
            os._exit(0)


def publish(kind, content, parent, **options):
    session.send(iopub, kind, content, parent=parent, **options)


def stream(parent, name, text):
    publish("stream", {"name": name, "text": text}, parent)


PANIC = """
thread '<unnamed>' (1) panicked at src/lib.rs:2:39:
index out of bounds
stack backtrace:
   0: __rustc::rust_begin_unwind
   1: ctx::deep
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
"""

number = 1


def execute(identities, message):
    global number
    number += 1
    interrupted.clear()
    code = message["content"]["code"]
    publish("execute_input", {"code": code, "execution_count": number}, message)
    word, _, rest = code.partition(" ")
    status, late = "ok", []
    if word == "print":
        for _ in range(int(rest.split()[0])):
            stream(message, "stdout", "x" * (int(rest.split()[1]) - 1) + "\n")
    elif word in ("value", "value_now"):
        publish("execute_result", {"data": {"text/plain": rest}, "metadata": {}, "execution_count": number}, message)
    elif word == "buffers":
        publish("display_data", {"data": {}, "metadata": {}}, message, buffers=[b"\x00\xff" * 500, b"<IDS|MSG>"])
    elif word == "late":
        late = [(float(rest) / 1000, "stdout", "late\n")]
    elif word == "panic_late":
        late = [(float(rest) / 1000, "stdout", "[cell failed: panic]\n"), (0.02, "stderr", PANIC)]
    elif word == "until":
        stream(message, "stdout", "begun\n")
        while not os.path.exists(rest):
            time.sleep(0.01)
    elif word == "panic":
        stream(message, "stderr", "own words\n")
        for line in PANIC.splitlines(keepends=True):
            stream(message, "stderr", line)
        stream(message, "stdout", "[cell failed: panic]\n")
    elif word == "question":
        stream(message, "stdout", "[cell failed: error]\n")
        late = [(0.05, "stderr", "no such file\n")]
    elif word == "status":
        for step in range(int(rest)):
            stream(message, "stdout", f"[status] step {step}\n")
            time.sleep(0.01)
        stream(message, "stdout", "done\n")
    elif word == "error":
        status = "error"
        publish("error", {"ename": "Error", "evalue": rest, "traceback": [f"\x1b[31m[E0382] Error:\x1b[0m {rest}"]}, message)
    elif word == "sleep":
        stream(message, "stdout", "begun\n")
        if interrupted.wait(float(rest)):
            status = "error"
            text = "Subprocess terminated with status: signal: 9 (SIGKILL)"
            publish("error", {"ename": "Error", "evalue": text, "traceback": [text]}, message)
    elif word == "input":
        session.send(stdin, "input_request", {"prompt": rest, "password": False}, parent=message, ident=identities)
        _, answer = session.recv(stdin, mode=0)
        value = answer["content"]["value"]
        publish("execute_result", {"data": {"text/plain": value}, "metadata": {}, "execution_count": number}, message)
    elif word == "children":
        for _ in range(2):
            subprocess.Popen(["sleep", "1000"])
    elif word == "die":
        stream(message, "stdout", "last words\n")
        time.sleep(0.5)
        os._exit(7)
    session.send(shell, "execute_reply", {"status": status, "execution_count": number}, parent=message, ident=identities)
    return late if status == "ok" else None


def evcxr_signature(frames):
    """evcxr_jupyter signs everything behind the signature and stops listening when that is wrong."""
    at = frames.index(b"<IDS|MSG>")
    if frames[at + 1] != session.sign(frames[at + 2 :]):
        print("the child would be deaf now", flush=True)
        sys.exit(9)


def shells():
    while True:
        frames = shell.recv_multipart()
        evcxr_signature(frames)
        identities, parts = session.feed_identities(frames)
        parts[0] = session.sign(parts[1:5])
        message = session.deserialize(parts)
        kind = message["msg_type"]
        publish("status", {"execution_state": "busy"}, message)
        late = []
        if kind == "execute_request":
            late = execute(identities, message)
        elif kind == "kernel_info_request":
            content = {"status": "ok", "language_info": {"name": "Rust"}, "banner": "fake", "protocol_version": "5.3"}
            session.send(shell, "kernel_info_reply", content, parent=message, ident=identities)
        elif kind == "complete_request":
            content = {"status": "ok", "matches": ["a"], "cursor_start": 0, "cursor_end": 1, "metadata": {}}
            session.send(shell, "complete_reply", content, parent=message, ident=identities)
        elif kind == "comm_msg":
            publish("comm_msg", {"comm_id": "1", "data": {"buffers": len(message["buffers"])}}, message)
        publish("status", {"execution_state": "idle"}, message)
        if kind == "execute_request" and late is not None:
            pause = 0 if message["content"]["code"].startswith("value_now") else 0.005
            late += [(0, "stderr", "[cell ended]\n"), (pause, "stdout", "[cell ended]\n")]
        for pause, name, text in late or []:
            time.sleep(pause)
            stream(message, name, text)


threading.Thread(target=heartbeat, daemon=True).start()
threading.Thread(target=controls, daemon=True).start()
shells()
