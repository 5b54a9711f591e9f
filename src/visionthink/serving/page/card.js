// An episode as the user sees it. Texts of models and files are inserted as text, never as HTML.

const TITLES = {
  auto: "auto: the model decides",
  low: "low: the small look only",
  high: "high: the original at once",
};
const FIXED = {
  low: "no request is offered",
  high: "nothing more to request",
};
const UNANSWERED = {
  malformed: "No answer: the reply contains neither an answer nor a valid request.",
  out_of_turns: "No answer: the model made a request in its last turn.",
  length: "No answer: the token limit cut the reply off.",
};

export const count = (number) => number.toLocaleString("en");
export const time = (seconds) => `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;

export class Card {
  // `images`: what the user gave, as {url, size}.
  constructor(look, images) {
    this.look = look;
    this.images = images;
    this.looks = []; // {look, figure}, in the order in which they are drawn
    this.turns = []; // {figures, decision}: elements of the flow
    this.element = copyOf("episode");
    this.find("h2").textContent = TITLES[look];
    this.find(".said").textContent = "…";
    this.turn(0).figures.append(made("p", "empty", "…"));
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  // What is known while the answer comes.
  draw({ turn, looks, reasoning, answer }) {
    this.turn(turn);
    for (const look of looks.slice(this.looks.length)) this.show(look);
    for (let earlier = 0; earlier < turn; earlier += 1) {
      const next = looks.filter((look) => look.turn === earlier + 1);
      if (next.length) this.decide(earlier, "request", `→ requests ${named(next)}`);
      else this.decide(earlier, "malformed", "✗ malformed reply");
    }
    this.find(".reasoning .text").textContent = reasoning;
    if (answer) this.say(answer);
  }

  // What is known when all of it is there.
  finish(episode, seconds) {
    this.draw(episode);
    const { usage, story, looks, reasoning, answer } = episode;
    this.end(story.turns.length - 1, story.turns.at(-1).outcome);
    this.say(answer, story.stop_reason);
    this.find(".time").textContent = time(seconds);
    this.measure(looks, usage.visual_tokens, usage.saved_ratio);
    this.find(".share").classList.toggle("good", usage.saved_ratio > 0 && answer !== "");
    if (!reasoning) this.find(".reasoning .text").textContent = "The model gave none.";
    const items = story.turns.map((turn, number) => turnItem(turn, looksOf(looks, number)));
    this.find(".turns ol").replaceChildren(...items);
    this.find(".turns").hidden = false;
    this.element.setAttribute("aria-busy", "false");
  }

  // The place of a turn in the flow: its looks, then what the model decided.
  turn(number) {
    while (this.turns.length <= number) {
      const [figures, decision] = [made("li", "looks", ""), made("li", "decision", "")];
      decision.append(made("p", "", ""));
      this.find(".flow").append(figures, decision);
      this.turns.push({ figures, decision });
      this.decide(this.turns.length - 1, "waiting", FIXED[this.look] ?? "looks …");
    }
    return this.turns[number];
  }

  show(look) {
    const { figures } = this.turn(look.turn);
    figures.querySelector(".empty")?.remove();
    const figure = copyOf("look");
    const picture = figure.querySelector("img");
    const [width, height] = look.size;
    const whole = this.look === "high" || look.action !== null;
    figure.classList.toggle("large", whole);
    figure.querySelector("b").textContent = this.title(look);
    figure.querySelector(".size").textContent = sized(look.size, look.visual_tokens);
    figure.style.setProperty("--ratio", width / height);
    picture.alt = `${this.title(look)}, as the model sees it`;
    picture.src = look.picture ?? this.images[look.image].url;
    picture.classList.toggle("enlarged", width < 300);
    figures.append(figure);
    if (look.box) this.outline(look);
    this.looks.push({ look, figure });
  }

  // The part that a look shows, on the first picture of the whole image.
  outline({ image, box: [left, top, right, bottom] }) {
    const seen = this.looks.find(({ look }) => look.image === image && !look.box);
    const frame = made("i", "box", "");
    const sides = { left, top, width: right - left, height: bottom - top };
    for (const [name, value] of Object.entries(sides)) frame.style[name] = `${value / 10}%`;
    seen?.figure.querySelector(".frame").append(frame);
  }

  title(look) {
    if (look.action === null) return this.look === "high" ? "Original" : "Small look";
    const name = look.action.slice(0, 1).toUpperCase() + look.action.slice(1);
    return look.box ? `${name} ${look.box.join(", ")}` : name;
  }

  decide(turn, kind, text) {
    const { decision } = this.turn(turn);
    decision.firstChild.className = kind;
    decision.firstChild.textContent = text;
  }

  // The last turn: its answer stands below, so that only a first look's answer is pointed out.
  end(turn, outcome) {
    const { figures, decision } = this.turn(turn);
    if (!figures.childElementCount) figures.remove();
    if (this.look !== "auto") return;
    if (outcome === "request") this.decide(turn, "request", "→ requests too late");
    else if (outcome !== "answer") this.decide(turn, "malformed", "✗ malformed reply");
    else if (turn === 0) this.decide(turn, "answer", "✓ answers from the small look");
    else decision.remove();
  }

  say(answer, reason = "") {
    const said = this.find(".said");
    said.classList.toggle("unsaid", !answer);
    said.classList.toggle("long", answer.length > 80);
    const cut = reason === "length" ? " … (cut off by the token limit)" : "";
    said.textContent = answer ? answer + cut : (UNANSWERED[reason] ?? "The answer is empty.");
  }

  // Bars on one scale: the original alone takes four fifths of the width.
  measure(looks, { processed, vanilla }, saved) {
    const whole = Math.max(1.25 * vanilla, processed, 1);
    let start = 0;
    const bars = looks.map((look) => {
      const part = bar(this.kind(look), start, (100 * look.visual_tokens) / whole, 0);
      start += (100 * look.visual_tokens) / whole;
      return part;
    });
    bars.push(bar("vanilla", 0, (100 * vanilla) / whole, 12));
    this.find(".cost svg").replaceChildren(...bars);
    const percent = `${count(Math.round(Math.abs(saved) * 100))} %`;
    const effect = saved > 0 ? `${percent} saved` : saved < 0 ? `${percent} more` : "none saved";
    this.find(".share").replaceChildren(strong(count(processed)), ` of ${count(vanilla)}, ${effect}`);
    const parts = new Map();
    for (const look of looks) {
      const key = `${look.turn} ${this.title(look)}`;
      const [, , tokens] = parts.get(key) ?? [null, null, 0];
      parts.set(key, [this.kind(look), this.title(look), tokens + look.visual_tokens]);
    }
    parts.set("vanilla", ["vanilla", "the original alone", vanilla]);
    this.find(".legend").replaceChildren(...[...parts.values()].map(legendItem));
  }

  kind(look) {
    return look.action === null && this.look !== "high" ? "first" : "requested";
  }
}

function looksOf(looks, turn) {
  return looks.filter((look) => look.turn === turn);
}

// What was requested: one action, which may show several images.
function named(looks) {
  const [{ action, box }] = looks;
  return action === "original" ? "the original" : box ? `${action} ${box.join(", ")}` : action;
}

function copyOf(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

function pixels([width, height]) {
  return `${count(width)} × ${count(height)} px`;
}

function sized(size, tokens) {
  return `${pixels(size)}, ${count(tokens)} ${tokens === 1 ? "token" : "tokens"}`;
}

function bar(kind, x, width, y) {
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("class", `${kind}-part`);
  for (const [name, value] of Object.entries({ x, y, width, height: 8 })) {
    rect.setAttribute(name, value);
  }
  return rect;
}

function strong(text) {
  return made("b", "", text);
}

function legendItem([kind, name, tokens]) {
  const item = made("span", "part", `${name.toLowerCase()} ${count(tokens)}`);
  item.prepend(made("i", kind, ""));
  return item;
}

function turnItem({ text, outcome, note, cost }, looks) {
  const facts = [
    note ? `${outcome}: ${note}` : outcome,
    looks.length ? `saw ${looks.map((look) => pixels(look.size)).join(", ")}` : "saw nothing new",
    `${count(cost.prompt_tokens)} tokens in, ${count(cost.cached_tokens)} of them cached`,
    `${count(cost.completion_tokens)} out`,
    time(cost.seconds),
  ];
  const item = made("li", "", "");
  item.append(made("p", "muted", facts.join(" · ")), made("pre", "", text));
  return item;
}

function made(name, kind, text) {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  element.textContent = text;
  return element;
}
