// Where the pictures of a message are to be had.

// The addresses that a browser may be given, of all the pictures in *chain*.
export function picturesIn(chain) {
  return chain.filter(({ type }) => type === "Image").map(sourceOf).filter(Boolean);
}

function sourceOf({ url: web, base64 }) {
  const given = web || base64;
  if (typeof given !== "string" || !given) return null;
  if (!web && !given.startsWith("data:")) return `data:image/png;base64,${given}`;
  try {
    const url = new URL(given, document.baseURI);
    const isShown = ["http:", "https:"].includes(url.protocol) || /^data:image\//i.test(given);
    return isShown ? url.href : null;
  } catch {
    return null;
  }
}
