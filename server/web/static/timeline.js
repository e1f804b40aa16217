// What is seen of a conversation: its messages in the order of their ids, each once, and notes in between.

import { Article } from "./article.js";
import { button, element } from "./dom.js";

export class Timeline {
  isMine = () => false; // whether a user's message is one's own
  #list;
  #botName;
  #actionsFor; // what may be done with a message
  #articles = new Map(); // id → article
  #pending = new Map(); // own name of a message → its article, while it has no id
  #earlier;
  #recalled = new Set();
  #forgottenId = 0; // what has this id or a lower one was reset away
  #forgottenSeq = 0; // and what had happened before this one
  #isAtBottom = true;

  constructor(list, { botName, actionsFor, onEarlier }) {
    this.#list = list;
    this.#botName = botName;
    this.#actionsFor = actionsFor;
    this.#earlier = button("earlier", "Earlier messages", onEarlier);
    list.addEventListener("scroll", this.#look);
    // A picture has no height before it is there.
    list.addEventListener("load", this.#follow, true);
    list.replaceChildren();
  }

  close() {
    this.#list.removeEventListener("scroll", this.#look);
    this.#list.removeEventListener("load", this.#follow, true);
  }

  get ids() {
    return [...this.#articles.keys()].sort((a, b) => a - b);
  }

  get running() {
    return [...this.#articles].find(([, { isFinal }]) => !isFinal)?.[0] ?? null;
  }

  get last() {
    return this.#articles.get(this.ids.at(-1))?.message ?? null;
  }

  has(id) {
    return this.#articles.has(id);
  }

  // Puts a message on the page, or brings the one there up to date.
  show(message, sources = null) {
    if (typeof message?.id !== "number" || typeof message.content !== "string") return;
    if (this.#isGone(message)) return;
    let article = this.#articles.get(message.id);
    if (article && isOlder(message, article)) return;
    if (message.alternative_of && message.is_final !== false) this.#drop(message.alternative_of);
    if (!article) {
      article = this.#takePending(message) ?? this.#newArticle(message);
      this.#place(message.id, article);
    }
    article.show(message, sources);
    article.offer(this.#actionsFor(article));
    this.#follow();
  }

  // Puts the reply *id* on the page as it stands.
  showRunning(id, content) {
    const known = this.#articles.get(id)?.message;
    this.show({ ...known, id, content, role: "assistant", is_final: false });
  }

  // An own message that the server does not have yet.
  showPending({ id, chain }, sources) {
    if (this.#pending.has(id)) return;
    const article = new Article("mine", "You");
    article.showPending(chain, sources);
    this.#pending.set(id, article);
    this.#list.append(article.whole);
    this.#follow();
  }

  // The server has given the message that was pending under *name* its place.
  accept(name, { id, seq }) {
    const article = this.#pending.get(name);
    if (!article) return;
    if (this.has(id) || this.#isGone({ id, seq })) return this.abandon(name);
    this.#pending.delete(name);
    this.#place(id, article);
    article.show({ ...article.message, id, seq, timestamp: new Date() });
    article.offer(this.#actionsFor(article));
  }

  // What is to be seen of the message that is pending under *name*.
  markPending(name, words, actions = []) {
    const article = this.#pending.get(name);
    article?.mark(words);
    article?.offer(actions);
  }

  abandon(name) {
    this.#pending.get(name)?.whole.remove();
    this.#pending.delete(name);
  }

  recall(id) {
    this.#recalled.add(id);
    this.#drop(id);
  }

  // Forgets what happened before *seq*, which was a reset.
  reset(seq) {
    this.#forgottenSeq = Math.max(this.#forgottenSeq, seq);
    this.#dropAll(({ isFinal, message }) => !isFinal || !(message.seq >= seq));
  }

  // Forgets messages up to *id*, of which something may still be on its way.
  forgetUpTo(id) {
    this.#forgottenId = Math.max(this.#forgottenId, id);
    this.#dropAll(({ message }) => message.id <= id);
  }

  // The socket is a new one: replies that are still running will be told anew.
  suspect() {
    for (const article of this.#articles.values()) article.isStale = !article.isFinal;
  }

  // Makes what is there one with *messages*, which are all that the server has from the id *oldest* on. *known* are the
  // ids that were there when the server was asked: what came later it need not have had yet. Up to *reach* there was
  // no hole.
  merge(messages, oldest, known, reach) {
    const ids = new Set(messages.map(({ id }) => id));
    const hasHole = reach < oldest - 1;
    for (const [id, { isFinal, isStale }] of [...this.#articles]) {
      const isMissing = id >= oldest && known.has(id) && !ids.has(id) && (isFinal || isStale);
      if (isMissing || (hasHole && id < oldest)) this.#drop(id);
    }
    for (const message of messages) this.show(message);
  }

  // Puts earlier messages above the others, and keeps what is being looked at where it is.
  prepend(messages) {
    const below = this.#list.scrollHeight - this.#list.scrollTop;
    for (const message of messages) this.show(message);
    this.#list.scrollTop = this.#list.scrollHeight - below;
  }

  offerEarlier(isThere) {
    if (isThere) this.#list.prepend(this.#earlier);
    else this.#earlier.remove();
  }

  article(id) {
    return this.#articles.get(id);
  }

  // The id of the message that the reply *id* answers; null if that can't be told.
  questionOf(id) {
    const given = this.#articles.get(id)?.message.reply_to;
    if (given) return given;
    // A server that does not say so answers in turn; but of several that waited, who knows.
    const earlier = this.ids.filter((other) => other < id).slice(-2);
    const isQuestion = (other) => this.#articles.get(other)?.message.role === "user";
    const [before, question] = earlier.length < 2 ? [undefined, ...earlier] : earlier;
    return isQuestion(question) && !isQuestion(before) ? question : null;
  }

  note(kind, words) {
    const [first] = this.#pending.values();
    this.#list.insertBefore(element("p", `note ${kind}`, words), first?.whole ?? null);
    this.#follow();
  }

  // Another history begins, whose ids mean other messages. What is there of the old one may stay to be read.
  begin(keepsOld) {
    for (const { whole } of this.#articles.values()) {
      whole.classList.remove("streaming");
      whole.setAttribute("aria-busy", "false");
      if (!keepsOld) whole.remove();
    }
    this.#articles.clear();
    this.#recalled.clear();
    this.#forgottenId = this.#forgottenSeq = 0;
  }

  #isGone({ id, seq }) {
    return id <= this.#forgottenId || this.#recalled.has(id) || (seq && seq < this.#forgottenSeq);
  }

  #newArticle(message) {
    if (message.role === "assistant") return new Article("bot", this.#botName);
    return this.isMine(message) ? new Article("mine", "You") : new Article("theirs", message.sender?.name || "Someone");
  }

  #takePending(message) {
    if (message.role === "assistant" || !this.isMine(message)) return null;
    const article = this.#pending.get(message.client_msg_id);
    this.#pending.delete(message.client_msg_id);
    return article;
  }

  // Where it belongs; one that is there already is not moved, and so not read out again.
  #place(id, article) {
    this.#articles.set(id, article);
    const later = this.ids.find((other) => other > id);
    const next = later === undefined ? this.#pending.values().next().value?.whole : this.#articles.get(later).whole;
    const { whole } = article;
    if (!whole.isConnected || (next && next.compareDocumentPosition(whole) & Node.DOCUMENT_POSITION_FOLLOWING)) {
      this.#list.insertBefore(whole, next ?? null);
    }
  }

  #drop(id) {
    this.#articles.get(id)?.whole.remove();
    this.#articles.delete(id);
  }

  #dropAll(isGone) {
    for (const [id, article] of [...this.#articles]) if (isGone(article)) this.#drop(id);
    for (const note of this.#list.querySelectorAll(":scope > .note")) note.remove();
    this.offerEarlier(false);
  }

  #look = () => {
    this.#isAtBottom = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 80;
  };

  // Reads on at the bottom, unless the reader went up to look at something.
  #follow = () => {
    if (this.#isAtBottom) this.scrollDown();
  };

  scrollDown() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}

// Whether what is there already is newer than *message*.
function isOlder(message, { isFinal, message: shown }) {
  if (isFinal && message.is_final === false) return true;
  return (message.edited_at ?? "") < (shown.edited_at ?? "");
}
