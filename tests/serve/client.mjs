// OpenAI's own client for Node against the server: node client.mjs BASE_URL KEY; prints what it got as one JSON object.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "a frog over there" }];
const found = {};

const { data, response } = await client.chat.completions
  .create({ model: "colours", messages, user: "customer-7", metadata: { overlay: "brand_b" } })
  .withResponse();
found.answer = data.choices[0].message.content;
found.trace = response.headers.get("x-tasklift-trace-id") === data.id;
found.release = response.headers.get("x-tasklift-release");

const stream = await client.chat.completions.create({
  model: "colours", messages, stream: true, stream_options: { include_usage: true },
});
found.streamed = "";
for await (const chunk of stream) {
  found.streamed += chunk.choices[0]?.delta?.content ?? "";
  found.usage = chunk.usage?.total_tokens ?? null;
}

found.models = [];
for await (const model of client.models.list()) found.models.push(model.id);
found.model = (await client.models.retrieve("colours")).owned_by;

async function refused(ask) {
  try {
    await ask();
    return "it was not refused";
  } catch (error) {
    return [error.constructor.name, error.status, error.code];
  }
}
found.unknown = await refused(() => client.chat.completions.create({ model: "gpt-6", messages }));
found.malformed = await refused(() => client.chat.completions.create({ model: "colours", messages: [] }));
const stranger = new OpenAI({ baseURL, apiKey: "nonsense", maxRetries: 0 });
found.stranger = await refused(() => stranger.models.list());
found.streamed_error = await refused(() => client.chat.completions.create({ model: "gpt-6", messages, stream: true }));
console.log(JSON.stringify(found));
