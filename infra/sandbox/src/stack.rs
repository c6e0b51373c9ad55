//! One installation on one machine: the resources of `template.yaml` in embedded AWS, and the functions, called with
//! the events that Lambda would give them.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use axum::Router;
use operator::Operator;
use serde_json::Value;
use shared::aws::AwsConfig;
use shared::clock::{Clock, SignedDuration, Timestamp};
use shared::domain::ids::WabaId;
use shared::limits::SEND_FUNCTION_TIMEOUT;
use shared::provider::meta::graph::GraphEndpoint;
use shared::storage::{Archive, Table, schema};
use shared::telemetry::Metrics;
use shared::vault::Vault;

use crate::aws::EmbeddedAws;
use crate::aws::faults::Faults;
use crate::aws::sqs::{Message, QueueSettings, Sqs};

/// The table's name.
pub const TABLE: &str = "switchboard";
/// The bucket's name.
pub const BUCKET: &str = "switchboard-raw";
/// The KMS key's id.
pub const KEY: &str = "switchboard-key";
/// The inbound queue.
pub const INBOUND: &str = "inbound";
/// The outbound queue.
pub const OUTBOUND: &str = "outbound.fifo";
/// The release queue: one job per number that has messages in its bulk lane.
pub const RELEASE: &str = "release";
/// Dead-letter queue of the release queue.
pub const RELEASE_DEAD: &str = "release-dead-letters";
/// Dead-letter queue of the inbound queue.
pub const INBOUND_DEAD: &str = "inbound-dead-letters";
/// The onboarding queue.
pub const ONBOARDING: &str = "onboarding";
/// Dead-letter queue of the onboarding queue.
pub const ONBOARDING_DEAD: &str = "onboarding-dead-letters";
/// Dead-letter queue of the outbound queue.
pub const OUTBOUND_DEAD: &str = "outbound-dead-letters.fifo";

/// The key attribute that the table schema got last. A state folder without it is from an older version.
const NEWEST_KEY: &str = "feed_at";
/// Records per batch that Lambda's poller gives a function.
const BATCH: usize = 10;
/// Queue settings as in `template.yaml`: visibility is 6 × the function's timeout; after so many receives a message is
/// moved to the dead-letter queue.
const INBOUND_VISIBILITY: i64 = 360;
const INBOUND_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);
const INBOUND_RECEIVES: u32 = 5;
const OUTBOUND_VISIBILITY: i64 = 270;
const OUTBOUND_RECEIVES: u32 = 100;
const RELEASE_VISIBILITY: i64 = 360;
const ONBOARDING_VISIBILITY: i64 = 360;
const ONBOARDING_RECEIVES: u32 = 60;
const OFFBOARDING_TIMEOUT: SignedDuration = SignedDuration::from_mins(15);
const RELEASE_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

/// Default of the send-message function on Lambda.
const SILENCE: Duration = Duration::from_secs(3);

/// The resources of one installation.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The AWS services.
    pub aws: Arc<EmbeddedAws>,
    /// Ordered faults.
    pub faults: Arc<Faults>,
    /// Source of the current time.
    pub clock: Clock,
    /// The operator's commands on this installation.
    pub operator: Operator,
    /// Time a call to Meta may stay unanswered before its number is suspect.
    pub silence: Duration,
    /// Base URL under which the simulated Meta reaches the functions.
    pub public_url: Option<String>,
    /// A second base URL for webhooks only, like a function URL.
    pub webhook_url: Option<String>,
    /// Whether the sweep asks Meta about messages whose outcome is unknown.
    pub message_history: bool,
    config: AwsConfig,
}

/// The running functions. Dropping them has the effect of a crash; creating them again is a cold start.
#[derive(Debug)]
pub struct Functions {
    gateway: Router,
    inbound: inbound::Deps,
    send_message: send_message::Deps,
    sweep: sweep::Deps,
    onboarding: onboarding::Deps,
    offboarding: offboarding::Deps,
    token_refresh: token_refresh::Deps,
    release: release::Deps,
    stack: Stack,
    /// Metrics of all functions together.
    pub metrics: Metrics,
}

