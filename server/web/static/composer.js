// Where a message is written: its text, its pictures.

import { $, button, element } from "./dom.js";

const text = $("text");
const pictureList = $("pictures");
let pictures = []; // data URLs

// *say* takes a chain of components, and returns whether that is well.
export function compose(say) {
  function send() {
    const words = text.value;
    if ($("send").disabled || (!words.trim() && !pictures.length)) return;
    const chain = pictures.map((base64) => ({ type: "Image", base64 }));
    if (words.trim()) chain.unshift({ type: "Plain", text: words });
    if (!say(chain)) return;
    pictures = [];
    showPictures();
    text.value = "";
    fit();
  }

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
      const item = element("li");
      const image = element("img");
      image.src = source;
      image.alt = `Picture ${index + 1}`;
      const remove = button("", "×", () => {
        pictures.splice(index, 1);
        showPictures();
        text.focus();
      });
      remove.setAttribute("aria-label", `Remove picture ${index + 1}`);
      item.append(image, remove);
      return item;
    }),
  );
}
