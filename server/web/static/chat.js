// The chat page: which conversation is shown, and the controls around it.

import { backoff } from "./backoff.js";
import { compose } from "./composer.js";
import { Conversation } from "./conversation.js";
import { $ } from "./dom.js";
import { fetchPipelines } from "./rest.js";

let conversation = null;

function tell(state, words) {
  $("status").dataset.state = state;
  $("status-text").textContent = words;
}

function refresh() {
  $("send").disabled = !conversation?.mayTalk;
  $("stop").hidden = !conversation?.mayStop;
}

function choose() {
  const form = $("conversation");
  const session = $("session-id");
  const chosen = {
    pipeline: $("pipeline").value,
    type: form.elements["session-type"].value,
    session: session.value,
  };
  if (!chosen.pipeline || !session.reportValidity()) return;
  const query = new URLSearchParams({ pipeline: chosen.pipeline, session_type: chosen.type });
  if (chosen.session) query.set("session_id", chosen.session);
  history.replaceState(null, "", `?${query}`);
  conversation?.stop();
  conversation = null;
  conversation = new Conversation(chosen, {
    list: $("messages"),
    botName: $("pipeline").selectedOptions[0]?.textContent || "Bot",
    tell,
    changed: refresh,
  });
  refresh();
}

function say(chain) {
  const why = conversation.say(chain);
  if (why !== null) conversation.note("error", why);
  return why === null;
}

async function reset() {
  const asked = conversation;
  if (!asked || !confirm("Forget everything that was said in this conversation?")) return;
  try {
    await asked.reset();
  } catch (error) {
    asked.note("error", `The conversation could not be reset: ${error.message}`);
  }
}

async function start() {
  const asked = new URLSearchParams(location.search);
  if (["person", "group"].includes(asked.get("session_type"))) {
    $("conversation").elements["session-type"].value = asked.get("session_type");
  }
  $("session-id").value = asked.get("session_id") ?? "";
  let pipelines = null;
  for (let failures = 0; pipelines === null; failures++) {
    try {
      pipelines = await fetchPipelines();
    } catch {
      tell("lost", "The server does not answer, trying again");
      await new Promise((done) => setTimeout(done, backoff(failures)));
    }
  }
  const wanted = asked.get("pipeline");
  // One that is not in the list is tried all the same: the server has the last word.
  if (wanted && !pipelines.some(({ uuid }) => uuid === wanted)) pipelines.push({ uuid: wanted, name: wanted });
  $("pipeline").replaceChildren(...pipelines.map(({ uuid, name }) => new Option(name, uuid, false, uuid === wanted)));
  if (pipelines.length) choose();
  else tell("lost", "The server has no pipelines");
}

$("conversation").addEventListener("change", choose);
$("conversation").addEventListener("submit", (event) => event.preventDefault());
$("reset").addEventListener("click", reset);
$("stop").addEventListener("click", () => conversation?.stopReply());
compose(say);
start();
