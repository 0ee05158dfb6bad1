// Talking to the API: requests, and the stream of what changes.

export class Problem extends Error {
  constructor(status, detail) { super(detail); this.status = status; }
}

/** Ask the API; throws a Problem whose message is the server's sentence. */
export async function api(path, { method = "GET", body, file } = {}) {
  const headers = { "x-littoral": "console", ...(body ? { "content-type": "application/json" } : file ? { "content-type": "application/octet-stream" } : {}) };
  let answer;
  try {
    answer = await fetch(`/api/v1/${path}`, { method, headers, body: file ?? (body && JSON.stringify(body)), credentials: "same-origin" });
  } catch {
    throw new Problem(0, "The server does not answer.");
  }
  if (answer.status === 204) return null;
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  if (answer.status === 401 && path !== "session") dispatchEvent(new Event("signed-out"));
  throw new Problem(answer.status, content.detail ?? `The server answered ${answer.status}.`);
}

/** A query string from what is not empty. */
export const query = (given) => {
  const kept = Object.entries(given).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
};

let source = null;
/** Hear what changes: listeners by event, and `state` with whether the stream is up. One stream at a time. */
export function listen(listeners, rollout = "") {
  source?.close();
  source = new EventSource(`/api/v1/live${query({ rollout })}`);
  source.onopen = () => listeners.state?.(true);
  source.onerror = () => listeners.state?.(false);
  for (const [name, heard] of Object.entries(listeners)) if (name !== "state") source.addEventListener(name, (event) => heard(JSON.parse(event.data)));
}
export const deafen = () => { source?.close(); source = null; };
