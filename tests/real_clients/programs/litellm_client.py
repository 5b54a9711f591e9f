"""LiteLLM: chat, stream, JSON schema, tools."""

import base64
import json
import pathlib
import sys

import litellm
from pydantic import BaseModel

base_url, model, picture = sys.argv[1:]
url = "data:image/png;base64," + base64.b64encode(pathlib.Path(picture).read_bytes()).decode()
messages = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What colour?"},
            {"type": "image_url", "image_url": {"url": url}},
        ],
    }
]
tool = {
    "type": "function",
    "function": {
        "name": "report",
        "parameters": {"type": "object", "properties": {"colour": {"type": "string"}}},
    },
}


class Seen(BaseModel):
    colour: str


def ask(**more):
    return litellm.completion(
        model=f"openai/{model}", api_base=base_url, api_key="none", messages=messages, **more
    )


streamed = "".join(chunk.choices[0].delta.content or "" for chunk in ask(stream=True))
print(
    json.dumps(
        {
            "ask": ask().choices[0].message.content,
            "stream": streamed,
            "json": json.loads(ask(response_format=Seen).choices[0].message.content),
            "tool": json.loads(
                ask(tools=[tool]).choices[0].message.tool_calls[0].function.arguments
            ),
        }
    )
)
