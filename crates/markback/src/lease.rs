//! How long a batch of marks is ours to send: nothing is sent once another node may have it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mis_core::{RequestGate, RequestHeldBack};

tokio::task_local! {
    /// The lease under which this task writes.
    static WRITING: Arc<Lease>;
}

/// Until when a batch is ours, by this machine's clock: a process that was frozen finds it over.
pub(crate) struct Lease {
    until: Mutex<Instant>,
    /// A request must be sent so long before the end, for it takes a while to arrive.
    margin: Duration,
    /// A request was held back.
    over: AtomicBool,
}

/// A batch was held for too long: somebody else may have it, and nothing more may be sent.
pub(crate) struct LeaseOver;

impl Lease {
    pub(crate) fn new(since: Instant, length: Duration) -> Self {
        Self {
            until: Mutex::new(since + length),
            margin: length / 3,
            over: AtomicBool::new(false),
        }
    }

    pub(crate) fn renewed(&self, since: Instant, length: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = since + length;
    }

    /// Whether nobody else can have it for a while.
    fn holds(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        Instant::now() + self.margin < until
    }

    /// Whether a request was held back, since the lease was over. What failed for that was not sent.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Runs a write, none of whose requests goes out once the lease is over: whoever has taken the marks over may have
    /// sent newer ones since, and an old mark must not land on those. What was answered before that is answered all the same.
    pub(crate) async fn write<T>(
        self: &Arc<Self>,
        write: impl Future<Output = T>,
    ) -> Result<T, LeaseOver> {
        if !self.holds() {
            return Err(LeaseOver);
        }
        Ok(WRITING.scope(self.clone(), write).await)
    }
}

/// A gate that lets a request of a write pass only while the write's lease holds. The wait at the gate may be long, and
/// this is the last moment before the request goes out.
pub(crate) fn while_held(gate: RequestGate) -> RequestGate {
    Arc::new(move || {
        let (pass, lease) = (gate(), WRITING.try_with(Arc::clone).ok());
        Box::pin(async move {
            pass.await?;
            match lease {
                Some(lease) if !lease.holds() => {
                    lease.over.store(true, Ordering::Relaxed);
                    Err(RequestHeldBack)
                }
                _ => Ok(()),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(length: Duration) -> Arc<Lease> {
        Arc::new(Lease::new(Instant::now(), length))
    }

    fn open() -> RequestGate {
        Arc::new(|| Box::pin(std::future::ready(Ok(()))))
    }

    #[tokio::test]
    async fn a_request_goes_out_while_the_lease_holds() {
        let gate = while_held(open());
        assert!(gate().await.is_ok());
        let lease = lease(Duration::from_secs(60));
        assert!(matches!(lease.write(gate()).await, Ok(Ok(()))));
        assert!(!lease.is_over());
    }

    #[tokio::test]
    async fn none_goes_out_when_the_lease_ended_at_the_gate() {
        let lease = lease(Duration::from_secs(60));
        let late = lease.clone();
        let gate = while_held(Arc::new(move || {
            let late = late.clone();
            Box::pin(async move {
                let now = Instant::now();
                late.renewed(now, Duration::ZERO);
                Ok(())
            })
        }));
        let write = lease.write(async { ("answered before", gate().await) });
        let Ok((before, held_back)) = write.await else {
            panic!("the lease held at first");
        };
        assert_eq!(
            (before, held_back),
            ("answered before", Err(RequestHeldBack))
        );
        assert!(lease.is_over());
    }

    #[tokio::test]
    async fn nothing_is_begun_shortly_before_the_end() {
        let lease = lease(Duration::ZERO);
        assert!(lease.write(async {}).await.is_err());
    }
}