impl Stack {
    /// Creates the resources, or opens those in `folder`.
    ///
    /// # Errors
    /// A message for the terminal.
    pub async fn start(folder: Option<&Path>, clock: Clock) -> Result<Self, String> {
        let faults = Arc::new(Faults::default());
        let aws = Arc::new(EmbeddedAws::start(folder, clock.clone(), faults.clone())?);
        let config = aws.config();
        let client = config.dynamodb();
        match client.describe_table().table_name(TABLE).send().await {
            Err(_) => schema(&client, TABLE).await.map_err(|error| format!("the table cannot be made: {error}"))?,
            Ok(known) => {
                let keys = known.table.and_then(|table| table.attribute_definitions).unwrap_or_default();
                if !keys.iter().any(|key| key.attribute_name() == NEWEST_KEY) {
                    return Err(
                        "the state folder was made by an older version: choose another one, or delete it".to_owned()
                    );
                }
            }
        }
        aws.kms().create_key(KEY)?;
        aws.create_bucket(BUCKET)?;
        let queue = |fifo, visibility_seconds, dead_letters: Option<(&str, u32)>| QueueSettings {
            fifo,
            visibility_seconds,
            dead_letters: dead_letters.map(|(name, receives)| (name.to_owned(), receives)),
        };
        aws.sqs().create(INBOUND_DEAD, queue(false, INBOUND_VISIBILITY, None));
        aws.sqs().create(OUTBOUND_DEAD, queue(true, OUTBOUND_VISIBILITY, None));
        aws.sqs().create(INBOUND, queue(false, INBOUND_VISIBILITY, Some((INBOUND_DEAD, INBOUND_RECEIVES))));
        aws.sqs().create(ONBOARDING_DEAD, queue(false, ONBOARDING_VISIBILITY, None));
        aws.sqs().create(ONBOARDING, queue(false, ONBOARDING_VISIBILITY, Some((ONBOARDING_DEAD, ONBOARDING_RECEIVES))));
        aws.sqs().create(RELEASE_DEAD, queue(false, RELEASE_VISIBILITY, None));
        aws.sqs().create(RELEASE, queue(false, RELEASE_VISIBILITY, Some((RELEASE_DEAD, INBOUND_RECEIVES))));
        aws.sqs().create(OUTBOUND, queue(true, OUTBOUND_VISIBILITY, Some((OUTBOUND_DEAD, OUTBOUND_RECEIVES))));
        let operator = Operator {
            table: Table::new(client, TABLE.to_owned()),
            vault: Vault::new(config.direct(), KEY.to_owned()),
            clock: clock.clone(),
        };
        operator.init().await.map_err(|error| error.to_string())?;
        Ok(Self {
            aws,
            faults,
            clock,
            operator,
            silence: SILENCE,
            public_url: None,
            webhook_url: None,
            message_history: false,
            config,
        })
    }

    /// Sets the URL at which other processes reach embedded AWS. Signed links to files use it.
    pub fn set_aws_url(&mut self, url: &str) {
        self.config = self.aws.config().reached_at(url);
    }

    /// Returns a DynamoDB client with the rights of the installation's owner.
    pub fn operator_dynamodb(&self) -> aws_sdk_dynamodb::Client {
        self.config.dynamodb()
    }

    /// Returns the bucket with the rights of the installation's owner.
    pub fn operator_archive(&self) -> Archive {
        Archive::new(self.config.direct(), BUCKET.to_owned())
    }

