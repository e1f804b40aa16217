// The chat page. It speaks levels 0 and 1 of the protocol, so it works with any server that keeps to the document.
// Whatever others wrote is put into the page with textContent alone.

const PING_EVERY = 30_000;
const PONG_WITHIN = 10_000;
const LONGEST_WAIT = 30_000;
const RESTART = 1012;
// The server means it; it is asked again seldom, in case its configuration is mended.
const FINAL_CODES = new Set([4400, 4401, 4403, 4404]);
const HISTORY_SIZE = 100;

const $ = (id) => document.getElementById(id);
const list = $("messages");
const text = $("text");
const pictureList = $("pictures");

const messages = new Map(); // id → what is on the page for it
const myConnections = new Set();
let conversation = null; // the one on the page: {pipeline, type, session, stop()}
let pictures = []; // data URLs to go with the next message
let sent = []; // the pictures of messages that the server has not shown back yet
let epoch = null;
let forgotten = 0; // messages up to this id were reset away; what still comes of them is not shown
let socket = null; // only while the server has said `connected` on it
let largest = Infinity;

// ---------------------------------------------------------------- addresses

function address(path, query = {}) {
  const url = new URL(`api/v1/pipelines${path}`, document.baseURI);
  url.search = new URLSearchParams(query).toString();
  return url;
}

function addressOf({ pipeline, type, session }, what, { inPath }) {
  const path = `/${encodeURIComponent(pipeline)}/ws/${what}${inPath ? `/${type}` : ""}`;
  return address(path, { ...(inPath ? {} : { session_type: type }), ...(session ? { session_id: session } : {}) });
}

async function ask(url, options) {
  const answer = await fetch(url, { headers: { Accept: "application/json" }, cache: "no-store", ...options });
  const body = await answer.json();
  if (body.code !== 0) throw new Error(body.msg || `HTTP ${answer.status}`);
  return body.data;
}

// ---------------------------------------------------------------- what is seen

function element(name, className, content = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = content;
  return made;
}

function status(state, words) {
  $("status").dataset.state = state;
  $("status-text").textContent = words;
  $("send").disabled = state !== "connected";
}

// Reads on at the bottom, unless the reader went up to look at something.
function change(what) {
  const atBottom = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  what();
  if (atBottom) list.scrollTop = list.scrollHeight;
}

function note(kind, words) {
  change(() => list.append(element("p", `note ${kind}`, words)));
}

function pictureSource(component) {
  const given = component.url || component.base64;
  if (typeof given !== "string" || !given) return null;
  if (!component.url && !given.startsWith("data:")) return `data:image/png;base64,${given}`;
  try {
    const url = new URL(given, document.baseURI);
    const shown = ["http:", "https:"].includes(url.protocol) || /^data:image\//i.test(given);
    return shown ? url.href : null;
  } catch {
    return null;
  }
}

function wordsOf(component) {
  switch (component.type) {
    case "Plain":
    case "Unknown":
      return component.text ?? "";
    case "At":
      return `@${component.display || component.target || ""}`;
    case "AtAll":
      return "@All";
    case "Voice":
      return "[Voice]";
    case "File":
      return `[File]${component.name || ""}`;
    case "Forward":
      return "[Chat history]";
    case "Face":
      return `[表情]${component.face_name || ""}`;
    default:
      return "";
  }
}

function nameOf(message, mine) {
  if (message.role === "assistant") return $("pipeline").selectedOptions[0]?.textContent || "Bot";
  return mine ? "You" : message.sender?.name || "Someone";
}

