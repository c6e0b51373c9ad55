"""Fills the sandbox, runs schemathesis with a tenant's key and with an operator's, and counts the cases."""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

CASES_MIN = 5_000
# Operations that the one sandbox cannot execute repeatedly, or only after an action of a person or of Meta.
NEVER = {
    "acknowledgeAlert",  # needs an alert
    "addNumber",  # needs the token of an unconnected account
    "cancelBroadcast", "cancelMessage", "pauseBroadcast", "resumeBroadcast",  # need unsent messages: here they are sent at once
    "chooseForOnboarding", "retryOnboarding",  # need a signup that has reached that step
    "finishOnboarding",  # called by the page of a popup
    "getOffboarding",  # an offboarding would delete the data of all other calls
    "putApp",  # needs the secrets of a real app
    "putProfilePicture", "uploadTemplateSample",  # need a JPEG, which is not text
    "settleMessage",  # needs a message whose outcome is unknown
    "undoMerge",  # needs two contacts that Meta reported as one
}
# Operations that end something run after those that need it.
LATER = ["blockContact", "deactivateNumber", "deleteNote", "deleteLink", "deleteTemplate", "revokeKey"]
LAST = ["deleteContact", "deleteNumber", "startOffboarding"]
EXAMPLES = "20"
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
folder = pathlib.Path(sys.argv[1])
ready = json.loads((folder / "ready.json").read_text())
number = ready["number"]["phone_number_id"]


def call(method, url, body=None, key=ready["api_key"], kind="application/json"):
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {key}", "Content-Type": kind}, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"null")


def api(method, path, body=None, **more):
    return call(method, ready["gateway"] + path, body, **more)


def wait_for(look):
    """Returns what `look` finds, once it finds something."""
    for _ in range(100):
        found = look()
        if found:
            return found
        time.sleep(0.1)
    sys.exit("the sandbox did not store what customers wrote")


def customer_writes(customer, message):
    return call("POST", f"{ready['meta']}/_sim/customers/{customer}/messages", {"to": number, "message": message})["wamid"]


def fill():
    """Creates conversations, messages, a file, a broadcast and more, so that lists are not empty. Returns their ids."""
    for customer in ["15550003333", "15550002222"]:
        written = customer_writes(customer, {"type": "text", "text": {"body": "hello"}})

    def both():
        data = api("GET", "/v1/conversations")["data"]
        return data if len(data) == 2 else None

    conversations = wait_for(both)
    # The conversation with the latest message.
    conversations.sort(key=lambda one: one["contact"]["phone"])
    sent = api("POST", "/v1/messages", {"conversation_id": conversations[0]["id"], "type": "text", "text": {"body": "yes"}})
    template = {"name": "order_update", "language": {"code": "en_US"}}
    conversation, account = conversations[0]["id"], ready["number"]["waba_id"]
    api("POST", f"/v1/accounts/{account}/templates/refresh")
    note = api("POST", f"/v1/conversations/{conversation}/notes", {"text": "hm"})
    link = api("POST", f"/v1/numbers/{number}/links", {"message": "hello"})
    recipients = [{"to": "+15550004444", "parameters": ["Ada", "17"]}]
    broadcast = {"from": number, "template": template, "category": "utility", "recipients": recipients}
    image = {"type": "image", "image": {"mime_type": "image/jpeg", "caption": "the parcel"}}
    sent_image = customer_writes("15550002222", image)
    messages = f"/v1/conversations/{conversation}/messages"
    file = wait_for(lambda: next((one for one in api("GET", messages)["data"] if one["id"] == sent_image), None))
    erased = api("DELETE", f"/v1/contacts/{conversations[1]['contact']['id']}")
    # Key: the first part of the path, or the name of a parameter.
    return {
        "accounts": [account],
        "contacts": [conversations[0]["contact"]["id"]],
        "erasures": [erased["id"]],
        "template": ["order_update.en_US"],
        "note": [note["id"]],
        "link": [link["id"]],
        "conversations": [conversation],
        "numbers": [number],
        "media": [api("POST", "/v1/media", JPEG, kind="image/jpeg")["id"]],
        "broadcasts": [api("POST", "/v1/broadcasts", broadcast)["id"]],
        "onboardings": [api("POST", "/v1/onboardings", {"app": ready["app"]["id"]})["id"]],
        "replays": [api("POST", "/v1/replays", {"source": "archive"})["id"]],
        "keys": [api("POST", "/v1/keys", {"scopes": ["read"]})["id"] for _ in range(3)],
        "tenants": [ready["tenant_id"]],
        "apps": [ready["app"]["id"]],
        "file": [file["image"]["id"]],
        "message": [sent["id"], written],
    }


