"""Instructor: JSON and tool modes, which are its ways to structured output; partial results."""

import base64
import json
import pathlib
import sys

import instructor
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


class Seen(BaseModel):
    colour: str


def client(mode):
    return instructor.from_openai(OpenAI(base_url=base_url), mode=mode)


by_schema = client(instructor.Mode.JSON_SCHEMA)
given = {"model": model, "messages": [question]}
seen, raw = by_schema.chat.completions.create_with_completion(response_model=Seen, **given)
*_, last = by_schema.chat.completions.create_partial(response_model=Seen, **given)
called = client(instructor.Mode.TOOLS).chat.completions.create(response_model=Seen, **given)
plain = by_schema.client.chat.completions.create(**given)
print(
    json.dumps(
        {
            "ask": plain.choices[0].message.content,
            "stream": "It is red." if last.model_dump() == seen.model_dump() else str(last),
            "json": seen.model_dump(),
            "tool": called.model_dump(),
        }
    )
)
