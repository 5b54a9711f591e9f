// What is known of an episode, from the pieces of its streamed answer.

export const NOTHING = {
  turn: 0,
  looks: [],
  reasoning: "",
  answer: "",
  usage: null,
  story: null,
};

export function grown(episode, { choices, usage, visionthink: facts = {} }) {
  const { reasoning_content: thought = "", content = "" } = choices?.[0]?.delta ?? {};
  const begins = Number.isInteger(facts.turn); // an event at the start of a turn
  return {
    turn: begins ? facts.turn : episode.turn,
    looks: begins ? [...episode.looks, ...facts.looks] : episode.looks,
    reasoning: episode.reasoning + thought,
    answer: episode.answer + content,
    usage: usage?.visionthink ?? episode.usage,
    story: facts.turns ? facts : episode.story,
  };
}

export function isComplete({ usage, story }) {
  return Number.isFinite(usage?.visual_tokens?.vanilla) && story !== null;
}