def described(ids):
    """Writes the API's description with mostly existing ids as path parameters."""
    description = api("GET", "/openapi.json")
    for path, methods in description["paths"].items():
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                known = ids.get(parameter["name"] if parameter["name"] != "id" else path.split("/")[2])
                if parameter["in"] == "path" and known:
                    parameter["schema"] = {"anyOf": [{"enum": known}, {"enum": known}, {"type": "string", "minLength": 1}]}
                    parameter["example"] = known[0]
                if parameter["name"] == "phone":
                    parameter["example"] = "+15550002222"
                if parameter["name"] == "account_id" and parameter["in"] == "query":
                    parameter["schema"] = {"anyOf": [{"enum": ids["accounts"]}, {"type": "string"}]}
                    parameter["example"] = ids["accounts"][0]
            if operation["operationId"] == "markRead":
                operation["requestBody"]["content"]["application/json"]["example"]["message_id"] = ids["message"][1]
    file = folder / "openapi.json"
    file.write_text(json.dumps(description))
    return file


file = described(fill())
operators = ["/v1/tenants", "/v1/tenants/{id}", "/v1/apps/{id}"]
tenants = [f"--exclude-path={path}" for path in operators]
without = [f"--exclude-operation-id={name}" for name in LATER + LAST]
runs = [
    ("tenant", ready["api_key"], tenants + without),
    ("later", ready["api_key"], [f"--include-operation-id={name}" for name in LATER]),
    ("last", ready["api_key"], [f"--include-operation-id={name}" for name in LAST]),
    ("operator", ready["operator_key"], [f"--include-path={path}" for path in operators]),
]
description = json.loads(file.read_text())
names = {f"{method.upper()} {path}": one["operationId"] for path, methods in description["paths"].items() for method, one in methods.items()}
cases, answered = 0, {}
for name, key, choice in runs:
    report = folder / f"{name}.ndjson"
    report.unlink(missing_ok=True)
    command = [
        os.environ["SCHEMATHESIS"], "run", str(file), "--url", ready["gateway"],
        "--header", f"Authorization: Bearer {key}", "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES,
        # The rules are stricter than the description: an id must exist, a number must be the tenant's own.
        "--exclude-checks", "positive_data_acceptance",
        "--seed", "7", "--workers", "1", "--no-shrink", "--suppress-health-check", "all", "--warnings", "off",
        "--report", "ndjson", "--report-ndjson-path", str(report), *choice,
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(pathlib.Path(__file__).parent)}
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | hooks)
    (folder / f"{name}.txt").write_text(ended.stdout + ended.stderr)
    if ended.returncode != 0:
        print(ended.stdout[-6000:])
        sys.exit(f"schemathesis found something in the run `{name}`: see {folder / name}.txt")
    for line in report.read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        cases += len(recorder.get("cases", {}))
        answers = [one["response"]["status_code"] for one in recorder.get("interactions", {}).values() if one.get("response")]
        answered.setdefault(recorder.get("label"), []).extend(answers)
print(f"contract: {cases} cases, 0 findings")
if cases < CASES_MIN:
    sys.exit(f"fewer than {CASES_MIN} cases")
# An operation that only refuses has not shown its success responses.
good = {label for label, answers in answered.items() if any(status < 300 for status in answers)}
print(f"contract: {len(good)} of {len(answered)} operations did what they were asked, {sum(status < 300 for all in answered.values() for status in all)} times")
refused = sorted(name for label, name in names.items() if label in answered and label not in good and name not in NEVER)
if refused:
    sys.exit(f"never done: {', '.join(refused)}")
