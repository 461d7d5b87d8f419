// Talking to the console: its events, and what it is asked for.

/** The events of one view. There is one at a time: a browser opens few connections to a server. */
export class Live {
  #source = null;

  /**
   * Listen to what the console tells of a view.
   * @param query what is to be told.
   * @param handlers by the name of a section: what takes its news. `open` is called when all of it
   *   begins anew, `lost` when the console does not answer.
   */
  open(query, handlers) {
    this.close();
    const source = new EventSource(`/api/events?${new URLSearchParams(query)}`);
    this.#source = source;
    source.onopen = () => handlers.open?.();
    source.onerror = () => {
      handlers.lost?.();
      // One that was refused is not opened again by the browser.
      if (source.readyState === EventSource.CLOSED && this.#source === source) {
        setTimeout(() => this.#source === source && this.open(query, handlers), 2000);
      }
    };
    for (const [section, take] of Object.entries(handlers)) {
      source.addEventListener(section, (event) => take(event.data && JSON.parse(event.data)));
    }
  }

  close() {
    this.#source?.close();
    this.#source = null;
  }
}

async function answerOf(response) {
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `the console answers ${response.status}`);
  return answer;
}

/** Ask for something. */
export async function ask(path) {
  return answerOf(await reach(path));
}

/** Have something done. */
export async function act(method, path, fields = {}) {
  const headers = { "content-type": "application/json" };
  return answerOf(await reach(path, { method, headers, body: JSON.stringify(fields) }));
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new Error("the console does not answer");
  }
}