    /// Starts the functions (cold) against the Graph API at `graph_url`.
    ///
    /// # Errors
    /// When the Graph client cannot be built.
    #[expect(clippy::too_many_lines, reason = "one configuration per function")]
    pub fn functions(&self, graph_url: &str) -> Result<Functions, String> {
        // Each function signs with an access key id that is its name, because each has its own role.
        let (config, clock) = (|function: &str| self.config.signed_by(function), &self.clock);
        let metrics = Metrics::in_memory("sandbox");
        let (table, key_id, graph) = (TABLE.to_owned(), KEY.to_owned(), GraphEndpoint::at(graph_url));
        let outbound_queue_url = Sqs::url(OUTBOUND);
        let webhook = webhook::Config {
            table: table.clone(),
            key_id: key_id.clone(),
            inbound_queue_url: Sqs::url(INBOUND),
            bucket: BUCKET.to_owned(),
        };
        let api = api::Config {
            table: table.clone(),
            key_id: key_id.clone(),
            outbound_queue_url: outbound_queue_url.clone(),
            inbound_queue_url: Sqs::url(INBOUND),
            release_queue_url: Sqs::url(RELEASE),
            onboarding_queue_url: Sqs::url(ONBOARDING),
            bucket: BUCKET.to_owned(),
            graph_version: graph.version.clone(),
        };
        let signup = signup_callback::Config {
            table: table.clone(),
            key_id: key_id.clone(),
            onboarding_queue_url: Sqs::url(ONBOARDING),
            graph: graph.clone(),
            sdk_url: Some(format!("{graph_url}/_sim/sdk.js")),
            public_url: self.public_url.clone(),
        };
        let onboarding = onboarding::Config {
            table: table.clone(),
            key_id: key_id.clone(),
            onboarding_queue_url: Sqs::url(ONBOARDING),
            graph: graph.clone(),
        };
        let release = release::Config {
            table: table.clone(),
            outbound_queue_url: outbound_queue_url.clone(),
            release_queue_url: Sqs::url(RELEASE),
            bucket: BUCKET.to_owned(),
        };
        let inbound = inbound::Config {
            table: table.clone(),
            key_id: key_id.clone(),
            bucket: BUCKET.to_owned(),
            inbound_queue_url: Sqs::url(INBOUND),
            onboarding_queue_url: Sqs::url(ONBOARDING),
            dead_letters_url: Sqs::url(INBOUND_DEAD),
        };
        let sweep = sweep::Config {
            table: table.clone(),
            outbound_queue_url: outbound_queue_url.clone(),
            release_queue_url: Sqs::url(RELEASE),
            dead_letters_url: Sqs::url(OUTBOUND_DEAD),
            key_id: key_id.clone(),
            message_history: self.message_history,
            graph: graph.clone(),
        };
        let send_message = send_message::Config {
            table,
            key_id,
            outbound_queue_url,
            bucket: BUCKET.to_owned(),
            graph: graph.clone(),
            silence: self.silence,
        };
        let webhook = webhook::Deps::new(&config("webhook"), &webhook, clock.clone(), metrics.clone());
        let api = api::Deps::new(&config("api"), &api, clock.clone(), metrics.clone());
        let refresh = token_refresh::Config {
            table: TABLE.to_owned(),
            key_id: KEY.to_owned(),
            graph: graph.clone(),
            public_url: self.public_url.clone(),
            webhook_url: self.webhook_url.clone(),
        };
        let management = management::Config {
            table: TABLE.to_owned(),
            key_id: KEY.to_owned(),
            bucket: BUCKET.to_owned(),
            graph: graph.clone(),
            public_url: self.public_url.clone(),
            webhook_url: self.webhook_url.clone(),
        };
        let management = management::Deps::new(&config("management"), &management, clock.clone(), metrics.clone())
            .map_err(|error| error.to_string())?;
        let offboarding = offboarding::Config {
            table: TABLE.to_owned(),
            key_id: KEY.to_owned(),
            bucket: BUCKET.to_owned(),
            graph: graph.clone(),
        };
        let signup = signup_callback::Deps::new(&config("signup-callback"), &signup, clock.clone(), metrics.clone())
            .map_err(|error| error.to_string())?;
        Ok(Functions {
            // The fallback route of `api` answers paths that no function serves.
            gateway: webhook::router(webhook)
                .merge(signup_callback::router(signup))
                .merge(management::router(management))
                .merge(api::router(api)),
            token_refresh: token_refresh::Deps::new(&config("token-refresh"), &refresh, metrics.clone())
                .map_err(|error| error.to_string())?,
            offboarding: offboarding::Deps::new(&config("offboarding"), &offboarding, clock.clone(), metrics.clone())
                .map_err(|error| error.to_string())?,
            onboarding: onboarding::Deps::new(&config("onboarding"), &onboarding, clock.clone(), metrics.clone())
                .map_err(|error| error.to_string())?,
            inbound: inbound::Deps::new(&config("inbound"), &inbound, clock.clone(), metrics.clone()),
            send_message: send_message::Deps::new(
                &config("send-message"),
                &send_message,
                clock.clone(),
                metrics.clone(),
            )
            .map_err(|error| error.to_string())?,
            sweep: sweep::Deps::new(&config("sweep"), &sweep, metrics.clone()).map_err(|error| error.to_string())?,
            release: release::Deps::new(&config("release"), &release, clock.clone(), metrics.clone()),
            stack: self.clone(),
            metrics,
        })
    }
}

