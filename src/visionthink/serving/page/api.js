// The server's public API: the name of the model, and the streamed answer to one question.

import { events } from "./events.js";

const API = new URL("v1/", document.baseURI);

// What went wrong. `kind`: "down", "key", "busy", "model" (no such model), "refused" or "unreadable".
// `wait`: seconds to wait before asking again, or null.
export class ServerError extends Error {
  constructor(kind, message, wait = null) {
    super(message);
    this.kind = kind;
    this.wait = wait;
  }
}

const DOWN = "The server cannot be reached. Is it still running?";
const BROKEN = "The connection broke before the answer was complete.";
export const UNREADABLE = "The server’s reply cannot be read. Is this a VisionThink server?";

export function isKey(text) {
  return /^[!-~]+$/.test(text);
}

export async function modelName(key) {
  const response = await call("models", key, {});
  const list = await response.json().catch(() => null);
  const name = list?.data?.[0]?.id;
  if (typeof name !== "string") throw new ServerError("unreadable", UNREADABLE);
  return name;
}

// The pieces of a streamed answer, as parsed JSON.
export async function* answer({ model, look, image, question }, key, signal) {
  const parts = [
    { type: "image_url", image_url: { url: image } },
    { type: "text", text: question },
  ];
  const body = {
    model,
    messages: [{ role: "user", content: parts }],
    stream: true,
    stream_options: { include_usage: true },
    visionthink: { look, trace: true, views: true },
  };
  const response = await call("chat/completions", key, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const kind = response.headers.get("content-type") ?? "";
  if (!kind.startsWith("text/event-stream")) throw new ServerError("unreadable", UNREADABLE);
  try {
    for await (const event of events(response.body)) {
      if (event?.error) throw new ServerError("refused", said(event.error) ?? UNREADABLE);
      yield event;
    }
  } catch (error) {
    throw translated(error, BROKEN);
  }
}

async function call(path, key, options) {
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(new URL(path, API), { ...options, headers, cache: "no-store" });
  } catch (error) {
    throw translated(error, DOWN);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

function translated(error, message) {
  if (error instanceof SyntaxError) return new ServerError("unreadable", UNREADABLE);
  if (error instanceof ServerError || error.name === "AbortError") return error;
  return new ServerError("down", message);
}

async function refusal(response) {
  const error = (await response.json().catch(() => null))?.error;
  const message = said(error) ?? `The server answered with status ${response.status}.`;
  if (response.status === 401) return new ServerError("key", message);
  if (error?.code === "model_not_found") return new ServerError("model", message);
  const wait = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  if (Number.isNaN(wait)) return new ServerError("refused", message);
  const busy = response.status === 429;
  return new ServerError("busy", busy ? "The server is busy with other questions." : message, wait);
}

// The message of an error, as a sentence.
function said(error) {
  if (typeof error?.message !== "string") return null;
  const text = error.message.slice(0, 1).toUpperCase() + error.message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
