//! `--demo`: a customer writes, the business answers, the customer reads the answer. All calls are real HTTP requests
//! to the gateway and the simulated Meta.

use std::io::Write;
use std::time::{Duration, Instant};

use sandbox::sandbox::Ready;
use serde_json::{Value, json};

/// The customer's number, from a range that is not assigned.
const CUSTOMER: &str = "15550002222";
/// Timeout of one step.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) async fn play(ready: &Ready) -> Result<(), String> {
    let http = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
    let stage = Stage { ready, http };
    for (question, answer) in
        [("Hello! Are you open on Sunday?", "Yes, from 10 to 18."), ("Great, see you then 👋", "See you on Sunday!")]
    {
        stage.customer_writes(question).await?;
        let conversation = stage.until("the customer's message", |messages| find(messages, question)).await?;
        say(&format!("customer  {question}"))?;
        let id = conversation["conversation_id"].as_str().unwrap_or_default().to_owned();
        stage.business_answers(&id, answer).await?;
        let read = |messages: &[Value]| find(messages, answer).filter(|message| message["status"] == "read");
        stage.until("the answer to be read", read).await?;
        say(&format!("business  {answer}   (sent, delivered, read)"))?;
    }
    Ok(())
}

struct Stage<'a> {
    ready: &'a Ready,
    http: reqwest::Client,
}

impl Stage<'_> {
    async fn customer_writes(&self, text: &str) -> Result<(), String> {
        let url = format!("{}/_sim/customers/{CUSTOMER}/messages", self.ready.meta);
        let message = json!({"type": "text", "text": {"body": text}});
        self.call(self.http.post(url), Some(json!({"to": self.ready.number.phone_number_id, "message": message})))
            .await
            .map(drop)
    }

    async fn business_answers(&self, conversation: &str, text: &str) -> Result<(), String> {
        let request = self.http.post(format!("{}/v1/messages", self.ready.gateway));
        let request = request.header("idempotency-key", format!("demo: {text}"));
        let body = json!({"conversation_id": conversation, "type": "text", "text": {"body": text}});
        self.call(request, Some(body)).await.map(drop)
    }

    /// Reads the conversation every 50 ms until `found` returns a message.
    async fn until(&self, what: &str, found: impl Fn(&[Value]) -> Option<Value>) -> Result<Value, String> {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(message) = found(&self.messages().await?) {
                return Ok(message);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(format!("waited {PATIENCE:?} for {what}, which did not arrive"))
    }

    async fn messages(&self) -> Result<Vec<Value>, String> {
        let list = |url: String| self.call(self.http.get(url), None);
        let conversations = list(format!("{}/v1/conversations", self.ready.gateway)).await?;
        let Some(id) = conversations["data"][0]["id"].as_str() else { return Ok(Vec::new()) };
        let messages = list(format!("{}/v1/conversations/{id}/messages", self.ready.gateway)).await?;
        Ok(messages["data"].as_array().cloned().unwrap_or_default())
    }

    async fn call(&self, request: reqwest::RequestBuilder, body: Option<Value>) -> Result<Value, String> {
        let request = request.header("authorization", format!("Bearer {}", self.ready.api_key));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        let reply = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = reply.status();
        let text = reply.text().await.map_err(|error| error.without_url().to_string())?;
        if !status.is_success() {
            return Err(format!("{status}: {text}"));
        }
        serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))
    }
}

fn find(messages: &[Value], text: &str) -> Option<Value> {
    messages.iter().find(|message| message["text"]["body"] == text).cloned()
}

fn say(line: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())
}
