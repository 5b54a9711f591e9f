// An episode as the user sees it. What models and files say goes in as text, never as HTML.

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
  malformed: "No answer: the reply holds neither an answer nor a valid request.",
  out_of_turns: "No answer: the model requested the original a second time.",
  length: "No answer: the token limit cut the reply off.",
};

export const count = (number) => number.toLocaleString("en");
export const time = (seconds) => `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;

export class Card {
  constructor(look, image) {
    this.look = look;
    this.image = image;
    const copy = document.getElementById("episode").content.cloneNode(true);
    this.element = copy.querySelector("article");
    this.find("h2").textContent = TITLES[look];
    this.find(".first b").textContent = look === "high" ? "Original" : "Small look";
    this.find(".first").classList.toggle("original", look === "high");
    this.find(".second").hidden = look !== "auto";
    if (look === "high") this.show(".first", image.url, "The original image");
    else this.find(".first .empty").textContent = "…";
    this.decide("waiting", FIXED[look] ?? "looks …");
    this.find(".second .empty").textContent = "…";
    this.find(".said").textContent = "…";
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  // What is known while the answer comes.
  draw(episode) {
    const { view, requested, reasoning, answer } = episode;
    if (view?.startsWith("data:image/") && this.find(".first img").hidden) {
      this.show(".first", view, "The image as the model first sees it, at half size");
    }
    if (requested) {
      this.decide("request", "→ requests the original");
      this.show(".second", this.image.url, "The original image");
    }
    this.find(".reasoning .text").textContent = reasoning;
    if (answer) this.say(answer);
  }

  // What is known when all of it is there.
  finish(episode, seconds) {
    this.draw(episode);
    const { usage, story, reasoning, answer } = episode;
    const [first] = story.turns;
    if (this.look === "auto" && !usage.requested) {
      const answers = first.outcome === "answer";
      const other = first.outcome === "request" ? "→ requests too late" : "✗ malformed reply";
      this.decide(first.outcome, answers ? "✓ answers from the small look" : other);
      this.find(".second .empty").textContent = answers ? "not needed" : "not delivered";
    }
    this.say(answer, story.stop_reason);
    this.find(".time").textContent = time(seconds);
    this.sizes(story.turns, usage.visual_tokens, usage.requested);
    this.measure(usage.visual_tokens, usage.saved_ratio);
    this.find(".share").classList.toggle("good", usage.saved_ratio > 0 && answer !== "");
    if (!reasoning) this.find(".reasoning .text").textContent = "The model gave none.";
    this.find(".turns ol").replaceChildren(...story.turns.map(turnItem));
    this.find(".turns").hidden = false;
    this.element.setAttribute("aria-busy", "false");
  }

  show(where, url, alt) {
    const picture = this.find(`${where} img`);
    if (picture.src === url) return;
    picture.addEventListener("load", () => {
      const { naturalWidth: width, naturalHeight: height } = picture;
      this.element.style.setProperty("--ratio", width / height);
      picture.classList.toggle("enlarged", width < 300);
      const told = this.find(`${where} .size`);
      told.textContent ||= pixels([width, height]); // unless the figures came first
    }, { once: true });
    picture.alt = alt;
    picture.src = url;
    picture.hidden = false;
    this.find(`${where} .empty`).hidden = true;
  }

  decide(kind, text) {
    const decision = this.find(".decision p");
    decision.className = kind;
    decision.textContent = text;
  }

  say(answer, reason = "") {
    const said = this.find(".said");
    said.classList.toggle("unsaid", !answer);
    said.classList.toggle("long", answer.length > 80);
    const cut = reason === "length" ? " … (cut off by the token limit)" : "";
    said.textContent = answer ? answer + cut : (UNANSWERED[reason] ?? "The answer is empty.");
  }

  sizes(turns, tokens, requested) {
    const [first, ...later] = turns;
    const seen = first.saw[0];
    if (seen) this.find(".first .size").textContent = sized(seen, tokens.first);
    const second = later.find((turn) => turn.saw.length > 0);
    if (requested && second) {
      this.find(".second .size").textContent = sized(second.saw[0], tokens.requested);
    }
  }

  // Bars on one scale: the original alone takes four fifths of the width.
  measure({ first, requested, processed, vanilla }, saved) {
    const whole = Math.max(1.25 * vanilla, processed, 1);
    const width = (tokens) => (100 * tokens) / whole;
    this.find(".first-part").setAttribute("width", width(first));
    this.find(".first-part").classList.toggle("original", this.look === "high");
    this.find(".requested-part").setAttribute("x", width(first));
    this.find(".requested-part").setAttribute("width", width(requested));
    this.find(".vanilla-part").setAttribute("width", width(vanilla));
    const percent = `${count(Math.round(Math.abs(saved) * 100))} %`;
    const effect = saved > 0 ? `${percent} saved` : saved < 0 ? `${percent} more` : "none saved";
    this.find(".share").replaceChildren(strong(count(processed)), ` of ${count(vanilla)}, ${effect}`);
    const parts = this.look === "high" ? [] : [["first", "small look", first]];
    if (requested || this.look === "high") {
      parts.push(["requested", "original", this.look === "high" ? first : requested]);
    }
    parts.push(["vanilla", "the original alone", vanilla]);
    this.find(".legend").replaceChildren(...parts.map(legendItem));
  }
}

function pixels([width, height]) {
  return `${count(width)} × ${count(height)} px`;
}

function sized(size, tokens) {
  return `${pixels(size)}, ${count(tokens)} ${tokens === 1 ? "token" : "tokens"}`;
}

function strong(text) {
  return made("b", "", text);
}

function legendItem([kind, name, tokens]) {
  const item = made("span", "part", `${name} ${count(tokens)}`);
  item.prepend(made("i", kind, ""));
  return item;
}

function turnItem({ text, outcome, note, saw, cost }) {
  const facts = [
    note ? `${outcome}: ${note}` : outcome,
    saw.length ? `saw ${saw.map(pixels).join(", ")}` : "saw nothing new",
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
