//! Replays: received webhooks are enqueued again from the archive, the quarantine or the dead-letter queue. Every fact
//! has its own identity, so storing it again changes nothing.
//!
//! A job processes one object, page or batch per step, and enqueues its continuation when time runs out. A repeated
//! step enqueues webhooks twice, which is harmless too.

use shared::clock::{SignedDuration, Timestamp, at_millis};
use shared::domain::accounts::account::Subject;
use shared::domain::event::{InboundEvent, InboundEventKind, QuarantineReason};
use shared::domain::ids::MetaAppId;
use shared::provider::meta::webhook;
use shared::queue::{InboundJob, InboundWork, Outcome, Packed, Payload, ReplayJob, ReplaySource};
use shared::storage::{ArchiveError, ReplayProgress, StoredQuarantinedItem};

use crate::Deps;
use crate::archive::{Unreadable, archive_folder, body};
use crate::contacts::known_number;
use crate::outcome::NotStored;

/// Minimum time left for another step: an object of ten webhooks, or a page of quarantined items.
const STEP_NEEDS: SignedDuration = SignedDuration::from_secs(20);
/// Quarantined items per page.
const PAGE: u16 = 25;
/// Milliseconds per hour; the archive has one folder per hour.
const HOUR: i64 = 3_600_000;

/// Runs a replay until it is complete or time runs out.
pub(crate) async fn run(deps: &Deps, mut job: ReplayJob, deadline: Timestamp) -> Outcome {
    let walked = walk(deps, &mut job, deadline).await;
    let done = match walked {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(event = "replay.stopped", replay = %job.id, %error);
            return Outcome::Failed;
        }
    };
    let done_at = done.then(|| deps.clock.now());
    let progress =
        ReplayProgress { tenant: job.tenant, period: job.period(), read: job.read, queued: job.queued, done_at };
    if let Err(error) = deps.table.replay_put(job.id, &progress).await {
        tracing::error!(event = "replay.not_noted", replay = %job.id, %error);
        return Outcome::Failed;
    }
    tracing::info!(event = "replay.walked", replay = %job.id, read = job.read, queued = job.queued, done);
    if done {
        return Outcome::Done;
    }
    let Ok(text) = job.encode() else { return Outcome::Failed };
    if deps.inbound.send(text, ReplayJob::GROUP).await.is_ok() { Outcome::Done } else { Outcome::Failed }
}

/// Returns `true` when nothing is left.
async fn walk(deps: &Deps, job: &mut ReplayJob, deadline: Timestamp) -> Result<bool, NotStored> {
    loop {
        if deadline.duration_since(deps.clock.now()) < STEP_NEEDS {
            return Ok(false);
        }
        let more = match job.source {
            ReplaySource::Archive => archive_step(deps, job).await?,
            ReplaySource::Quarantine => quarantine_step(deps, job).await?,
            ReplaySource::DeadLetters => dead_letters_step(deps, job).await?,
        };
        if !more {
            return Ok(true);
        }
    }
}

/// Processes one archived object, which is one batch. `at` is the hour and the last object read in it.
async fn archive_step(deps: &Deps, job: &mut ReplayJob) -> Result<bool, NotStored> {
    let hour = job.at.0.max(job.from.as_millisecond() / HOUR);
    let folder = archive_folder(at_millis(hour * HOUR));
    let after = job.at.1.as_deref().filter(|_| job.at.0 == hour);
    let Some(key) = deps.archive.list(&folder, after, 1).await?.pop() else {
        job.at = (hour + 1, None);
        return Ok((hour + 1) * HOUR < job.until.as_millisecond());
    };
    match deps.archive.get(&key).await {
        Ok(lines) => {
            for line in String::from_utf8_lossy(&lines).lines() {
                archived_line(deps, job, line).await?;
            }
        }
        // The object was deleted meanwhile, after eight days.
        Err(ArchiveError::Gone) => {}
        Err(error) => return Err(error.into()),
    }
    job.read += 1;
    job.at = (hour, Some(key));
    Ok(true)
}

async fn archived_line(deps: &Deps, job: &mut ReplayJob, line: &str) -> Result<(), NotStored> {
    let Ok(InboundWork::Webhook(webhook)) = InboundWork::decode(line) else { return Ok(()) };
    if webhook.received_at < job.from || webhook.received_at >= job.until {
        return Ok(());
    }
    if job.tenant.is_some() || job.number.is_some() || job.message.is_some() {
        let body = match body(deps, &webhook.payload).await {
            Ok(body) => body,
            Err(Unreadable::Never) => return Ok(()),
            Err(Unreadable::Later) => return Err(ArchiveError::Unavailable("large".to_owned()).into()),
        };
        if !any_asked_for(deps, job, &webhook::parse(&body, webhook.received_at)).await? {
            return Ok(());
        }
    }
    let again = InboundJob { replayed: true, done: 0, kept: None, ..webhook };
    queue(deps, job, &again).await
}

