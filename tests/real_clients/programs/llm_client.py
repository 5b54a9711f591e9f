"""The llm command: an attachment, with and without stream, a schema, and a function."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

base_url, model, picture = sys.argv[1:]
folder = tempfile.mkdtemp()
entry = {
    **{"model_id": "gateway", "model_name": model, "api_base": base_url},
    **{"vision": True, "supports_schema": True, "supports_tools": True},
}
# YAML is a superset of JSON.
pathlib.Path(folder, "extra-openai-models.yaml").write_text(json.dumps([entry]))


def llm(*options):
    done = subprocess.run(
        [sys.executable, "-m", "llm", "-m", "gateway", "-a", picture, "What colour?", *options],
        env=os.environ | {"LLM_USER_PATH": folder},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout.strip()


schema = json.dumps({"type": "object", "properties": {"colour": {"type": "string"}}})
function = "def report(colour: str) -> str:\n    return 'args ' + colour\n"
# It calls the function and asks again with the result, which the upstream repeats.
told = llm("--no-stream", "--functions", function)
print(
    json.dumps(
        {
            "ask": llm("--no-stream"),
            "stream": llm(),
            "json": json.loads(llm("--no-stream", "--schema", schema)),
            "tool": {"colour": "red"} if told == "The tool says args red." else told,
        }
    )
)
