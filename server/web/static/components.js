// Messages as text, from the components of which they are made.

function textOf(component) {
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

// The text of *chain*, but for its pictures, which are shown.
export const textBesidePictures = (chain) => chain.map(textOf).join("");

export const plainTextOf = (chain) =>
  chain
    .filter(({ type }) => type === "Plain")
    .map(({ text }) => text)
    .join("");

// *chain* with *text* in place of its own, and all the rest of it as it is.
export function withPlainText(chain, text) {
  const rest = chain.filter(({ type }) => type !== "Plain");
  const at = Math.max(
    0,
    chain.findIndex(({ type }) => type === "Plain"),
  );
  return text.trim() ? [...rest.slice(0, at), { type: "Plain", text }, ...rest.slice(at)] : rest;
}
