// The page: takes an image and a question, shows episodes.

import { answer, isKey, modelName, ServerError, UNREADABLE } from "./api.js";
import { Card, count, time } from "./card.js";
import { grown, isComplete, NOTHING } from "./episode.js";
import { readImage } from "./image.js";

const LOOKS = ["auto", "low", "high"];
const MEANINGS = {
  auto: "The small look first; the model decides whether it needs more.",
  low: "The small look only: about a quarter of the visual tokens.",
  high: "The original at once, without a first look.",
  all: "auto, low and high, one after another, so that their times can be compared.",
};

const page = Object.fromEntries(
  [...document.querySelectorAll("[id]")].map((element) => [element.id, element]),
);
const state = { key: "", model: null, image: null, running: null, countdown: null };

async function connect() {
  state.model = await modelName(state.key);
  page.model.textContent = `Model: ${state.model}`;
}

// The image

async function take(file, question = null) {
  let image;
  try {
    image = await readImage(file);
  } catch (error) {
    complain(error);
    return false;
  }
  settle();
  for (const button of page.samples.querySelectorAll("button")) button.ariaPressed = "false";
  state.image = image;
  page.preview.src = image.url;
  page.preview.alt = image.name;
  page.preview.classList.toggle("enlarged", image.size[0] < 300);
  page.preview.hidden = false;
  page.drop.classList.add("full");
  page.chosen.textContent = `${image.name}, ${image.size.join(" × ")} px`;
  if (question !== null) page.text.value = question;
  return true;
}

async function loadSamples() {
  const { embedded, samples } = await (await fetch("page/start.json")).json();
  page.embedded.hidden = !embedded;
  for (const { image, question } of samples) {
    const picture = document.createElement("img");
    picture.src = image;
    picture.alt = question;
    const button = document.createElement("button");
    button.type = "button";
    button.title = question;
    button.ariaPressed = "false";
    button.append(picture);
    button.addEventListener("click", () => takeSample(button, image, question));
    const item = document.createElement("li");
    item.append(button);
    page.samples.querySelector("ul").append(item);
  }
}

async function takeSample(button, address, question) {
  try {
    const blob = await (await fetch(address)).blob();
    const file = new File([blob], address.split("/").pop());
    if (await take(file, question)) button.ariaPressed = "true";
  } catch {
    complain(new ServerError("down", "The sample cannot be loaded. Is the server still running?"));
  }
}

// Asking

function ask() {
  const question = page.text.value.trim();
  if (!state.image) return missing(page.file, "Choose an image first.");
  if (!question) return missing(page.text, "Ask something about the image.");
  const chosen = new FormData(page.ask).get("look");
  return run(chosen === "all" ? LOOKS : [chosen], state.image, question);
}

function missing(field, message) {
  complain(new Error(message));
  field.focus();
}

async function run(looks, image, question) {
  settle();
  const running = (state.running = new AbortController());
  busy(true);
  const cards = looks.map((look) => new Card(look, [image]));
  page.episodes.replaceChildren(...cards.map((card) => card.element));
  page.episodes.classList.toggle("several", looks.length > 1);
  cards[0].element.scrollIntoView({ block: "nearest" });
  const answers = [];
  try {
    if (!state.model) await connect();
    for (const card of cards) {
      page.status.textContent = `Asking (${card.look}) …`;
      const asked = { model: state.model, look: card.look, image: image.url, question };
      answers.push(`${card.look}: ${await follow(card, asked, running.signal)}`);
    }
    page.status.textContent = answers.join(" ");
  } catch (error) {
    for (const card of cards.slice(answers.length)) card.element.remove();
    const cancelled = error.name === "AbortError";
    page.status.textContent = cancelled ? "Cancelled." : "";
    if (!cancelled) complain(error instanceof ServerError ? error : new ServerError("unreadable", UNREADABLE));
  } finally {
    state.running = null;
    busy(false);
  }
}

// Follow one episode to its end; returns a sentence about it for screen readers.
async function follow(card, asked, signal) {
  const began = performance.now();
  let episode = NOTHING;
  for await (const piece of answer(asked, state.key, signal)) {
    episode = grown(episode, piece);
    card.draw(episode);
  }
  if (!isComplete(episode)) throw new ServerError("unreadable", UNREADABLE);
  const seconds = (performance.now() - began) / 1000;
  card.finish(episode, seconds);
  const { processed, vanilla } = episode.usage.visual_tokens;
  const said = episode.answer.length > 80 ? `${episode.answer.slice(0, 80)}…` : episode.answer;
  return `${said || "no answer"}, ${count(processed)} of ${count(vanilla)} visual tokens, ${time(seconds)}.`;
}

function busy(is) {
  const hadFocus = [page.go, page.cancel].includes(document.activeElement);
  page.go.disabled = is;
  page.cancel.hidden = !is;
  if (hadFocus) (is ? page.cancel : page.go).focus();
}

// Errors

function complain(error) {
  settle();
  if (error.kind === "key") return askForKey(state.key ? "The server does not accept this key." : "");
  page.error.textContent = error.message;
  page.error.scrollIntoView({ block: "nearest" });
  if (error.kind === "model") state.model = null; // the server has a different one now
  if (error.kind === "busy") offer(error.wait);
}

function askForKey(message) {
  page.key.hidden = false;
  page["key-error"].textContent = message;
  page["key-text"].focus();
}

// A button to ask again, enabled when the server said that it will have room.
function offer(wait) {
  const button = page.again;
  let left = Math.max(0, wait);
  const show = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Ask again in ${left} s` : "Ask again";
    if (left-- <= 0) clearInterval(state.countdown);
  };
  button.hidden = false;
  state.countdown = setInterval(show, 1000);
  show();
}

function settle() {
  clearInterval(state.countdown);
  page.again.hidden = true;
  page.error.textContent = "";
  page["key-error"].textContent = "";
}

// Events

page.file.addEventListener("change", () => {
  if (page.file.files.length) take(page.file.files[0]);
  page.file.value = ""; // so that the same file can be chosen again
});

document.addEventListener("dragover", (event) => {
  if (event.target === page.text) return;
  event.preventDefault();
  page.drop.classList.add("over");
});
for (const over of ["dragleave", "drop"]) {
  document.addEventListener(over, () => page.drop.classList.remove("over"));
}
document.addEventListener("drop", (event) => {
  const [file] = event.dataTransfer.files;
  if (!file && event.target === page.text) return;
  event.preventDefault();
  if (file) take(file);
  else complain(new Error("Drop an image file; save images of other pages first."));
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (!file) return;
  event.preventDefault();
  take(file);
});

page.ask.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!state.running) ask();
});
page.text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!state.running) ask();
});
page.cancel.addEventListener("click", () => state.running?.abort());
page.again.addEventListener("click", () => ask());
page.ask.addEventListener("change", explain);

page.key.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = page["key-text"].value.trim();
  if (!isKey(text)) return askForKey("This is not an API key; paste it again.");
  state.key = text;
  page["key-text"].value = "";
  page.key.hidden = true;
  settle();
  await connect().catch(complain);
  if (page.key.hidden) page.go.focus();
});

function explain() {
  page["look-means"].textContent = MEANINGS[new FormData(page.ask).get("look")];
}

explain();
connect().catch(complain);
loadSamples().catch(() => complain(new ServerError("down", "The samples cannot be loaded.")));