/// Returns the OpenAPI 3.1 description of the API.
#[must_use]
pub fn description() -> serde_json::Value {
    shared::api::describe([api::routes::described(), management::routes::described(), signup_callback::described()])
}

/// Returns method and path of every route that the description must contain.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    routes_by_function().map(|(_, method, path)| (method, path))
}

/// Returns the same routes, each with the function of `template.yaml` that serves it.
pub fn routes_by_function() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let finish = ("SignupCallbackFunction", "post", "/v1/onboardings/{id}/finish");
    let api = api::routes::ROUTES.iter().map(|(method, path)| ("ApiFunction", *method, *path));
    let management = management::routes::ROUTES.iter().map(|(method, path)| ("ManagementFunction", *method, *path));
    api.chain(management).chain([finish])
}

impl Functions {
    /// Returns the HTTP functions behind one router, as API Gateway serves them under one host.
    pub fn gateway(&self) -> Router {
        self.gateway.clone()
    }

    /// Gives the inbound function one batch, if there is one. Returns the number of records.
    pub async fn poll_inbound(&self) -> usize {
        self.poll_inbound_before(INBOUND_TIMEOUT).await
    }

    /// As [`Functions::poll_inbound`], in an invocation that Lambda ends after `time_left`.
    pub async fn poll_inbound_before(&self, time_left: SignedDuration) -> usize {
        let deadline = shared::clock::after(self.stack.clock.now(), time_left);
        self.poll(INBOUND, |event| inbound::handle(&self.inbound, event, deadline)).await
    }

    /// As [`Functions::poll_inbound`], with a batch of up to `records` records.
    pub async fn poll_inbound_up_to(&self, records: usize) -> usize {
        let deadline = shared::clock::after(self.stack.clock.now(), INBOUND_TIMEOUT);
        self.poll_some(INBOUND, records, |event| inbound::handle(&self.inbound, event, deadline)).await
    }

    /// Gives the send-message function one batch, if there is one. Returns the number of records.
    pub async fn poll_outbound(&self) -> usize {
        self.poll_outbound_before(send_timeout()).await
    }

    /// As [`Functions::poll_outbound`], in an invocation that Lambda ends after `time_left`.
    pub async fn poll_outbound_before(&self, time_left: SignedDuration) -> usize {
        let deadline = shared::clock::after(self.stack.clock.now(), time_left);
        self.poll(OUTBOUND, |event| send_message::handle(&self.send_message, event, deadline)).await
    }

    /// Gives the release function one job, if there is one, in an invocation with time for one chunk. Returns the
    /// number of jobs.
    pub async fn poll_release(&self) -> usize {
        self.poll_release_before(SignedDuration::ZERO).await
    }

    /// As [`Functions::poll_release`], in an invocation that Lambda ends after `time_left`.
    pub async fn poll_release_before(&self, time_left: SignedDuration) -> usize {
        let deadline = shared::clock::after(self.stack.clock.now(), time_left);
        self.poll_some(RELEASE, 1, |event| release::handle(&self.release, event, deadline)).await
    }

    /// As [`Functions::poll_release`], in an invocation with the full timeout of Lambda.
    pub async fn poll_release_fully(&self) -> usize {
        self.poll_release_before(RELEASE_TIMEOUT).await
    }

    /// Gives the onboarding function one batch, if there is one. Returns the number of jobs.
    pub async fn poll_onboarding(&self) -> usize {
        self.poll(ONBOARDING, |event| onboarding::handle(&self.onboarding, event)).await
    }

    /// Gives the same outbound batch to several invocations at once, as SQS may. Returns the number of records.
    pub async fn poll_outbound_repeatedly(&self, invocations: usize) -> usize {
        let messages = self.stack.aws.sqs().receive(OUTBOUND, BATCH, None);
        let deadline = shared::clock::after(self.stack.clock.now(), send_timeout());
        let handles = (0..invocations).map(|_| send_message::handle(&self.send_message, event(&messages), deadline));
        for response in futures_util::future::join_all(handles).await {
            self.acknowledge(OUTBOUND, &messages, &response);
        }
        messages.len()
    }

