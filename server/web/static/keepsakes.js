// What outlives a reload, as far as the browser lets us keep anything.

const GUEST = "triologue.guest";

// 128 random bits. Not `randomUUID`: browsers have that only for pages that came encrypted.
export function secret() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// *which* is `localStorage` or `sessionStorage`; even to name one may be forbidden.
function read(which, name) {
  try {
    return window[which].getItem(name);
  } catch {
    return null;
  }
}

function write(which, name, value) {
  try {
    window[which].setItem(name, value);
  } catch {
    // Forbidden, or full: then it lasts as long as the page.
  }
}

let ours = null;

// By which the server knows this browser again; nobody else may know it.
export function guest() {
  const known = read("localStorage", GUEST);
  if (/^[A-Za-z0-9._:-]{16,64}$/.test(known ?? "")) return (ours = known);
  ours ??= secret();
  write("localStorage", GUEST, ours);
  return ours;
}

// What this tab keeps under *name*, `[]` if nothing.
export function kept(name) {
  try {
    const value = JSON.parse(read("sessionStorage", name));
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}

export function keep(name, value) {
  // An older, smaller one must not be taken for this one, should this one be too large.
  try {
    window.sessionStorage.removeItem(name);
  } catch {
    return;
  }
  if (value.length) write("sessionStorage", name, JSON.stringify(value));
}
