"""LangChain's ChatOpenAI: invoke, stream, structured output, tools."""

import base64
import json
import pathlib
import sys

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

base_url, model, picture = sys.argv[1:]
url = "data:image/png;base64," + base64.b64encode(pathlib.Path(picture).read_bytes()).decode()
question = HumanMessage(
    content=[
        {"type": "text", "text": "What colour?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
)


class Seen(BaseModel):
    colour: str


@tool
def report(colour: str) -> str:
    """Report a colour."""
    return colour


chat = ChatOpenAI(model=model, base_url=base_url, api_key="none")
print(
    json.dumps(
        {
            "ask": chat.invoke([question]).content,
            "stream": "".join(chunk.content for chunk in chat.stream([question])),
            "json": chat.with_structured_output(Seen, method="json_schema")
            .invoke([question])
            .model_dump(),
            "tool": chat.bind_tools([report]).invoke([question]).tool_calls[0]["args"],
        }
    )
)
