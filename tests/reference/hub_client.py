"""What Python's hub client does on the stand-ins of tests/support/hub_scenarios.rs; writes tests/golden/hub/python.json.

    cargo test --test hub_python --no-run     # prints the path of the test program
    python -m venv /tmp/hub && /tmp/hub/bin/pip install -r tests/reference/requirements-hub.txt
    /tmp/hub/bin/python tests/reference/hub_client.py TEST_PROGRAM
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
CLIENT = """
import json, sys
repo, revision, file = sys.argv[1:]
try:
    import huggingface_hub
    path = huggingface_hub.hf_hub_download(repo, file, revision=revision)
    print(json.dumps({"path": path}))
except BaseException as error:
    print(json.dumps({"error": type(error).__name__}))
"""


def files(root):
    """The cache's files below a folder: what each is, and the SHA-256 of what it holds."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        # Notes that each program keeps for itself.
        if "wider-clip" in name or ("models--" not in name and not name.endswith("CACHEDIR.TAG")):
            continue
        kind = f"link to {os.readlink(path)}" if path.is_symlink() else "file"
        found[name] = f"{kind}, {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    return found


def run(scenario):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve() / "room"
        root.mkdir()
        for name, text in scenario["before"]:
            place = root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text.encode())
        environment = {"PATH": os.environ["PATH"], "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
        environment |= {"HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2", "HOME": str(root / "user")}
        for name, value in scenario["environment"]:
            environment[name] = value.replace("{hub}", scenario["hub"]).replace("{home}", str(root))
        words = [scenario["repo"], scenario["revision"], scenario["file"]]
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, *words], env=environment, cwd=root, capture_output=True, text=True
        )
        outcome = json.loads(done.stdout.strip().splitlines()[-1])
        if "path" in outcome:
            outcome["path"] = pathlib.Path(outcome["path"]).relative_to(root).as_posix()
        with urllib.request.urlopen(scenario["hub"] + "/_requests") as answer:
            asked = answer.read().decode().splitlines()
        outcome["asked"] = sorted(set(asked))
        outcome["files"] = files(root)
        return outcome


def main():
    program = [sys.argv[1], "--exact", "serve", "--ignored", "--nocapture"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        scenarios = []
        for line in server.stdout:
            if line.startswith("scenario "):
                scenarios.append(json.loads(line.removeprefix("scenario ")))
            if line.startswith("ready"):
                break
        outcomes = {}
        for scenario in scenarios:
            outcomes[scenario["name"]] = run(scenario)
            print(scenario["name"], json.dumps(outcomes[scenario["name"]])[:150], flush=True)
        server.stdin.close()
    import huggingface_hub

    place = HERE.parent / "golden" / "hub" / "python.json"
    place.parent.mkdir(exist_ok=True)
    text = json.dumps({"huggingface_hub": huggingface_hub.__version__, "outcomes": outcomes}, indent=1, ensure_ascii=False)
    place.write_text(text + "\n")


if __name__ == "__main__":
    main()
