//! The running sandbox: three servers, the queue pollers, the schedule, and a seeded tenant.

mod seed;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use bytes::Bytes;
use serde::Serialize;
use shared::clock::Clock;
use shared::telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::aws::{EmbeddedAws, REGION};
use crate::meta::{self, Meta, MetaApp, MetaNumber};
use crate::stack::{Functions, Stack};
use crate::state_file;
pub use seed::{Seed, account as seeded_account};

/// Pollers per queue. Several, so that one slow batch does not stop the others, as on Lambda.
const POLLERS: usize = 4;
/// Time an idle poller waits before it checks for messages that became visible.
const IDLE: Duration = Duration::from_millis(200);
/// Interval of the scheduled functions. `template.yaml` schedules the sweep at the same interval.
const TICK: Duration = Duration::from_secs(60);
/// Interval at which in-memory state is written to the folder.
const SAVE: Duration = Duration::from_secs(1);
/// Maximum time a stop waits for running batches: enough for one Graph call.
const STOP_PATIENCE: Duration = Duration::from_secs(25);

/// Start options.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The gateway's port. The simulated Meta and embedded AWS use the next two. 0: any three free ports.
    pub port: u16,
    /// Folder for the state; without it the state is in memory.
    pub folder: Option<PathBuf>,
}

/// Data for scripts, as `--ready-file` writes it.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// Base URL of webhooks and API.
    pub gateway: String,
    /// Base URL of the simulated Meta.
    pub meta: String,
    /// Base URL of embedded AWS.
    pub aws: String,
    /// The region that embedded AWS reports.
    pub region: String,
    /// Id of the seeded tenant.
    pub tenant_id: String,
    /// The tenant's API key.
    pub api_key: String,
    /// An operator's key.
    pub operator_key: String,
    /// The seeded Meta app.
    pub app: ReadyApp,
    /// The seeded number.
    pub number: ReadyNumber,
}

/// The seeded Meta app.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyApp {
    /// Name of the app: the last part of its webhook URL.
    pub id: String,
    /// The app secret.
    pub secret: String,
    /// The verify token.
    pub verify_token: String,
}

/// The seeded number.
#[derive(Debug, Clone, Serialize)]
pub struct ReadyNumber {
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// The number's digits.
    pub display_phone_number: String,
    /// Meta's id of the number's account.
    pub waba_id: String,
}

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    /// URLs and credentials of this sandbox.
    pub ready: Ready,
    stack: Stack,
    meta: Arc<Meta>,
    folder: Option<PathBuf>,
    metrics: Metrics,
    stop: watch::Sender<bool>,
    // Holds the lock on the state folder until the end.
    _lock: Option<std::fs::File>,
    servers: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts everything. Requests are accepted when this returns.
    ///
    /// # Errors
    /// A message for the terminal: a port in use, a folder that cannot be used.
    pub async fn start(options: &Options) -> Result<Self, String> {
        if let Some(folder) = &options.folder {
            state_file::create_folder(folder)?;
        }
        let lock = options.folder.as_deref().map(state_file::lock).transpose()?;
        let [gateway, graph, aws] = listeners(options.port).await?;
        let folder = options.folder.as_deref();
        let mut stack = Stack::start(folder, Clock::system()).await?;
        stack.public_url = Some(url(&gateway)?);
        stack.set_aws_url(&url(&aws)?);
        let seed = Seed::load_or_plant(folder, &stack).await?;
        let meta = Arc::new(Meta::new(stack.clock.clone(), stack.faults.clone()));
        if let Some(snapshot) = state_file::load(folder.map(|folder| folder.join("meta.json")).as_deref())? {
            meta.restore(snapshot)?;
        }
        let ready = ready(&seed, [url(&gateway)?, url(&graph)?, url(&aws)?]);
        introduce(&meta, &seed, &ready);
        let functions = Arc::new(stack.functions(&ready.meta)?);

        let (stop, stopped) = watch::channel(false);
        let servers = vec![
            serve(gateway, functions.gateway()),
            tokio::spawn(meta::serve(graph, meta::routes(meta.clone()))),
            serve(aws, aws_routes(stack.aws.clone())),
        ];
        let sandbox = Self {
            ready,
            stack,
            meta,
            folder: options.folder.clone(),
            metrics: functions.metrics.clone(),
            stop,
            _lock: lock,
            servers,
            workers: Vec::new(),
        };
        sandbox.with_workers(&functions, &stopped)
    }

    fn with_workers(mut self, functions: &Arc<Functions>, stopped: &watch::Receiver<bool>) -> Result<Self, String> {
        for _ in 0..POLLERS {
            for line in [Line::Inbound, Line::Outbound, Line::Release, Line::Onboarding] {
                let worker = poll(functions.clone(), self.stack.clone(), line, stopped.clone());
                self.workers.push(tokio::spawn(worker));
            }
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| format!("no HTTP client for webhooks: {error}"))?;
        self.servers.push(tokio::spawn(meta::deliver_forever(self.meta.clone(), http)));
        self.servers.push(tokio::spawn(tick(functions.clone())));
        if self.folder.is_some() {
            self.servers.push(tokio::spawn(save_often(self.stack.clone(), self.meta.clone(), self.folder.clone())));
        }
        Ok(self)
    }

    /// Returns the metrics of the functions.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Stops: takes no new requests, waits for running batches, writes the state.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub async fn stop(self) -> Result<(), String> {
        for server in self.servers {
            server.abort();
            // The task ends because it is aborted. Waiting lets it return an undelivered webhook to the queue.
            drop(server.await);
        }
        self.stop.send_replace(true);
        let finished = futures_util::future::join_all(self.workers);
        if tokio::time::timeout(STOP_PATIENCE, finished).await.is_err() {
            tracing::warn!(event = "sandbox.stopped_in_a_batch");
        }
        save(&self.stack, &self.meta, self.folder.as_deref())
    }
}

