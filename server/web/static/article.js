// One message as the page shows it: `whole` is its element.

import { textBesidePictures } from "./components.js";
import { button, element } from "./dom.js";
import { picturesIn } from "./pictures.js";

const ENDS = { error: "failed", stopped: "stopped", interrupted: "interrupted", length: "cut off", stop: "" };

export class Article {
  message; // what was last shown
  isFinal = false;
  isStale = false; // nobody has said yet whether it is still being written
  #body = element("div", "body");
  #text;
  #name = element("span", "name");
  #time = element("time");
  #mark = element("span", "mark");
  #actions = element("div", "actions");
  #pictures = []; // their addresses

  // *whose* is "mine", "theirs" or "bot".
  constructor(whose, name) {
    this.whole = element("article", `message ${whose}`);
    this.#name.textContent = name;
    const line = element("div", "meta");
    line.append(this.#name, this.#time, this.#mark);
    const words = element("span", "text");
    words.append((this.#text = document.createTextNode("")));
    this.#body.append(words);
    this.whole.append(line, this.#body, this.#actions);
  }

  // Brings it up to date; *sources* are its pictures, if somebody has them who knows better than the message.
  show(message, sources = null) {
    this.message = message;
    this.isStale = false;
    this.isFinal = message.is_final !== false;
    const chain = Array.isArray(message.message_chain) ? message.message_chain : [];
    const count = chain.filter(({ type }) => type === "Image").length;
    // The server keeps no picture that came within a message: who sent it still has it.
    const seen = [sources ?? [], picturesIn(chain), this.#pictures].find(({ length }) => length) ?? [];
    const isShownWhole = message.role !== "assistant" && count > 0 && seen.length >= count;
    this.#write(isShownWhole ? textBesidePictures(chain) : message.content);
    this.#showPictures(count ? seen : []);
    this.#tellWhen(message.timestamp);
    const end = this.isFinal ? (ENDS[message.finish_reason ?? "stop"] ?? message.finish_reason) : "";
    this.mark(end || (message.edited_at ? "edited" : ""));
    const state = this.whole.classList;
    state.toggle("streaming", !this.isFinal);
    state.toggle("failed", message.finish_reason === "error");
    state.remove("pending");
    // A screen reader is told a reply when it is there, not at every word.
    this.whole.setAttribute("aria-busy", String(!this.isFinal));
  }

  // Not the server's yet.
  showPending(chain, sources) {
    this.show({ role: "user", content: textBesidePictures(chain), message_chain: chain }, sources);
    this.whole.classList.add("pending");
    this.mark("sending …");
  }

  mark(words) {
    this.#mark.textContent = words;
  }

  // What may be done with it: [words, what to do] each.
  offer(actions) {
    // To make them anew would take the focus from whoever is about to press one.
    if (String(actions.map(([words]) => words)) === String([...this.#actions.children].map((b) => b.textContent))) return;
    this.#actions.replaceChildren(...actions.map(([words, act]) => button("", words, act)));
  }

  // Puts *form* in place of the message; without one, the message is back.
  replaceBody(form = null) {
    this.whole.querySelector("form")?.remove();
    this.#body.hidden = this.#actions.hidden = form !== null;
    if (form) {
      this.whole.append(form);
      form.scrollIntoView({ block: "nearest" });
    }
    (form?.querySelector("textarea") ?? this.#actions.firstElementChild)?.focus();
  }

  #write(words) {
    const old = this.#text.data;
    if (words.startsWith(old)) this.#text.appendData(words.slice(old.length));
    else this.#text.data = words;
  }

  #showPictures(sources) {
    if (sources.join() === this.#pictures.join()) return;
    this.#pictures = sources;
    for (const old of this.#body.querySelectorAll("img")) old.remove();
    for (const source of sources) {
      const image = element("img");
      image.alt = "Picture";
      image.src = source;
      this.#body.append(image);
    }
  }

  #tellWhen(timestamp) {
    const when = new Date(timestamp ?? NaN);
    if (Number.isNaN(when.valueOf())) return;
    this.#time.textContent = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    this.#time.dateTime = when.toISOString();
    this.#time.title = when.toLocaleString();
  }
}
