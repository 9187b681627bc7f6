//! How long this node may send a batch of marks: no request goes to Wonde once another node may hold the batch.

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
    static WRITING: Arc<WriteLease>;
}

/// Until when this node holds a batch, by the machine's clock: a process that was frozen finds it expired.
pub(crate) struct WriteLease {
    until: Mutex<Instant>,
    /// A request must be sent this long before the end, because it takes a while to arrive.
    margin: Duration,
    /// A request was held back.
    over: AtomicBool,
}

/// The lease has expired: another node may hold the batch, and nothing more may be sent.
pub(crate) struct LeaseExpired;

impl WriteLease {
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

    /// Whether no other node can hold the batch for a while.
    fn holds(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        Instant::now() + self.margin < until
    }

    /// Whether a request was held back because the lease had expired. Such a request was not sent.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Runs a write. None of its requests is sent once the lease has expired: the new holder may have sent newer marks,
    /// which an old one must not replace. Answers received before that still count.
    pub(crate) async fn write<T>(
        self: &Arc<Self>,
        write: impl Future<Output = T>,
    ) -> Result<T, LeaseExpired> {
        if !self.holds() {
            return Err(LeaseExpired);
        }
        Ok(WRITING.scope(self.clone(), write).await)
    }
}

/// A gate that lets a write's request pass only while its lease holds. The wait at the gate may be long, and this is
/// the last moment before the request is sent.
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

    fn lease(length: Duration) -> Arc<WriteLease> {
        Arc::new(WriteLease::new(Instant::now(), length))
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
