// Changing the text of a message in its place.

import { button, element } from "./dom.js";

// A form with *text* in it; *done* is called with the new one, or with null if it is to stay.
export function editor(text, done) {
  const form = element("form", "editor");
  form.setAttribute("aria-label", "Edit message");
  const field = element("textarea");
  field.setAttribute("aria-label", "New text");
  field.value = text;
  const save = element("button", "", "Save");
  const row = element("div", "row");
  row.append(save, button("", "Cancel", () => done(null)));
  form.append(field, row);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    done(field.value);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") done(null);
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      done(field.value);
    }
  });
  return form;
}
