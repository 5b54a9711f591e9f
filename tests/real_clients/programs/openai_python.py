"""The openai package: chat, stream, parse, tools."""

import base64
import json
import pathlib
import sys

from openai import OpenAI
from pydantic import BaseModel

base_url, model, picture = sys.argv[1:]
url = "data:image/png;base64," + base64.b64encode(pathlib.Path(picture).read_bytes()).decode()
question = {
    "role": "user",
    "content": [
        {"type": "text", "text": "What colour?"},
        {"type": "image_url", "image_url": {"url": url}},
    ],
}
client = OpenAI(base_url=base_url)
tool = {
    "type": "function",
    "function": {
        "name": "report",
        "parameters": {"type": "object", "properties": {"colour": {"type": "string"}}},
    },
}


class Seen(BaseModel):
    colour: str


asked = client.chat.completions.create(model=model, messages=[question])
chunks = client.chat.completions.create(model=model, messages=[question], stream=True)
streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
parsed = client.chat.completions.parse(model=model, messages=[question], response_format=Seen)
called = client.chat.completions.create(model=model, messages=[question], tools=[tool])
print(
    json.dumps(
        {
            "ask": asked.choices[0].message.content,
            "stream": streamed,
            "json": parsed.choices[0].message.parsed.model_dump(),
            "tool": json.loads(called.choices[0].message.tool_calls[0].function.arguments),
        }
    )
)
