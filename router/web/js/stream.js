// Server-sent events as they come: whole events out of whatever pieces the network makes of them.

import { Refused } from "./access.js";

const END = /\r?\n\r?\n/;

/** The parsed chunks of a streamed answer. Throws `Refused` on an error event, or when it ends without its end. */
export async function* chunks(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const requestId = response.headers.get("x-request-id");
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += value ?? "";
    const events = rest.split(END);
    rest = events.pop();
    for (const event of events) {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
      if (data === "[DONE]") return;
      if (!data) continue;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Refused(200, chunk.error, requestId);
      yield chunk;
    }
    if (done) throw new Refused(200, { message: "The answer broke off before its end." }, requestId);
  }
}
