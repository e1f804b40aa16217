// How long to wait before trying again, in milliseconds: longer each time, and never just as long as all others do.

export const LONGEST = 30_000;

export const backoff = (failures) => Math.min(LONGEST, 1000 * 2 ** failures) * (0.5 + Math.random() / 2);
