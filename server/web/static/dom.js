// Finding and making parts of the page. Whatever others wrote gets in with textContent alone.

export const $ = (id) => document.getElementById(id);

export function element(name, className = "", content = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = content;
  return made;
}

export function button(className, words, onClick) {
  const made = element("button", className, words);
  made.type = "button";
  if (onClick) made.addEventListener("click", onClick);
  return made;
}
