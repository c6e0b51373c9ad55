"""The webhook function in plain Python, for comparison in the benchmark: same record, same signature check, same job."""

import base64
import gzip
import hashlib
import hmac
import http.client
import json
import os
import re
import time

import boto3

dynamodb = boto3.client("dynamodb")
kms = boto3.client("kms")
sqs = boto3.client("sqs")
apps = {}


def app(name):
    if name not in apps:
        key = {"pk": {"S": f"APP#{name}"}, "sk": {"S": "APP"}}
        item = dynamodb.get_item(TableName=os.environ["TABLE_NAME"], Key=key, ConsistentRead=True)["Item"]
        context = {"v": "1", "purpose": "app", "app": name}
        opened = kms.decrypt(KeyId=os.environ["KEY_ID"], CiphertextBlob=item["sealed"]["B"], EncryptionContext=context)
        apps[name] = json.loads(opened["Plaintext"])
    return apps[name]


def handle(event):
    body = event["body"].encode()
    given = event["headers"].get("x-hub-signature-256", "")[7:]
    name = event["rawPath"].split("/")[-1]
    secrets = app(name)["app_secrets"]
    if not any(hmac.compare_digest(hmac.new(s.encode(), body, hashlib.sha256).hexdigest(), given) for s in secrets):
        return {"statusCode": 401}
    found = re.search(rb'"phone_number_id":\s*"(\d+)"', body)
    group = found.group(1).decode() if found else name
    packed = base64.b64encode(gzip.compress(body, 1)).decode()
    job = {"job": "meta_webhook.v1", "app": name, "received_at": int(time.time() * 1000), "gzip_base64": packed}
    sqs.send_message(QueueUrl=os.environ["INBOUND_QUEUE_URL"], MessageBody=json.dumps(job), MessageGroupId=group)
    return {"statusCode": 200}


runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
BASE = "/2018-06-01/runtime/invocation"
while True:
    runtime.request("GET", f"{BASE}/next")
    answer = runtime.getresponse()
    request_id = answer.headers["lambda-runtime-aws-request-id"]
    result = handle(json.loads(answer.read()))
    runtime.request("POST", f"{BASE}/{request_id}/response", body=json.dumps(result))
    runtime.getresponse().read()
