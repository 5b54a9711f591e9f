// The openai package of npm: chat, stream, JSON schema, tools.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { OpenAI } = createRequire(process.cwd() + "/")("openai");
const [baseURL, model, picture] = process.argv.slice(2);
const url = "data:image/png;base64," + readFileSync(picture).toString("base64");
const messages = [
  {
    role: "user",
    content: [
      { type: "text", text: "What colour?" },
      { type: "image_url", image_url: { url } },
    ],
  },
];
const parameters = {
  type: "object",
  properties: { colour: { type: "string" } },
  required: ["colour"],
  additionalProperties: false,
};
const client = new OpenAI({ baseURL });
const chat = client.chat.completions;

const asked = await chat.create({ model, messages });
let stream = "";
for await (const chunk of await chat.create({ model, messages, stream: true })) {
  stream += chunk.choices[0]?.delta?.content ?? "";
}
const parsed = await chat.create({
  model,
  messages,
  response_format: { type: "json_schema", json_schema: { name: "Seen", strict: true, schema: parameters } },
});
const called = await chat.create({
  model,
  messages,
  tools: [{ type: "function", function: { name: "report", parameters } }],
});
console.log(
  JSON.stringify({
    ask: asked.choices[0].message.content,
    stream,
    json: JSON.parse(parsed.choices[0].message.content),
    tool: JSON.parse(called.choices[0].message.tool_calls[0].function.arguments),
  }),
);
