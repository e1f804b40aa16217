// The place in a conversation's durable events from which a new socket is to go on.
// It lives as long as what is on the page: after a reload there is nothing that could be gone on from.

// An `ack` has a seq too, but may come before the events before it.
const EVENTS = new Set(["user_message", "response", "edited", "recalled", "reset", "read"]);

export class Cursor {
  epoch = null;
  #seq = 0;

  // To where the server says.
  set(text) {
    const [, epoch, seq] = /^(\w+)\.(\d+)$/.exec(text ?? "") ?? [];
    this.epoch = epoch ?? null;
    this.#seq = Number(seq ?? 0);
  }

  // Past the event of *frame*, if it is one.
  pass(frame) {
    const seq = frame.seq ?? frame.data?.seq;
    if (EVENTS.has(frame.type) && Number.isInteger(seq)) this.#seq = Math.max(this.#seq, seq);
  }

  toString() {
    return this.epoch === null ? "" : `${this.epoch}.${this.#seq}`;
  }
}
