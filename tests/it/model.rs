//! The send protocol as an explicit-state search (`docs/reliability.md#section-2-3-6`): two or three workers, crashes,
//! duplicate deliveries, stalls, lost replies, late and repeated webhooks, in every order. The search must not find a
//! second accepted send, a sent message with another final state, or a message that stays in flight for ever.
//!
//! Pure decisions are the shipped code (`SendFacts::next_step`). The rest repeats the conditions of `storage::attempt`.
//! Each planted bug removes one of them.

use std::collections::{BTreeMap, HashSet, VecDeque};

use shared::clock::at_millis;
use shared::domain::ids::{ClaimId, ProviderMessageId};
use shared::domain::sending::outbound::{Claim, NextStep, SendFacts, SendState};

/// Deviations of a variant from the shipped protocol.
#[derive(Debug, Clone, Copy, Default)]
struct Rules {
    workers: usize,
    crashes: u8,
    duplicates: u8,
    wires: u8,
    no_claim: bool,
    unfenced: bool,
    retry_on_doubt: bool,
    thief_resends: bool,
    acknowledged_first: bool,
    record_without_state: bool,
    webhook_ignored: bool,
    doubt_overwrites_sent: bool,
    resend_without_proof: bool,
    resend_while_zombies_live: bool,
    lease_never_ends: bool,
    sweep_sends_in_flight: bool,
}

