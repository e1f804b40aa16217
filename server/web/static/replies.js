// Running replies, joined from the parts in which they come.

export class Replies {
  #running = new Map(); // id → {text, told}: the text so far, and how many code points it has

  // The text of reply *id* so far, or null if a part before this one is missing.
  join({ id, delta, offset }) {
    const { text, told } = this.#running.get(id) ?? { text: "", told: 0 };
    if (offset > told) return null;
    // A new socket is told the reply from its beginning.
    const whole = (offset === told ? text : [...text].slice(0, offset).join("")) + delta;
    this.#running.set(id, { text: whole, told: offset + [...delta].length });
    return whole;
  }

  end(id) {
    this.#running.delete(id);
  }
}
