// A long verification lets the page breathe: it shows how far it is, and stops when it is no longer wanted.

const BREATH = 40; // milliseconds of work between two breaths

/**
 * Makes the pause that a long step takes part by part: `pause(part)`, from 0 to 1, mostly does nothing.
 * @param {(part: number, step: string) => void} tell @param {AbortSignal} signal
 * @returns {(step: string, from: number, to: number) => (part: number) => Promise<void> | undefined}
 */
export function pacer(tell, signal) {
  let last = performance.now();
  return (step, from, to) => (part) => {
    if (performance.now() - last < BREATH) return undefined;
    return breathe().then(() => {
      signal.throwIfAborted();
      tell(from + (to - from) * part, step);
      last = performance.now();
    });
  };
}

/** A turn of the event loop; a timer would wait a second in a tab in the background. */
function breathe() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
