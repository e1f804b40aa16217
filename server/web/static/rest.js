// The server's addresses, and its REST routes.

const WITHIN = 20_000;
const PAGE = 100;

const asked = () => ({
  headers: { Accept: "application/json" },
  cache: "no-store",
  signal: AbortSignal.timeout(WITHIN),
});

function address(path, query = {}) {
  const url = new URL(`api/v1/pipelines${path}`, document.baseURI);
  url.search = new URLSearchParams(query).toString();
  return url;
}

function ofSession({ pipeline, type, session }, what, query) {
  return address(`/${encodeURIComponent(pipeline)}/ws/${what}/${type}`, {
    ...(session ? { session_id: session } : {}),
    ...query,
  });
}

async function ask(url, options) {
  const answer = await fetch(url, { ...asked(), ...options });
  const body = await answer.json();
  if (body.code !== 0) throw new Error(body.msg || `HTTP ${answer.status}`);
  return body.data;
}

export function socketAddress({ pipeline, type, session }, query) {
  const url = address(`/${encodeURIComponent(pipeline)}/ws/connect`, {
    session_type: type,
    ...(session ? { session_id: session } : {}),
    ...query,
  });
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

export const fetchPipelines = async () => (await ask(address(""))).pipelines;

// The newest messages of a conversation, oldest first, of those before the id *before*; and whether there are *more*.
export async function fetchMessages(chosen, before = null) {
  const query = { limit: PAGE, ...(before === null ? {} : { before }) };
  const { messages, more } = await ask(ofSession(chosen, "messages", query));
  return { messages, more: more ?? messages.length >= PAGE };
}

export const resetHistory = (chosen) => ask(ofSession(chosen, "reset"), { method: "POST" });

// Whether a server is there at all, whatever it says.
export async function isAnswering() {
  try {
    await fetch(address(""), asked());
    return true;
  } catch {
    return false;
  }
}
