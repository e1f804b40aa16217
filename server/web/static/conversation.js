// One conversation: what the server says of it, and what is said in it.

import { backoff } from "./backoff.js";
import { plainTextOf, withPlainText } from "./components.js";
import { Cursor } from "./cursor.js";
import { editor } from "./editor.js";
import { guest } from "./keepsakes.js";
import { Line } from "./line.js";
import { Outbox, asFrame } from "./outbox.js";
import { picturesIn } from "./pictures.js";
import { Replies } from "./replies.js";
import { fetchMessages, resetHistory, socketAddress } from "./rest.js";
import { Timeline } from "./timeline.js";

const STOP = "stop"; // the name of all requests to stop

export class Conversation {
  #chosen; // {pipeline, type, session}
  #changed; // told that `mayStop` or `mayReset` may have changed
  #line;
  #timeline;
  #outbox;
  #cursor = new Cursor();
  #replies = new Replies();
  #me = null; // our user id on level 2, where it is the same on every socket
  #myConnections = new Set();
  #largest = Infinity;
  #hasBeenOpen = false;
  #echoes = []; // on level 1: the pictures of messages that the server has not shown back yet
  // {known, reach}: the ids that were there before what is now being fetched; and the last before the first gap that
  // no history has filled yet
  #loading = null;