function shell(message) {
  const mine = message.role !== "assistant" && myConnections.has(message.connection_id);
  const whose = message.role === "assistant" ? "bot" : mine ? "mine" : "theirs";
  const whole = element("article", `message ${whose}`);
  const line = element("div", "meta");
  line.append(element("span", "name", nameOf(message, mine)));
  const when = new Date(message.timestamp);
  if (!Number.isNaN(when.valueOf())) {
    const time = element("time", "", when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = when.toISOString();
    time.title = when.toLocaleString();
    line.append(time);
  }
  const words = element("span", "text");
  words.append(document.createTextNode(""));
  const body = element("div", "body");
  body.append(words);
  whole.append(line, body);
  return { whole, body, words, node: words.firstChild, pictures: "", final: false, mine };
}

function place(id, shown) {
  let next = null;
  for (const [other, { whole }] of messages) {
    if (other > id && (next === null || other < next.id)) next = { id: other, whole };
  }
  list.insertBefore(shown.whole, next?.whole ?? null);
  messages.set(id, shown);
}

// Puts a message on the page, or brings the one there up to date: by its id, so that none is there twice.
function show(message, sources = null) {
  if (typeof message?.id !== "number" || typeof message.content !== "string") return;
  if (message.id <= forgotten) return;
  change(() => {
    let shown = messages.get(message.id);
    if (shown?.final && !message.is_final) return; // late news of something already finished
    if (!shown) place(message.id, (shown = shell(message)));
    const chain = Array.isArray(message.message_chain) ? message.message_chain : [];
    const images = chain.filter((component) => component.type === "Image");
    const seen = sources ?? images.map(pictureSource).filter(Boolean);
    let words = message.content;
    if (message.role !== "assistant" && seen.length && seen.length >= images.length) {
      words = chain.map(wordsOf).join(""); // without "[Image]", since the pictures themselves are there
    }
    if (words.startsWith(shown.node.data)) shown.node.appendData(words.slice(shown.node.data.length));
    else shown.node.data = words;
    if (seen.length && seen.join() !== shown.pictures) {
      shown.pictures = seen.join();
      for (const old of shown.body.querySelectorAll("img")) old.remove();
      for (const source of seen) {
        const image = element("img", "");
        image.alt = "Picture";
        image.addEventListener("load", () => change(() => {}), { once: true });
        image.src = source;
        shown.body.append(image);
      }
    }
    shown.final = message.is_final !== false;
    shown.whole.classList.toggle("streaming", !shown.final);
    shown.whole.classList.toggle("failed", message.finish_reason === "error");
    // A screen reader is told the reply when it is there, not at every word.
    shown.whole.setAttribute("aria-busy", String(!shown.final));
  });
}

function clear() {
  messages.clear();
  list.replaceChildren();
}

// ---------------------------------------------------------------- one conversation

function converse(chosen) {
  conversation?.stop();
  clear();
  epoch = null;
  forgotten = 0;
  sent = [];
  let over = false;
  let failures = 0;
  let timers = [];
  let current = null;

  const later = (what, delay) => timers.push(setTimeout(what, delay));
  const forget = () => {
    timers.forEach(clearTimeout);
    timers = [];
  };

  function connect() {
    forget();
    status("connecting", failures ? "Reconnecting …" : "Connecting …");
    const url = addressOf(chosen, "connect", { inPath: false });
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const opened = new WebSocket(url);
    current = opened;
    let pinged = null;

    opened.onmessage = ({ data }) => {
      if (current !== opened || typeof data !== "string") return;
      clearTimeout(pinged);
      let frame;
      try {
        frame = JSON.parse(data);
      } catch {
        return;
      }
      if (frame?.type === "connected") greeted(opened, frame);
      else heard(frame);
    };
    opened.onclose = ({ code, reason }) => {
      if (current === opened) lost(code, reason);
    };

    function ping() {
      if (current !== opened) return;
      opened.send('{"type":"ping"}');
      // A network that went away tells nobody; any frame will do for an answer.
      pinged = setTimeout(() => {
        if (current !== opened) return;
        opened.close();
        lost(0, "no answer");
      }, PONG_WITHIN);
      timers.push(pinged);
      later(ping, PING_EVERY);
    }
    opened.onopen = () => {
      if (current === opened) later(ping, PING_EVERY);
    };
  }

  function greeted(opened, frame) {
    failures = 0;
    socket = opened;
    largest = frame.max_message_size ?? Infinity;
    myConnections.add(frame.connection_id);
    sent = [];
    const begun = typeof frame.cursor === "string" ? frame.cursor.split(".")[0] : null;
    if (epoch !== null && begun !== epoch && messages.size) {
      // Ids begin anew: what is on the page stays to be read, and is nobody's any more.
      for (const { whole } of messages.values()) {
        whole.classList.remove("streaming");
        whole.setAttribute("aria-busy", "false");
      }
      messages.clear();
      note("", "The server no longer has what stands above.");
    }
    if (begun !== epoch) forgotten = 0;
    epoch = begun;
    status("connected", "Connected");
    load(opened);
  }

  async function load(opened) {
    const here = [...messages].filter(([, { final }]) => final);
    try {
      const { messages: kept } = await ask(addressOf(chosen, "messages", { inPath: true }));
      if (over || current !== opened) return;
      // What the server forgot while we were away (a reset) goes; what came since we asked stays.
      const ids = kept.map(({ id }) => id);
      const oldest = ids.length < HISTORY_SIZE ? 0 : Math.min(...ids);
      for (const [id, { whole }] of here) {
        if (id >= oldest && !ids.includes(id)) {
          whole.remove();
          messages.delete(id);
        }
      }
      kept.forEach((message) => show(message));
    } catch (error) {
      if (!over && current === opened) note("error", `The history could not be loaded: ${error.message}`);
    }
  }

  function heard(frame) {
    const data = frame?.data;
    switch (frame?.type) {
      case "response":
        return show({ ...data, role: "assistant" });
      case "user_message": {
        const mine = myConnections.has(data?.connection_id);
        const own = mine ? sent.shift() : null;
        return show({ ...data, role: "user" }, own?.length ? own : null);
      }
      case "broadcast":
        return note("broadcast", `${frame.message}`);
      case "error":
        sent.shift(); // said of one's own message alone, which will not be shown back
        return note("error", `${frame.message}`);
    }
  }

  function lost(code, reason) {
    current = null;
    socket = null;
    forget();
    if (over) return;
    const wait =
      code === RESTART && failures === 0
        ? 300 + 1000 * Math.random()
        : FINAL_CODES.has(code)
          ? LONGEST_WAIT
          : Math.min(LONGEST_WAIT, 1000 * 2 ** failures) * (0.5 + Math.random() / 2);
    failures += 1;
    const refused = FINAL_CODES.has(code) && `Refused (${reason || code})`;
    const why = refused || (code === RESTART ? "The server restarts" : "Connection lost");
    countDown(why, Date.now() + wait);
    later(connect, wait);
  }

  function countDown(why, until) {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    status("lost", seconds > 1 ? `${why}, trying again in ${seconds} s` : `${why}, trying again`);
    if (seconds > 1) later(() => countDown(why, until), 1000);
  }

  const now = () => {
    if (!over && current === null) connect();
  };
  window.addEventListener("online", now);

  conversation = {
    ...chosen,
    stop() {
      over = true;
      window.removeEventListener("online", now);
      forget();
      const old = current;
      current = socket = null;
      old?.close(1000);
    },
  };
  connect();
}

// ---------------------------------------------------------------- what is typed

function send() {
  const words = text.value;
  if (!socket || (!words.trim() && !pictures.length)) return;
  const chain = pictures.map((base64) => ({ type: "Image", base64 }));
  if (words.trim()) chain.unshift({ type: "Plain", text: words });
  const frame = JSON.stringify({ type: "message", message: chain });
  if (new TextEncoder().encode(frame).length > largest) {
    note("error", `That is too large: the server takes at most ${Math.floor(largest / 2 ** 20) || 1} MiB.`);
    return;
  }
  socket.send(frame);
  sent.push(pictures);
  pictures = [];
  showPictures();
  text.value = "";
  fit();
  list.scrollTop = list.scrollHeight;
}

// Browsers without `field-sizing` need to be told how tall the text is.
function fit() {
  if (CSS.supports("field-sizing", "content")) return;
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

function addPictures(files) {
  for (const file of files) {
    if (!file.type.startsWith("image/")) continue;
    const reader = new FileReader();
    reader.onload = () => {
      pictures.push(reader.result);
      showPictures();
    };
    reader.readAsDataURL(file);
  }
}

function showPictures() {
  pictureList.hidden = pictures.length === 0;
  pictureList.replaceChildren(
    ...pictures.map((source, index) => {
      const item = element("li", "");
      const image = element("img", "");
      image.src = source;
      image.alt = `Picture ${index + 1}`;
      const remove = element("button", "", "×");
      remove.type = "button";
      remove.setAttribute("aria-label", `Remove picture ${index + 1}`);
      remove.addEventListener("click", () => {
        pictures.splice(index, 1);
        showPictures();
        text.focus();
      });
      item.append(image, remove);
      return item;
    }),
  );
}

async function reset() {
  const chosen = conversation;
  if (!chosen || !confirm("Forget everything that was said in this conversation?")) return;
  const newest = Math.max(0, ...messages.keys());
  try {
    await ask(addressOf(chosen, "reset", { inPath: true }), { method: "POST" });
    if (chosen !== conversation) return;
    // The end of a reply that the reset stopped may still be on its way.
    forgotten = newest;
    const newer = [...messages].filter(([id]) => id > newest);
    clear();
    for (const [id, shown] of newer) {
      messages.set(id, shown);
      list.append(shown.whole);
    }
  } catch (error) {
    note("error", `The conversation could not be reset: ${error.message}`);
  }
}

// ---------------------------------------------------------------- which conversation

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
  converse(chosen);
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
      ({ pipelines } = await ask(address("")));
    } catch {
      status("lost", "The server does not answer, trying again");
      const wait = Math.min(LONGEST_WAIT, 1000 * 2 ** failures) * (0.5 + Math.random() / 2);
      await new Promise((done) => setTimeout(done, wait));
    }
  }
  const wanted = asked.get("pipeline");
  // One that is not in the list is tried all the same: the server has the last word.
  if (wanted && !pipelines.some(({ uuid }) => uuid === wanted)) pipelines.push({ uuid: wanted, name: wanted });
  $("pipeline").replaceChildren(...pipelines.map(({ uuid, name }) => new Option(name, uuid, false, uuid === wanted)));
  if (pipelines.length) choose();
  else status("lost", "The server has no pipelines");
}

$("conversation").addEventListener("change", choose);
$("conversation").addEventListener("submit", (event) => event.preventDefault());
$("reset").addEventListener("click", reset);
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
  text.focus();
});
text.addEventListener("input", fit);
text.addEventListener("keydown", (event) => {
  // While an input method composes, Enter picks a candidate.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
text.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
  if (files.length) {
    event.preventDefault();
    addPictures(files);
  }
});
$("picture").addEventListener("change", ({ target }) => {
  addPictures(target.files);
  target.value = "";
  text.focus();
});

start();