enum Line {
    Inbound,
    Outbound,
    Release,
    Onboarding,
}

async fn poll(functions: Arc<Functions>, stack: Stack, line: Line, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        let records = match line {
            Line::Inbound => functions.poll_inbound().await,
            Line::Outbound => functions.poll_outbound().await,
            Line::Release => functions.poll_release_fully().await,
            Line::Onboarding => functions.poll_onboarding().await,
        };
        if records == 0 {
            stack.aws.sqs().wait(IDLE).await;
        }
    }
}

async fn tick(functions: Arc<Functions>) {
    let mut every = tokio::time::interval(TICK);
    loop {
        every.tick().await;
        if let Err(error) = functions.visit_tokens().await {
            tracing::error!(event = "sandbox.tokens_not_checked", %error);
        }
        if let Err(error) = functions.offboard().await {
            tracing::error!(event = "sandbox.not_offboarded", %error);
        }
        if let Err(error) = functions.tick().await {
            tracing::error!(event = "sandbox.tick_failed", %error);
        }
    }
}

async fn save_often(stack: Stack, meta: Arc<Meta>, folder: Option<PathBuf>) {
    let mut every = tokio::time::interval(SAVE);
    loop {
        every.tick().await;
        if let Err(error) = save(&stack, &meta, folder.as_deref()) {
            tracing::error!(event = "sandbox.not_saved", %error);
        }
    }
}

fn save(stack: &Stack, meta: &Meta, folder: Option<&std::path::Path>) -> Result<(), String> {
    stack.aws.sqs().save()?;
    state_file::save(folder.map(|folder| folder.join("meta.json")).as_deref(), &meta.snapshot())
}

/// Gives the simulated Meta what a real one would know: the app, its callback URL, the number and its token.
fn introduce(meta: &Meta, seed: &Seed, ready: &Ready) {
    meta.put_app(MetaApp {
        client_id: seed::CLIENT.to_owned(),
        secret: seed.app_secret.clone(),
        callback_url: format!("{}/webhooks/meta/{}", ready.gateway, ready.app.id),
    });
    meta.put_number(MetaNumber {
        phone_number_id: ready.number.phone_number_id.clone(),
        display_phone_number: ready.number.display_phone_number.clone(),
        waba_id: ready.number.waba_id.clone(),
        token: seed.access_token.clone(),
    });
    if meta.business_account(seed::WABA).is_none() {
        meta.put_token(&seed.access_token, seed::account());
    }
    meta::sample_templates().into_iter().for_each(|template| meta.put_template(template));
}

fn ready(seed: &Seed, [gateway, meta, aws]: [String; 3]) -> Ready {
    Ready {
        gateway,
        meta,
        aws,
        region: REGION.to_owned(),
        tenant_id: seed.tenant_id.clone(),
        api_key: seed.api_key.clone(),
        operator_key: seed.operator_key.clone(),
        app: ReadyApp {
            id: seed::APP.to_owned(),
            secret: seed.app_secret.clone(),
            verify_token: seed.verify_token.clone(),
        },
        number: ReadyNumber {
            phone_number_id: seed::NUMBER.to_owned(),
            display_phone_number: seed::DISPLAY.to_owned(),
            waba_id: seed::WABA.to_owned(),
        },
    }
}

/// Opens three listeners on the loopback interface. All three are bound before any is used, so they cannot take each
/// other's port.
async fn listeners(port: u16) -> Result<[TcpListener; 3], String> {
    if port > u16::MAX - 2 {
        return Err(format!("--port {port}: the two ports after it are needed too, so 65533 is the highest"));
    }
    let next = |offset| if port == 0 { 0 } else { port + offset };
    Ok([listen(next(0)).await?, listen(next(1)).await?, listen(next(2)).await?])
}

async fn listen(port: u16) -> Result<TcpListener, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!(
                "port {port} is in use: stop what uses it, or choose others with --port N (--port 0: any free ones)"
            )
        }
        _ => format!("port {port} cannot be used: {error}"),
    })
}

fn url(listener: &TcpListener) -> Result<String, String> {
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    Ok(format!("http://{address}"))
}

fn serve(listener: TcpListener, router: Router) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(event = "sandbox.server_ended", %error);
        }
    })
}

/// Serves embedded AWS on a port, for other processes and the AWS CLI.
pub fn aws_routes(aws: Arc<EmbeddedAws>) -> Router {
    let answer = move |request: axum::extract::Request| {
        let aws = aws.clone();
        async move {
            let (parts, body) = request.into_parts();
            match axum::body::to_bytes(body, usize::MAX).await {
                Ok(body) => aws.answer(http::Request::from_parts(parts, body)).await.map(axum::body::Body::from),
                Err(_) => http::Response::new(axum::body::Body::from(Bytes::new())),
            }
        }
    };
    Router::new().fallback(answer).layer(DefaultBodyLimit::disable())
}
