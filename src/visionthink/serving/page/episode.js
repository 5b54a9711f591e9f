// What is known of an episode, from the pieces of its streamed answer.

export const NOTHING = {
  turn: 0,
  view: null,
  requested: false,
  reasoning: "",
  answer: "",
  usage: null,
  story: null,
};

export function grown(episode, { choices, usage, visionthink: told = {} }) {
  const { reasoning_content: thought = "", content = "" } = choices?.[0]?.delta ?? {};
  return {
    turn: told.turn ?? episode.turn,
    view: told.views?.[0] ?? episode.view,
    requested: episode.requested || told.requested === true,
    reasoning: episode.reasoning + thought,
    answer: episode.answer + content,
    usage: usage?.visionthink ?? episode.usage,
    story: told.turns ? told : episode.story,
  };
}

export function isComplete({ usage, story }) {
  return Number.isFinite(usage?.visual_tokens?.vanilla) && story !== null;
}
