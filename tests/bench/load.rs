//! Load: offers the sandbox 3,300 signed webhooks per second for a minute, at fixed times, whether or not it keeps up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandbox::sandbox::{Options, Sandbox};
use shared::provider::meta::signature;
use shared::secret::Secret;
use tokio::sync::Semaphore;

use crate::percentile;

/// Webhooks per second, and duration in seconds. `BENCH_LOAD` overrides them, such as `1000x10`.
const OFFERED: (usize, usize) = (3_300, 60);
/// Maximum number of concurrent requests: as many as Meta would open.
const AT_ONCE: usize = 512;

pub(crate) async fn measure() -> Vec<(&'static str, String)> {
    let asked = shared::config::optional("BENCH_LOAD");
    let asked = asked.as_deref().and_then(|text| text.split_once('x'));
    let (rate, seconds) = asked.map_or(OFFERED, |(rate, seconds)| (rate.parse().unwrap(), seconds.parse().unwrap()));
    let sandbox = Sandbox::start(&Options::default()).await.unwrap();
    let ready = &sandbox.ready;
    let url = format!("{}/webhooks/meta/{}", ready.gateway, ready.app.id);
    let secret = Secret::new(ready.app.secret.clone());
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(AT_ONCE).build().unwrap();
    let (errors, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Mutex::new(Vec::new())));
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let total = rate * seconds;
    let since = Instant::now();
    let mut under_way = Vec::with_capacity(total);
    for index in 0..total {
        // Each webhook has a fixed due time, so a delay does not shift the later ones.
        let due = Duration::from_secs_f64(index as f64 / rate as f64);
        if let Some(early) = due.checked_sub(since.elapsed()) {
            tokio::time::sleep(early).await;
        }
        let body = crate::end_to_end::webhook(&ready.number.phone_number_id, index);
        let signed = signature::sign(&secret, body.as_bytes());
        let request = http.post(&url).header(signature::HEADER, signed).body(body);
        let permit = gate.clone().acquire_owned().await.unwrap();
        let (errors, done) = (errors.clone(), done.clone());
        under_way.push(tokio::spawn(async move {
            let began = Instant::now();
            let answered = request.send().await.is_ok_and(|answer| answer.status() == 200);
            errors.fetch_add(usize::from(!answered), Ordering::Relaxed);
            done.lock().await.push(began.elapsed().as_secs_f64() * 1e3);
            drop(permit);
        }));
    }
    for one in under_way {
        one.await.unwrap();
    }
    let took = since.elapsed().as_secs_f64();
    let mut times = std::mem::take(&mut *done.lock().await);
    times.sort_by(f64::total_cmp);
    while sandbox.metrics().total("inbound_stored") < total as u64 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let stored = since.elapsed().as_secs_f64();
    sandbox.stop().await.unwrap();
    vec![
        (
            "load: webhooks offered",
            format!("{rate} a second for {seconds} s; accepted {:.0} a second", total as f64 / took),
        ),
        (
            "load: answers",
            format!(
                "{} errors of {total}; p50 {:.1} ms, p99 {:.1} ms",
                errors.load(Ordering::Relaxed),
                percentile(&times, 50),
                percentile(&times, 99)
            ),
        ),
        ("load: all stored after", format!("{stored:.0} s, {:.0} a second", total as f64 / stored)),
    ]
}