async fn queue(deps: &Deps, job: &mut ReplayJob, webhook: &InboundJob) -> Result<(), NotStored> {
    let text = webhook.encode().map_err(|_| shared::storage::StorageError::Refused("a job"))?;
    deps.inbound.send(text, ReplayJob::GROUP).await?;
    job.queued += 1;
    Ok(())
}

/// Whether any item matches the replay's filters.
async fn any_asked_for(deps: &Deps, job: &ReplayJob, events: &[InboundEvent]) -> Result<bool, NotStored> {
    for event in events {
        let said = &event.said;
        let of_number = job.number.as_ref().is_none_or(|number| said.number() == Some(number));
        let of_message = job.message.as_ref().is_none_or(|wamid| said.mentions(wamid));
        if of_number && of_message && of_tenant(deps, job, said).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn of_tenant(deps: &Deps, job: &ReplayJob, said: &InboundEventKind) -> Result<bool, NotStored> {
    let Some(tenant) = job.tenant else { return Ok(true) };
    let owner = match said {
        InboundEventKind::State(change) => match &change.subject {
            Subject::Waba(waba) | Subject::Template(waba, _) | Subject::NumberNamed(waba, _) => {
                deps.table.account_get_tenant(waba).await?
            }
            Subject::Number(_) | Subject::Portfolio(_) => None,
        },
        _ => None,
    };
    let number = known_number(deps, said.number()).await?.map(|number| number.tenant);
    Ok(owner.or(number) == Some(tenant))
}

/// Processes one page of quarantined items of one reason. `at` is the reason and the position in its list.
async fn quarantine_step(deps: &Deps, job: &mut ReplayJob) -> Result<bool, NotStored> {
    let place = usize::try_from(job.at.0).unwrap_or(usize::MAX);
    let Some(reason) = QuarantineReason::ALL.get(place) else { return Ok(false) };
    let page = deps.table.quarantine_list(*reason, PAGE, job.at.1.as_deref()).await?;
    for kept in page.items {
        job.read += 1;
        kept_item(deps, job, kept).await?;
    }
    job.at = if page.next.is_some() { (job.at.0, page.next) } else { (job.at.0 + 1, None) };
    Ok(true)
}

/// Enqueues a quarantined item. It is deleted after successful processing; otherwise it stays in quarantine.
async fn kept_item(deps: &Deps, job: &mut ReplayJob, kept: StoredQuarantinedItem) -> Result<(), NotStored> {
    if kept.received_at < job.from || kept.received_at >= job.until {
        return Ok(());
    }
    let raw = match (kept.raw, &kept.stored_at) {
        (Some(raw), _) => raw,
        (None, Some(key)) => match deps.archive.get(key).await {
            Ok(raw) => raw.to_vec(),
            Err(ArchiveError::Gone) => return Ok(()),
            Err(error) => return Err(error.into()),
        },
        (None, None) => return Ok(()),
    };
    // An item that could not be decoded or unpacked is a whole job, not a webhook body.
    if kept.what == "job" || kept.what == "payload" {
        if job.tenant.is_some() || job.number.is_some() || job.message.is_some() {
            return Ok(());
        }
        deps.inbound.send(String::from_utf8_lossy(&raw).into_owned(), ReplayJob::GROUP).await?;
        job.queued += 1;
        return Ok(());
    }
    if !any_asked_for(deps, job, &webhook::parse(&raw, kept.received_at)).await? {
        return Ok(());
    }
    let unpackable = |_| shared::storage::StorageError::Refused("a body that cannot be packed");
    let payload = match Payload::pack(&raw).map_err(|error| unpackable(error.kind()))? {
        Packed::Fits(payload) => payload,
        Packed::TooLarge(gzip) => Payload::Stored(deps.archive.put("large", gzip.into()).await?),
    };
    let app = MetaAppId::parse(ReplayJob::GROUP).map_err(|_| shared::storage::StorageError::Refused("an app name"))?;
    let kept = InboundJob { app, received_at: kept.received_at, payload, done: 0, replayed: true, kept: Some(kept.id) };
    queue(deps, job, &kept).await
}

/// Moves up to ten dead letters to the inbound queue. Each is deleted only after it was enqueued.
async fn dead_letters_step(deps: &Deps, job: &mut ReplayJob) -> Result<bool, NotStored> {
    let letters = deps.dead_letters.receive().await?;
    // SQS may return no messages although the queue is not empty.
    let more = !letters.is_empty() || deps.dead_letters.depth().await? > 0;
    for letter in letters {
        let group = if letter.group.is_empty() { ReplayJob::GROUP } else { &letter.group };
        deps.inbound.send(letter.body, group).await?;
        deps.dead_letters.delete(&letter.receipt).await?;
        job.read += 1;
        job.queued += 1;
    }
    Ok(more)
}