    /// Polls with a planted bug: deletes the records before the function gets them. Tests must detect it.
    pub async fn poll_inbound_acknowledging_first(&self) -> usize {
        let messages = self.stack.aws.sqs().receive(INBOUND, BATCH, None);
        self.acknowledge(INBOUND, &messages, &SqsBatchResponse::default());
        inbound::handle(&self.inbound, event(&messages), Timestamp::MAX).await;
        messages.len()
    }

    /// Runs the sweep, as EventBridge Scheduler does every minute.
    ///
    /// # Errors
    /// The sweep's error. The next run repeats the work.
    pub async fn tick(&self) -> Result<(), String> {
        sweep::run(&self.sweep, self.stack.clock.now()).await.map_err(|error| error.to_string())
    }

    /// Runs token-refresh, as EventBridge Scheduler does every five minutes.
    ///
    /// # Errors
    /// The function's error. The next run repeats the work.
    pub async fn visit_tokens(&self) -> Result<(), String> {
        let visited = token_refresh::run(&self.token_refresh, self.stack.clock.now()).await;
        visited.map_err(|error| error.to_string())
    }

    /// Runs the offboarding function, as EventBridge Scheduler does every five minutes.
    ///
    /// # Errors
    /// The function's error. The next run repeats the work.
    pub async fn offboard(&self) -> Result<(), String> {
        let deadline = shared::clock::after(self.stack.clock.now(), OFFBOARDING_TIMEOUT);
        offboarding::run(&self.offboarding, deadline).await.map_err(|error| error.to_string())
    }

    /// Checks one account at once, as `operator doctor` does.
    ///
    /// # Errors
    /// When the account cannot be checked.
    pub async fn visit_account(&self, account: &WabaId) -> Result<(), String> {
        let visited = token_refresh::check_account(&self.token_refresh, account, self.stack.clock.now()).await;
        visited.map_err(|error| error.to_string())
    }

    async fn poll<Fut>(&self, queue: &str, handle: impl FnOnce(SqsEvent) -> Fut) -> usize
    where
        Fut: Future<Output = SqsBatchResponse>,
    {
        self.poll_some(queue, BATCH, handle).await
    }

    async fn poll_some<Fut>(&self, queue: &str, most: usize, handle: impl FnOnce(SqsEvent) -> Fut) -> usize
    where
        Fut: Future<Output = SqsBatchResponse>,
    {
        // A larger batch consists of several receives of at most ten messages each, as with Lambda's poller.
        let mut messages = self.stack.aws.sqs().receive(queue, most, None);
        while most > BATCH && !messages.is_empty() && messages.len() < most {
            let more = self.stack.aws.sqs().receive(queue, most - messages.len(), None);
            if more.is_empty() {
                break;
            }
            messages.extend(more);
        }
        if !messages.is_empty() {
            let response = handle(event(&messages)).await;
            self.acknowledge(queue, &messages, &response);
        }
        messages.len()
    }

    fn acknowledge(&self, queue: &str, messages: &[Message], response: &SqsBatchResponse) {
        let failed: Vec<&str> =
            response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        for message in messages.iter().filter(|message| !failed.contains(&message.id.as_str())) {
            self.stack.aws.sqs().delete(queue, &message.receipt);
        }
    }
}

fn send_timeout() -> SignedDuration {
    SignedDuration::try_from(SEND_FUNCTION_TIMEOUT).unwrap_or(SignedDuration::MAX)
}

fn event(messages: &[Message]) -> SqsEvent {
    let mut event = SqsEvent::default();
    event.records = messages.iter().map(record).collect();
    event
}

fn record(message: &Message) -> SqsMessage {
    let mut record = SqsMessage::default();
    record.message_id = Some(message.id.clone());
    record.receipt_handle = Some(message.receipt.clone());
    record.body = Some(message.body.clone());
    record.aws_region = Some(crate::aws::REGION.to_owned());
    record.event_source = Some("aws:sqs".to_owned());
    for (name, value) in message.attributes() {
        if let Value::String(value) = value {
            record.attributes.insert(name, value);
        }
    }
    record
}
