// A socket to the server that comes back by itself. It offers level 2 of the protocol, and makes do with the document's
// levels if the server is an older one.

import { LONGEST, backoff } from "./backoff.js";
import { isAnswering } from "./rest.js";

const PROTOCOL = "triologue.v1";
const PING_EVERY = 30_000;
const PONG_WITHIN = 10_000;
const CONNECTED_WITHIN = 20_000;
const RESTART = 1012;
// The server means it; it is asked again seldom, in case its configuration is mended.
const FINAL_CODES = new Set([4400, 4401, 4403, 4404]);

export class Line {
  level = 0; // of the socket that is there, 0 if none is
  #address; // of a socket of a level
  #hear; // told every frame
  #tell; // told the state of the line, and the same in words
  #socket = null;
  #failures = 0;
  #timers = new Set();
  #pong = null;
  #over = false;
  #older = false; // the server seems to know nothing of level 2
  #answered = false; // though it was there when it refused it

  constructor({ address, hear, tell }) {
    this.#address = address;
    this.#hear = hear;
    this.#tell = tell;
    window.addEventListener("online", this.#wake);
    document.addEventListener("visibilitychange", this.#wake);
    this.#connect();
  }

  // Whether it could be sent; whether it arrives is another question.
  send(frame) {
    if (!this.level) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  // Goes on with a new socket, at once.
  renew() {
    const old = this.#drop();
    old?.close();
    this.#connect();
  }

  stop() {
    this.#over = true;
    window.removeEventListener("online", this.#wake);
    document.removeEventListener("visibilitychange", this.#wake);
    this.#drop()?.close(1000);
  }

  // The network is back, or somebody looks: no need to wait longer, nor to believe in a socket that sleep has cut.
  #wake = () => {
    if (document.visibilityState === "hidden") return;
    if (this.level) this.#ping();
    else if (!this.#socket) this.#connect();
  };

  #later(what, delay) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      what();
    }, delay);
    this.#timers.add(timer);
    return timer;
  }

  #drop() {
    this.#timers.forEach(clearTimeout);
    this.#timers.clear();
    this.#pong = null;
    const old = this.#socket;
    this.#socket = null;
    this.level = 0;
    return old;
  }

  #connect() {
    this.#drop();
    this.#tell("connecting", this.#failures ? "Reconnecting …" : "Connecting …");
    const offered = this.#older ? 1 : 2;
    const url = this.#address(offered);
    const socket = offered === 2 ? new WebSocket(url, PROTOCOL) : new WebSocket(url);
    this.#socket = socket;
    let isOpen = false;
    socket.onopen = () => (isOpen = true);
    this.#later(() => this.level || this.#giveUp(), CONNECTED_WITHIN);
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket && typeof data === "string") this.#receive(socket, data);
    };
    socket.onclose = ({ code, reason }) => {
      if (this.#socket !== socket) return;
      this.#drop();
      if (!isOpen && offered === 2) this.#wasRefused();
      else this.#lost(code, reason);
    };
  }

  #receive(socket, data) {
    clearTimeout(this.#pong); // any frame will do for an answer
    this.#pong = null;
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (frame?.type === "connected") {
      this.level = socket.protocol === PROTOCOL ? 2 : 1;
      this.#failures = 0;
      this.#answered = false;
      this.#later(() => this.#beat(), PING_EVERY);
    }
    if (frame) this.#hear(frame);
    if (frame?.type === "connected") this.#tell("connected", "Connected");
  }

  // A browser does not say why. A server that does not echo the protocol that was offered is one reason.
  async #wasRefused() {
    this.#socket = PENDING;
    const isThere = await isAnswering();
    if (this.#over || this.#socket !== PENDING) return;
    this.#socket = null;
    if (!isThere) return this.#lost(0, "");
    // It may just have come up; so it is asked once more before it is taken for an old one.
    this.#older = this.#answered;
    this.#answered = true;
    this.#connect();
  }

  #beat() {
    this.#ping();
    this.#later(() => this.#beat(), PING_EVERY);
  }

  // A network that went away tells nobody.
  #ping() {
    if (this.#pong) return;
    this.send({ type: "ping" });
    this.#pong = this.#later(() => this.#giveUp(), PONG_WITHIN);
  }

  #giveUp() {
    this.#drop().close();
    this.#lost(0, "no answer");
  }

  #lost(code, reason) {
    if (this.#over) return;
    // The next server may be a newer one.
    this.#older = this.#answered = false;
    const hint = /\breconnect_ms=(\d{1,5})\b/.exec(reason);
    const isRefused = FINAL_CODES.has(code);
    const wait =
      code === RESTART && this.#failures === 0
        ? Math.min(LONGEST, Number(hint?.[1] ?? 300 + 1000 * Math.random()))
        : isRefused
          ? LONGEST
          : backoff(this.#failures);
    this.#failures += 1;
    const refused = isRefused && `Refused (${reason || code})`;
    this.#countDown(refused || (code === RESTART ? "The server restarts" : "Connection lost"), Date.now() + wait);
    this.#later(() => this.#connect(), wait);
  }

  #countDown(why, until) {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    this.#tell("lost", seconds > 1 ? `${why}, trying again in ${seconds} s` : `${why}, trying again`);
    if (seconds > 1) this.#later(() => this.#countDown(why, until), 1000);
  }
}

// Stands for a socket while it is not yet clear which to open next.
const PENDING = { close() {} };
