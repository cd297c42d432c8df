//! Calls: many requests to one endpoint, a number of them open at once, whose answers are handed over as they come.
//!
//! Who makes the calls decides what is asked next, also by what was answered, and when to stop. Calls that are open then are
//! waited for, because they are paid for, but not for long: a service manager kills what has not stopped after a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::answer::Demand;
use super::client::{CallEnd, Endpoint};
use super::error::EndpointError;
use hilora_contract::artifact::ContentHash;

/// How often it is asked whether to stop.
const STOP_POLL: Duration = Duration::from_millis(50);
/// How long calls that are open at the stop are waited for.
const STOP_GRACE: Duration = Duration::from_secs(4);

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The caller's own number of it.
    pub number: usize,
    /// The request's own name, from which the pauses between its attempts derive.
    pub key: ContentHash,
    /// The JSON that is posted.
    pub body: String,
    /// What must hold of the answer.
    pub demand: Demand,
}

/// Who makes calls.
pub trait Caller {
    /// The next call; none if there is none to make before another has ended.
    fn next_call(&mut self) -> Option<Call>;

    /// Takes what has ended since it was last told.
    fn take(&mut self, ended: Vec<(Call, CallEnd)>);

    /// Whether to make no more calls.
    fn stops(&mut self) -> bool;
}

impl Endpoint {
    /// Makes a caller's calls, no more than `concurrency` at once, until there are none or it stops. An error is none of a
    /// call's: those are told as the ends of calls.
    pub fn make_calls(self, concurrency: usize, caller: &mut dyn Caller) -> Result<(), EndpointError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| EndpointError::Client(error.to_string()))?;
        runtime.block_on(make_all(&Arc::new(self), concurrency, caller))
    }
}

async fn make_all(endpoint: &Arc<Endpoint>, concurrency: usize, caller: &mut dyn Caller) -> Result<(), EndpointError> {
    let stopping = Arc::new(AtomicBool::new(false));
    let mut open: JoinSet<(Call, CallEnd)> = JoinSet::new();
    let mut stopped_at = None;
    loop {
        if caller.stops() {
            stopping.store(true, Ordering::SeqCst);
        }
        if stopping.load(Ordering::SeqCst) && stopped_at.get_or_insert_with(Instant::now).elapsed() > STOP_GRACE {
            // What is still open is not waited for; it is asked again the next time.
            open.abort_all();
            return Ok(());
        }
        while !stopping.load(Ordering::SeqCst) && open.len() < concurrency {
            let Some(call) = caller.next_call() else { break };
            let (endpoint, stopping) = (endpoint.clone(), stopping.clone());
            open.spawn(async move {
                let end = endpoint.ask(&call.key, &call.body, call.demand, &stopping).await;
                (call, end)
            });
        }
        if open.is_empty() {
            return Ok(());
        }
        let Ok(mut next) = tokio::time::timeout(STOP_POLL, open.join_next()).await else { continue };
        // Whatever else has ended by now is told at once, so that it can share one write.
        let mut ended = Vec::new();
        while let Some(end) = next {
            ended.push(end.map_err(|error| EndpointError::LostCall(error.to_string()))?);
            next = open.try_join_next();
        }
        caller.take(ended);
    }
}