  constructor(chosen, { list, botName, tell, changed }) {
    this.#chosen = chosen;
    this.#changed = changed;
    this.#outbox = new Outbox(chosen);
    this.#timeline = new Timeline(list, {
      botName,
      actionsFor: (article) => this.#actionsFor(article),
      onEarlier: () => this.#loadEarlier(),
    });
    this.#timeline.isMine = ({ sender, connection_id: connection }) =>
      (this.#me !== null && sender?.id === this.#me) || this.#myConnections.has(connection);
    for (const letter of this.#outbox.letters) this.#timeline.showPending(letter, picturesIn(letter.chain));
    this.#line = new Line({
      address: (level) => socketAddress(chosen, level === 2 ? this.#whereFrom() : {}),
      hear: (frame) => this.#hear(frame),
      tell: (state, words) => {
        if (state === "lost") this.#outbox.shut();
        tell(state, words);
        changed();
      },
    });
  }

  stop() {
    this.#line.stop();
    this.#outbox.shut();
    this.#timeline.close();
    this.#chosen = null;
  }

  // Whether messages are taken now: on level 2 also to be sent when the line is back.
  get mayTalk() {
    return this.#line.level > 0 || (this.#hasBeenOpen && this.#me !== null);
  }

  // Whether there is a reply to be stopped, or a question whose reply has not come.
  get mayStop() {
    if (this.#line.level < 2) return false;
    return this.#timeline.running !== null || this.#timeline.last?.role === "user";
  }

  // Takes a message; null, or why not.
  say(chain) {
    const size = new TextEncoder().encode(JSON.stringify(asFrame({ id: "x".repeat(32), chain }))).length;
    if (size > this.#largest) {
      return `That is too large: the server takes at most ${Math.floor(this.#largest / 2 ** 20) || 1} MiB.`;
    }
    const pictures = picturesIn(chain);
    if (this.#line.level === 1) {
      this.#line.send({ type: "message", message: chain });
      this.#echoes.push(pictures);
    } else {
      this.#timeline.showPending(this.#outbox.put(chain), pictures);
    }
    this.#timeline.scrollDown();
    return null;
  }

  stopReply() {
    const id = this.#timeline.running;
    this.#request({ type: "stop", client_msg_id: STOP, ...(id === null ? {} : { id }) });
  }

  async reset() {
    const chosen = this.#chosen;
    const newest = this.#timeline.ids.at(-1) ?? 0;
    await resetHistory(chosen);
    if (this.#chosen !== chosen) return;
    // The end of a reply that the reset stopped may still be on its way.
    this.#timeline.forgetUpTo(newest);
    this.#changed();
  }

  note(kind, words) {
    this.#timeline.note(kind, words);
  }

  // ------------------------------------------------------------ what the server says

  #whereFrom() {
    const cursor = `${this.#cursor}`;
    return { stream: "delta", guest: guest(), ...(cursor ? { cursor } : {}) };
  }

  #hear(frame) {
    this.#cursor.pass(frame);
    this.#heed(frame);
    this.#changed();
  }

  #heed(frame) {
    const { type, data } = frame;
    switch (type) {
      case "connected":
        return this.#greeted(frame);
      case "gap":
        return this.#goOnFrom(frame.cursor);
      case "user_message":
        return this.#heardMessage({ ...data, role: "user" });
      case "response":
        return this.#heardReply({ ...data, role: "assistant" });
      case "edited":
        return this.#wasEdited(data);
      case "recalled":
        return this.#timeline.recall(frame.id);
      case "reset":
        return this.#timeline.reset(frame.seq);
      case "ack":
        return this.#wasTaken(frame);
      case "broadcast":
        return this.note("broadcast", `${frame.message}`);
      case "error":
        return this.#wasDeclined(frame);
    }
  }

  #greeted(frame) {
    this.#hasBeenOpen = true;
    this.#largest = frame.max_message_size ?? Infinity;
    this.#me = this.#line.level === 2 ? (frame.user?.id ?? null) : null;
    this.#myConnections.add(frame.connection_id);
    this.#echoes = [];
    this.#timeline.suspect();
    if (!frame.resumed) this.#goOnFrom(frame.cursor);
    if (this.#line.level === 2) this.#outbox.open((frame) => this.#line.send(frame));
  }

  // What happened before *cursor* is not told: it is in the history.
  #goOnFrom(cursor) {
    const before = this.#cursor.epoch;
    let reach = this.#loading?.reach;
    this.#cursor.set(cursor);
    if (before !== null && before !== this.#cursor.epoch) {
      // An older server keeps its history in memory alone: there is nothing in its place.
      const isLost = this.#line.level === 1;
      if (this.#timeline.ids.length) {
        this.note("", isLost ? "The server no longer has what stands above." : "The server has another history now.");
      }
      this.#timeline.begin(isLost);
      this.#replies = new Replies();
      reach = undefined;
    }
    this.#loading = null; // what an earlier socket asked for is asked anew, about what is there now
    this.#load(reach);
  }

  #heardMessage(message) {
    const isEcho = this.#line.level === 1 && this.#timeline.isMine(message);
    const pictures = isEcho ? this.#echoes.shift() : null;
    this.#timeline.show(message, pictures?.length ? pictures : null);
    if (this.#timeline.isMine(message)) this.#outbox.settle(message.client_msg_id);
  }

  #heardReply(reply) {
    if (typeof reply.content === "string") {
      if (reply.is_final !== false) this.#replies.end(reply.id);
      return this.#timeline.show(reply);
    }
    const content = this.#replies.join(reply);
    if (content === null) this.#line.renew(); // the server tells it from its beginning then
    else this.#timeline.showRunning(reply.id, content);
  }

  #wasEdited(message) {
    if (this.#timeline.has(message?.id)) this.#timeline.show(message);
    else if (this.#loading) this.#load(); // what is being fetched may be from before
  }

  #wasTaken({ client_msg_id: name, id, seq, duplicate }) {
    this.#outbox.settle(name);
    if (!duplicate || this.#timeline.has(id)) return this.#timeline.accept(name, { id, seq });
    // Taken on an earlier socket: it may have been edited or recalled since.
    this.#timeline.abandon(name);
    this.#load();
  }

  #wasDeclined({ message, code, retry, client_msg_id: name }) {
    if (name === STOP && code === "not_found") return; // it has just ended by itself
    if (!this.#outbox.has(name)) {
      this.#echoes.shift(); // on level 1 it is said of one's own message alone, which will not be shown back
      return this.note("error", `${message}`);
    }
    if (retry) {
      this.#timeline.markPending(name, `not sent yet: ${message}`);
      return this.#outbox.postpone(name);
    }
    this.#outbox.settle(name);
    this.#timeline.markPending(name, `not sent: ${message}`, [["Discard", () => this.#timeline.abandon(name)]]);
  }

  // ------------------------------------------------------------ history

  // Until it is there, or a newer question for it has taken this one's place.
  async #load(reach = this.#loading?.reach ?? this.#timeline.ids.at(-1) ?? 0) {
    const chosen = this.#chosen;
    const turn = (this.#loading = { known: this.#loading?.known ?? new Set(this.#timeline.ids), reach });
    for (let failures = 0; this.#loading === turn && this.#chosen === chosen; failures++) {
      try {
        const found = await fetchMessages(chosen);
        if (this.#loading === turn && this.#chosen === chosen) this.#loaded(found, turn);
      } catch (error) {
        if (this.#loading !== turn || this.#chosen !== chosen) return;
        if (failures === 0) this.note("error", `The history could not be loaded: ${error.message}`);
        await new Promise((done) => setTimeout(done, backoff(failures)));
      }
    }
  }

  #loaded({ messages, more }, { known, reach }) {
    this.#loading = null;
    this.#timeline.merge(messages, more ? messages[0].id : 0, known, reach);
    if (this.#me !== null) this.#timeline.offerEarlier(more);
    this.#changed();
  }

  async #loadEarlier() {
    const chosen = this.#chosen;
    try {
      const { messages, more } = await fetchMessages(chosen, this.#timeline.ids[0]);
      if (this.#chosen !== chosen) return;
      this.#timeline.prepend(messages);
      this.#timeline.offerEarlier(more);
    } catch (error) {
      if (this.#chosen === chosen) this.note("error", `Earlier messages could not be loaded: ${error.message}`);
    }
  }

  // ------------------------------------------------------------ what may be done with a message

  #actionsFor({ message, isFinal }) {
    if (this.#me === null || !isFinal) return [];
    const { id, role } = message;
    if (role === "assistant") {
      // In a group only who asked may: the server knows who that is.
      return [["Answer again", () => this.#regenerate(id)]];
    }
    if (!this.#timeline.isMine(message)) return [];
    return [
      ["Edit", () => this.#edit(id)],
      ["Recall", () => this.#recall(id)],
    ];
  }

  #regenerate(id) {
    const question = this.#timeline.questionOf(id);
    if (question !== null) this.#request({ type: "regenerate", id: question });
    else this.note("error", "It is not known which message this answers.");
  }

  #recall(id) {
    if (confirm("Erase this message, everywhere and for good?")) this.#request({ type: "recall", id });
  }

  #edit(id) {
    const article = this.#timeline.article(id);
    const chain = article.message.message_chain ?? [];
    const old = plainTextOf(chain);
    const form = editor(old, (text) => {
      const changed = text === null || text === old ? [] : withPlainText(chain, text);
      if (changed.length && !this.#request({ type: "edit", id, message: changed })) return;
      article.replaceBody();
    });
    article.replaceBody(form);
  }

  #request(frame) {
    const isSent = this.#line.send(frame);
    if (!isSent) this.note("error", "There is no connection to the server right now.");
    return isSent;
  }
}
