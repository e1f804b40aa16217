// One's own messages until the server has said that they are safe. Each has a name of its own, under which it is sent
// as often as it takes: the server takes it once. One at a time, so that they arrive in their order.

import { backoff } from "./backoff.js";
import { keep, kept, secret } from "./keepsakes.js";

// For so long, less some, the server knows a name again; later it would take the message a second time.
const KNOWN_FOR = 23 * 3_600_000;

export class Outbox {
  #name;
  #letters; // [{id, chain, at}]
  #send = null; // only while there is a socket
  #timer = null;
  #refusals = 0;

  constructor({ pipeline, type, session }) {
    this.#name = `triologue.outbox:${pipeline}/${type}/${session}`;
    this.#letters = kept(this.#name).filter(
      ({ id, chain, at }) => typeof id === "string" && Array.isArray(chain) && Date.now() - at < KNOWN_FOR,
    );
  }

  get letters() {
    return [...this.#letters];
  }

  // Takes a message, and sends it when its turn comes.
  put(chain) {
    const letter = { id: secret(), chain, at: Date.now() };
    this.#letters.push(letter);
    keep(this.#name, this.#letters);
    if (this.#letters.length === 1) this.#sendFirst();
    return letter;
  }

  // A socket is there: what was sent on the last one may not have arrived.
  open(send) {
    this.#send = send;
    this.#refusals = 0;
    this.#sendFirst();
  }

  shut() {
    this.#send = null;
    clearTimeout(this.#timer);
  }

  has(id) {
    return this.#letters.some((letter) => letter.id === id);
  }

  // The server has it, or will never take it.
  settle(id) {
    const wasFirst = this.#letters[0]?.id === id;
    this.#letters = this.#letters.filter((letter) => letter.id !== id);
    keep(this.#name, this.#letters);
    if (!wasFirst) return;
    this.#refusals = 0;
    this.#sendFirst();
  }

  // The server can't take it now.
  postpone(id) {
    if (this.#letters[0]?.id !== id) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#sendFirst(), backoff(this.#refusals));
    this.#refusals += 1;
  }

  #sendFirst() {
    clearTimeout(this.#timer);
    const first = this.#letters[0];
    if (first && this.#send) this.#send(asFrame(first));
  }
}

export const asFrame = ({ id, chain }) => ({ type: "message", message: chain, client_msg_id: id });
