"""Ask a running `visionthink serve` about an image with the official openai client.

    python examples/ask.py src/visionthink/mini/samples/tag.png "What code is on the tag?"

If the server is not at http://127.0.0.1:8000/v1 or requires a key, set OPENAI_BASE_URL and
OPENAI_API_KEY. This is ordinary client code, except for the last three lines: they read what was
saved.
"""

import base64
import mimetypes
import os
import sys
from pathlib import Path

from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

if len(sys.argv) != 3:
    sys.exit(__doc__)
path, question = Path(sys.argv[1]), sys.argv[2]
kind = mimetypes.guess_type(path)[0] or "image/png"
url = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
message: ChatCompletionUserMessageParam = {
    "role": "user",
    "content": [
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": {"url": url}},
    ],
}

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
)
model = client.models.list().data[0].id  # also: MODEL:low, MODEL:high, MODEL:trace

print("reasoning: ", end="")
answering = False
chunks = client.chat.completions.create(
    model=model, messages=[message], stream=True, stream_options={"include_usage": True}
)
for chunk in chunks:
    if chunk.choices:
        delta = chunk.choices[0].delta
        print(getattr(delta, "reasoning_content", None) or "", end="", flush=True)
        if delta.content:
            print("" if answering else "\nanswer: ", end="")
            print(delta.content, end="", flush=True)
            answering = True
    elif chunk.usage and chunk.usage.model_extra:
        saved = chunk.usage.model_extra["visionthink"]
        print(f"\noriginal requested: {saved['requested']}, saved: {saved['saved_ratio']:.0%}")