const SHIPPED: Rules = Rules {
    workers: 2,
    crashes: 2,
    duplicates: 1,
    wires: 3,
    no_claim: false,
    unfenced: false,
    retry_on_doubt: false,
    thief_resends: false,
    acknowledged_first: false,
    record_without_state: false,
    webhook_ignored: false,
    doubt_overwrites_sent: false,
    resend_without_proof: false,
    resend_while_zombies_live: false,
    lease_never_ends: false,
    sweep_sends_in_flight: false,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Worker {
    Idle,
    Received,
    /// Holds this claim; has not called yet.
    Claimed(u8),
    /// Called under this claim, with this knowledge of the outcome.
    Called(u8, Heard),
    /// Recorded; the queue message is not deleted yet.
    Recorded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Heard {
    Accepted,
    Nothing,
    Rejected,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    state: SendState,
    /// The latest claim; 0: none.
    claim: u8,
    lease_over: bool,
    proven: bool,
    workers: Vec<Worker>,
    /// Queue messages that can be received.
    queued: u8,
    accepted: u8,
    /// Statuses to be delivered: one per send, delivered twice, at any time.
    webhooks: u8,
    crashes: u8,
    duplicates: u8,
    wires: u8,
    resends: u8,
}

impl World {
    fn start(rules: &Rules) -> Self {
        Self {
            state: SendState::Queued,
            claim: 0,
            lease_over: false,
            proven: false,
            workers: vec![Worker::Idle; rules.workers],
            queued: 1,
            accepted: 0,
            webhooks: 0,
            crashes: 0,
            duplicates: 0,
            wires: 0,
            resends: 0,
        }
    }

    /// Returns the shipped decision for this state.
    fn decide(&self) -> NextStep {
        let lease_until = at_millis(if self.lease_over { 1 } else { 1_000 });
        let claim =
            (self.claim > 0).then(|| Claim { id: claim_id(self.claim), lease_until, attempt: u32::from(self.claim) });
        let wamid = self.proven.then(|| ProviderMessageId::parse("wamid.1").unwrap());
        let facts = SendFacts { state: self.state, claim, wamid, ..SendFacts::of_new() };
        facts.next_step(at_millis(500), at_millis(0), at_millis(10_000))
    }

    /// Whether no worker with an old claim can still call.
    fn zombies_dead(&self) -> bool {
        !self.workers.iter().any(|worker| matches!(worker, Worker::Claimed(_)))
    }

    fn next(&self, rules: &Rules) -> Vec<(&'static str, Self)> {
        let mut out = Vec::new();
        let mut step = |name: &'static str, change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            out.push((name, next));
        };
        if self.duplicates < rules.duplicates && self.queued < 2 {
            step("delivered twice", &|w| {
                w.duplicates += 1;
                w.queued += 1;
            });
        }
        if self.state == SendState::InFlight && !self.lease_over && !rules.lease_never_ends {
            step("lease ends", &|w| w.lease_over = true);
        }
        if self.webhooks > 0 {
            step("status", &|w| {
                w.webhooks -= 1;
                if !rules.webhook_ignored {
                    w.state = SendState::Sent;
                    w.proven = true;
                }
            });
        }
        let listed = match self.state {
            SendState::Queued => true,
            SendState::InFlight => rules.sweep_sends_in_flight,
            _ => false,
        };
        let nobody = self.queued == 0 && self.workers.iter().all(|worker| *worker == Worker::Idle);
        if listed && nobody {
            step("sweep puts back", &|w| w.queued += 1);
        }
        if self.state == SendState::InFlight && self.lease_over && !self.proven {
            step("sweep doubts", &|w| w.state = SendState::Unknown);
        }
        let may_resend = rules.resend_without_proof || (rules.resend_while_zombies_live && self.accepted == 0);
        let window = self.zombies_dead() || rules.resend_while_zombies_live;
        if self.state == SendState::Unknown && !self.proven && may_resend && window && self.resends == 0 {
            step("sent again after a doubt", &|w| {
                w.state = SendState::Queued;
                w.resends += 1;
                w.queued += 1;
            });
        }
        for place in 0..self.workers.len() {
            self.worker(place, rules, &mut out);
        }
        out
    }

    fn worker(&self, place: usize, rules: &Rules, out: &mut Vec<(&'static str, Self)>) {
        let mut step = |name: &'static str, change: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            out.push((name, next));
        };
        let at = self.workers[place];
        if at != Worker::Idle && self.crashes < rules.crashes {
            step("crash", &|w| {
                w.crashes += 1;
                w.workers[place] = Worker::Idle;
                if !rules.acknowledged_first {
                    w.queued += 1;
                }
            });
        }
        match at {
            Worker::Idle if self.queued > 0 => step("received", &|w| {
                w.queued -= 1;
                w.workers[place] = Worker::Received;
            }),
            Worker::Idle => {}
            Worker::Received => match self.decide() {
                _ if rules.no_claim && !self.proven && self.state != SendState::Sent => {
                    step("goes on without a claim", &|w| {
                        w.claim += 1;
                        w.workers[place] = Worker::Claimed(w.claim);
                    });
                }
                NextStep::Claim => step("claims", &|w| {
                    w.claim += 1;
                    w.state = SendState::InFlight;
                    w.lease_over = false;
                    w.workers[place] = Worker::Claimed(w.claim);
                }),
                NextStep::Doubt(_) if rules.thief_resends => step("takes over the claim", &|w| {
                    w.claim += 1;
                    w.lease_over = false;
                    w.workers[place] = Worker::Claimed(w.claim);
                }),
                NextStep::Doubt(_) => step("doubts", &|w| {
                    w.state = SendState::Unknown;
                    w.workers[place] = Worker::Recorded;
                }),
                // Not its turn: the job returns to the queue.
                NextStep::WaitUntil(_) => step("waits", &|w| {
                    w.workers[place] = Worker::Idle;
                    w.queued += 1;
                }),
                NextStep::Done | NextStep::Expire => step("nothing to do", &|w| w.workers[place] = Worker::Recorded),
            },
            Worker::Claimed(claim) if self.wires < rules.wires => {
                for (name, heard, effect) in [
                    ("accepted", Heard::Accepted, true),
                    ("accepted, reply lost", Heard::Nothing, true),
                    ("request lost", Heard::Nothing, false),
                    ("rejected for now", Heard::Rejected, false),
                ] {
                    step(name, &|w| {
                        w.wires += 1;
                        w.accepted += u8::from(effect);
                        w.webhooks += if effect { 2 } else { 0 };
                        w.workers[place] = Worker::Called(claim, heard);
                    });
                }
            }
            Worker::Claimed(_) => {}
            Worker::Called(claim, heard) => step("records", &|w| {
                let fenced = w.claim == claim && w.state == SendState::InFlight;
                let may = fenced || rules.unfenced || (rules.record_without_state && w.claim == claim);
                let may = may || (rules.doubt_overwrites_sent && heard == Heard::Nothing);
                match heard {
                    Heard::Accepted => {
                        w.state = SendState::Sent;
                        w.proven = true;
                    }
                    Heard::Nothing if may && rules.retry_on_doubt => {
                        w.state = SendState::Queued;
                        w.queued += 1;
                    }
                    Heard::Nothing if may => {
                        w.state = SendState::Unknown;
                        w.proven &= !(rules.unfenced || rules.doubt_overwrites_sent || rules.record_without_state);
                    }
                    Heard::Rejected if may => {
                        w.state = SendState::Queued;
                        w.proven &= !(rules.unfenced || rules.record_without_state);
                        w.queued += u8::from(w.queued == 0);
                    }
                    Heard::Nothing | Heard::Rejected => {}
                }
                w.workers[place] = Worker::Recorded;
            }),
            Worker::Recorded => step("acknowledges", &|w| w.workers[place] = Worker::Idle),
        }
    }

    /// Returns the violation of a state, if any. `quiet`: nothing more can happen except repetitions.
    fn wrong(&self, quiet: bool) -> Option<String> {
        if self.accepted > 1 {
            return Some(format!("accepted {} times", self.accepted));
        }
        if quiet && self.accepted == 1 && self.state != SendState::Sent {
            return Some(format!("sent, and recorded as {:?}", self.state));
        }
        if quiet && self.state == SendState::InFlight {
            return Some("in flight for ever".to_owned());
        }
        None
    }
}

fn claim_id(number: u8) -> ClaimId {
    ClaimId::parse(&format!("clm_0000000000000000000000000{}", number.min(9))).unwrap()
}

/// Searches all reachable states. Returns their number, the highest number of accepted sends, and the shortest path to
/// a violation.
fn search(rules: &Rules) -> (usize, u8, Option<(String, Vec<&'static str>)>) {
    let start = World::start(rules);
    let mut seen: HashSet<World> = HashSet::from([start.clone()]);
    let mut came: BTreeMap<usize, (usize, &'static str)> = BTreeMap::new();
    let mut worlds = vec![start];
    let mut line: VecDeque<usize> = VecDeque::from([0]);
    let mut most = 0;
    let mut found = None;
    while let Some(place) = line.pop_front() {
        let world = worlds[place].clone();
        most = most.max(world.accepted);
        let next = world.next(rules);
        // Quiet: only repeated events remain, and no worker is active.
        let quiet = next.iter().all(|(_, next)| *next == world);
        if found.is_none()
            && let Some(wrong) = world.wrong(quiet)
        {
            let (mut way, mut at) = (Vec::new(), place);
            while let Some((before, name)) = came.get(&at) {
                way.push(*name);
                at = *before;
            }
            way.reverse();
            found = Some((wrong, way));
        }
        for (name, next) in next {
            if seen.insert(next.clone()) {
                worlds.push(next);
                came.insert(worlds.len() - 1, (place, name));
                line.push_back(worlds.len() - 1);
            }
        }
    }
    (worlds.len(), most, found)
}

#[test]
fn hold_never_sends_twice_in_any_order_of_events() {
    for workers in [2, 3] {
        let rules = Rules { workers, crashes: u8::try_from(workers).unwrap(), ..SHIPPED };
        let (states, most, wrong) = search(&rules);
        assert_eq!(wrong, None);
        assert_eq!(most, 1);
        println!("hold, {workers} workers, {workers} crashes: {states} states, at most {most} accepted");
    }
}

#[test]
fn every_planted_bug_is_found() {
    type Plant = fn(&mut Rules);
    let bugs: [(&str, Plant); 11] = [
        ("no claim, retry on doubt", |r| (r.no_claim, r.retry_on_doubt) = (true, true)),
        ("no claim", |r| r.no_claim = true),
        ("claim, retry on doubt", |r| r.retry_on_doubt = true),
        ("claim with lease, thief re-sends", |r| r.thief_resends = true),
        ("records not fenced", |r| r.unfenced = true),
        ("records fenced by the claim but not by the state", |r| r.record_without_state = true),
        ("a doubt overwrites what a webhook proved", |r| r.doubt_overwrites_sent = true),
        ("webhooks do not settle doubts", |r| r.webhook_ignored = true),
        ("re-send after a window without proof", |r| r.resend_without_proof = true),
        ("re-send with proof while zombies live", |r| r.resend_while_zombies_live = true),
        ("a lease that never ends", |r| r.lease_never_ends = true),
    ];
    for (name, plant) in bugs {
        let mut rules = SHIPPED;
        plant(&mut rules);
        let (states, most, wrong) = search(&rules);
        let Some((wrong, way)) = wrong else { panic!("{name}: not found in {states} states") };
        println!("{name}: {wrong} after {} steps, {states} states, at most {most} accepted", way.len());
    }
}
