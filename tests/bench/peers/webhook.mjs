// The webhook function in plain Node, for comparison in the benchmark: same record, same signature check, same job.
import { createHmac, timingSafeEqual } from "node:crypto";
import { gzipSync } from "node:zlib";
import { DynamoDBClient, GetItemCommand } from "@aws-sdk/client-dynamodb";
import { DecryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { SQSClient, SendMessageCommand } from "@aws-sdk/client-sqs";

const dynamodb = new DynamoDBClient({});
const kms = new KMSClient({});
// Send to the configured AWS endpoint, not to the host in the queue's URL.
const sqs = new SQSClient({ useQueueUrlAsEndpoint: false });
const apps = new Map();

async function app(name) {
  if (!apps.has(name)) {
    const Key = { pk: { S: `APP#${name}` }, sk: { S: "APP" } };
    const { Item } = await dynamodb.send(new GetItemCommand({ TableName: process.env.TABLE_NAME, Key, ConsistentRead: true }));
    const EncryptionContext = { v: "1", purpose: "app", app: name };
    const opened = await kms.send(new DecryptCommand({ KeyId: process.env.KEY_ID, CiphertextBlob: Item.sealed.B, EncryptionContext }));
    apps.set(name, JSON.parse(Buffer.from(opened.Plaintext).toString()));
  }
  return apps.get(name);
}

async function handle(event) {
  const body = event.isBase64Encoded ? Buffer.from(event.body, "base64") : Buffer.from(event.body);
  const given = Buffer.from((event.headers["x-hub-signature-256"] ?? "").slice(7), "hex");
  const name = event.rawPath.split("/").pop();
  const { app_secrets } = await app(name);
  const proved = app_secrets.some((secret) => {
    const mac = createHmac("sha256", secret).update(body).digest();
    return mac.length === given.length && timingSafeEqual(mac, given);
  });
  if (!proved) return { statusCode: 401 };
  const group = /"phone_number_id":\s*"(\d+)"/.exec(body.toString())?.[1] ?? name;
  const job = { job: "meta_webhook.v1", app: name, received_at: Date.now(), gzip_base64: gzipSync(body, { level: 1 }).toString("base64") };
  await sqs.send(new SendMessageCommand({ QueueUrl: process.env.INBOUND_QUEUE_URL, MessageBody: JSON.stringify(job), MessageGroupId: group }));
  return { statusCode: 200 };
}

const runtime = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
for (;;) {
  const next = await fetch(`${runtime}/next`);
  const id = next.headers.get("lambda-runtime-aws-request-id");
  const answer = await handle(await next.json());
  await (await fetch(`${runtime}/${id}/response`, { method: "POST", body: JSON.stringify(answer) })).arrayBuffer();
}
