//! The part of Lambda's Runtime API that functions use: `next`, `response`, `error`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Mutex, mpsc};

/// Lambda's limit for a function's init.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of an invocation, longer than any function here needs.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(120);

/// The Runtime API of one function.
pub(crate) struct RuntimeApi {
    pub(crate) address: String,
    events: mpsc::Sender<String>,
    answers: Mutex<mpsc::Receiver<Result<Bytes, Bytes>>>,
    asked: Mutex<mpsc::Receiver<Instant>>,
}

struct Shared {
    events: Mutex<mpsc::Receiver<String>>,
    answers: mpsc::Sender<Result<Bytes, Bytes>>,
    asked: mpsc::Sender<Instant>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> Self {
        let (events, next_event) = mpsc::channel(1);
        let (answered, answers) = mpsc::channel(1);
        let (asks, asked) = mpsc::channel(64);
        let shared = Arc::new(Shared { events: Mutex::new(next_event), answers: answered, asked: asks });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{outcome}", post(answer))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, events, answers: Mutex::new(answers), asked: Mutex::new(asked) }
    }

    /// Returns the time of the function's first `/next`: the end of its init.
    pub(crate) async fn first_next(&self) -> Instant {
        let asked = tokio::time::timeout(INIT_TIMEOUT, async { self.asked.lock().await.recv().await });
        asked.await.unwrap_or_else(|_| panic!("the function did not start: see what it printed")).unwrap()
    }

    /// Invokes the function once.
    pub(crate) async fn invoke(&self, event: &str) -> Bytes {
        self.events.send(event.to_owned()).await.unwrap();
        let answered = tokio::time::timeout(INVOCATION_TIMEOUT, async { self.answers.lock().await.recv().await });
        let answered = answered.await.unwrap_or_else(|_| panic!("the function did not answer: see what it printed"));
        answered.unwrap().unwrap_or_else(|error| panic!("{error:?}"))
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    // Only the first request is awaited; for later ones the channel may be full.
    if shared.asked.try_send(Instant::now()).is_err() {
        tokio::task::yield_now().await;
    }
    let Some(event) = shared.events.lock().await.recv().await else {
        // The measurement is over, and the function will be stopped.
        return std::future::pending().await;
    };
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:webhook"),
    ];
    (headers, event).into_response()
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path((_, outcome)): Path<(String, String)>,
    body: Bytes,
) -> StatusCode {
    let answer = if outcome == "response" { Ok(body) } else { Err(body) };
    shared.answers.send(answer).await.unwrap();
    StatusCode::ACCEPTED
}

async fn init_error(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    shared.answers.send(Err(body)).await.unwrap();
    StatusCode::ACCEPTED
}
