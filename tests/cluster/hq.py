#!/usr/bin/env python3
"""Those commands of HyperQueue's program `hq` that the campaign and hyperqueue.sh call, by HyperQueue's Python library: its
server, workers and client are HyperQueue's own, so that a suite goes through them where no package brings the program.

    python3 -m venv FOLDER && FOLDER/bin/pip install -r tests/cluster/requirements.txt
    install tests/cluster/hq.py FOLDER/bin/hq
    python3 tests/cluster/campaign.py PROGRAM --engine hq --hq FOLDER/bin/hq

For tests alone: who reaches the ports of the library's server can run commands, as it asks for no key. Not as with `hq`: a
worker has CPUs and no other resource, so memory that is asked for is not counted; it tells that it is alive every 10 s,
whatever `--heartbeat` says; tasks find their line in HQ_ENTRY as a variable that is given to them, and in HQ a Python.
An option that is not here is refused.
"""

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

try:
    from hyperqueue import Client, Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig
    from hyperqueue.ffi.protocol import ResourceRequest
except ImportError as why:
    sys.exit(f"hq: {sys.executable} lacks HyperQueue's library ({why}); tests/cluster/requirements.txt names it")

SERVER = Path(os.environ.get("HQ_SERVER_DIR") or Path.home() / ".hq-server").absolute()


def threads():
    return set(os.listdir("/proc/self/task"))


def stay(others):
    """Until the threads that were started since then have ended: the library's server or worker, which tell nothing."""
    started = threads() - others
    while started & threads():
        time.sleep(0.2)


def server_start(arguments):
    try:
        Client(SERVER)
    except Exception:  # none there, or one that is gone
        pass
    else:
        sys.exit(f"hq: a server runs already in {SERVER}")
    before = threads()
    cluster = LocalCluster(str(SERVER))  # as long as it is held
    if arguments.host:
        # The library's server goes by the machine's name, which is not always one that is known.
        access = SERVER / "hq-current" / "access.json"
        record = json.loads(access.read_text())
        record["client"]["host"] = record["worker"]["host"] = arguments.host
        new = access.with_suffix(".new")
        new.write_text(json.dumps(record))
        new.chmod(0o400)
        new.replace(access)
    stay(before)
    del cluster


def server_info(arguments):
    Client(SERVER)
    print(f"a server runs in {SERVER}")


def worker_start(arguments):
    """The library starts workers for a server of the same process alone, by its folder. So this has one that serves nobody, in
    a folder of its own, which leads to the other server before the worker is started."""
    Client(SERVER)
    with tempfile.TemporaryDirectory(prefix="worker-", dir=SERVER) as folder:
        own = LocalCluster(folder)
        before = threads()
        current = Path(folder) / "hq-current"
        current.unlink()
        current.symlink_to(SERVER / "hq-current")
        own.start_worker(WorkerConfig(cores=arguments.cpus))
        own.stop()
        print("the worker was started", flush=True)
        stay(before)


def submit(arguments):
    resources = dict(arguments.resource)
    resources.pop("mem", None)
    if resources:
        sys.exit(f"hq: the library's workers have no {', '.join(resources)}: the task would wait for ever")
    # As `hq` does it: by line feeds alone, and a last one begins no line.
    entries = arguments.each_line.read_bytes().decode().removesuffix("\n").split("\n")
    job = Job(name=arguments.name, max_fails=None)
    for entry in entries:
        job.program(arguments.command, env={**dict(arguments.env), "HQ_ENTRY": entry}, stdout=arguments.stdout,
                    stderr=arguments.stderr, resources=ResourceRequest(cpus=arguments.cpus), crash_limit=arguments.crash_limit)
    client = Client(SERVER)
    submitted = client.submit(job)
    print(f"Job submitted successfully, job ID: {submitted.id}", flush=True)
    if arguments.wait:
        # Tasks that failed do not make `hq submit --wait` fail.
        client.connection.wait_for_jobs([submitted.id], lambda _: None)


def variable(text):
    name, _, value = text.partition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def number(text):
    if not re.fullmatch("[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def resource(text):
    name, _, amount = text.partition("=")
    return name, number(amount)


def main():
    # Ctrl-C is for the library, and ends what the library leaves alone.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parser = argparse.ArgumentParser(prog="hq", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    actions = kinds.add_parser("server").add_subparsers(required=True)
    command = actions.add_parser("start")
    command.add_argument("--host")
    command.set_defaults(run=server_start)
    actions.add_parser("info").set_defaults(run=server_info)
    command = kinds.add_parser("worker").add_subparsers(required=True).add_parser("start")
    command.add_argument("--cpus", type=number, default=os.cpu_count())
    command.add_argument("--heartbeat")
    command.set_defaults(run=worker_start)
    command = kinds.add_parser("submit")
    command.add_argument("--name")
    command.add_argument("--each-line", type=Path, required=True)
    command.add_argument("--wait", action="store_true")
    command.add_argument("--crash-limit", type=number, default=5)
    command.add_argument("--cpus", type=number, default=1)
    command.add_argument("--resource", type=resource, action="append", default=[])
    command.add_argument("--env", type=variable, action="append", default=[])
    command.add_argument("--stdout", required=True)
    command.add_argument("--stderr", required=True)
    command.add_argument("command", nargs="+")
    command.set_defaults(run=submit)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except Exception as why:
        sys.exit("hq: " + str(why).split("\n\nStack backtrace:")[0])


if __name__ == "__main__":
    main()
