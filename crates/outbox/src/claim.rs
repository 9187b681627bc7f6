//! Taking jobs out to work on them: leases, batches of one lane, and what a clock that was set back does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::database::Tx;
use crate::enqueue::json;
use crate::error::Result;
use crate::job::{Batch, ClaimRequest, Claimed, Held, JobId};
use crate::on_tx;
use crate::outbox::{Outbox, time};
use crate::settings::ms;
use crate::sql::Sql;

/// A clock may go back by this much without being noticed: several nodes' clocks, and small corrections.
const CLOCK_SLACK_MS: i64 = 1000;
/// How many due jobs are looked at for paused lanes at a time, and how often in one claim.
const PARK_WINDOW: i64 = 500;
const PARK_ROUNDS: usize = 8;

pub(crate) static LOOK: Sql = Sql::new(
    "SELECT CAST({now} AS BIGINT), (SELECT count(*) FROM outbox_pauses WHERE until_at > {now})",
);

/// Moves due jobs of paused lanes out of the way, to the end of the pause, so that claims need not step over them again
/// and again. The pauses are locked against being lifted meanwhile: whoever lifts one afterwards sees what was parked.
pub(crate) static PARK: Sql = Sql::new(
    "WITH front AS MATERIALIZED (\
         SELECT j.id FROM outbox_jobs j WHERE j.queue = $2 AND j.state = 0 AND j.due_at <= {now} \
         ORDER BY j.due_at, j.seq LIMIT $3), \
     stop AS MATERIALIZED (\
         SELECT p.lane, p.until_at FROM outbox_pauses p WHERE p.until_at > {now} {|FOR SHARE}), \
     parked AS MATERIALIZED (\
         SELECT j.id, (SELECT max(s.until_at) FROM stop s WHERE s.lane = j.lane OR s.lane = j.second_lane) AS until_at \
         FROM outbox_jobs j WHERE j.id {IN (SELECT id FROM front)|= ANY (ARRAY (SELECT id FROM front))} \
           AND {any int j.state} = 0 AND j.held <> 1 AND j.due_at <= {now} \
           AND (j.lane IN (SELECT lane FROM stop) OR j.second_lane IN (SELECT lane FROM stop)) {lock j}) \
     UPDATE outbox_jobs SET held = 2, due_at = p.until_at, set_at = {now} \
     FROM parked p WHERE outbox_jobs.id = p.id",
);

/// What makes a job `j` of queue `$2` claimable. That nothing older is open in its line is asked as a value that is
/// null, which no planner turns into a join over all open jobs.
macro_rules! claimable {
    ($open:literal, $due:literal, $except:literal) => {
        concat!(
            "j.queue = $2 AND ",
            $open,
            " AND j.due_at <= ",
            $due,
            " AND j.lane NOT IN (SELECT lane FROM outbox_pauses WHERE until_at > {now})",
            " AND j.second_lane NOT IN (SELECT lane FROM outbox_pauses WHERE until_at > {now})",
            $except,
            " AND (j.order_key IS NULL OR (SELECT o.id FROM outbox_jobs o WHERE o.order_key = j.order_key",
            " AND {open in line o} AND {any text o.queue} = j.queue AND o.seq < j.seq ORDER BY o.seq LIMIT 1) IS NULL)"
        )
    };
}

macro_rules! claim {
    ($open:literal, $except:literal) => {
        concat!(
            "WITH picked AS MATERIALIZED (SELECT j.id FROM outbox_jobs j WHERE ",
            claimable!($open, "{now}", $except),
            " ORDER BY j.due_at, j.seq LIMIT $3 {lock j}) ",
            "UPDATE outbox_jobs SET fence = fence + 1, attempts = attempts + 1, ",
            "lapsed = CASE WHEN held = 1 THEN 1 ELSE lapsed END, held = 1, ",
            "due_at = {now} + $4, set_at = {now} ",
            "WHERE id {IN (SELECT id FROM picked)|= ANY (ARRAY (SELECT id FROM picked))} ",
            "RETURNING id, seq, fence, attempts, key, order_key, lane, second_lane, created_at, lapsed, note, payload"
        )
    };
}

pub(crate) static CLAIM: Sql = Sql::new(claim!(
    "j.state = 0",
    " AND j.lane NOT IN {rows $5: lane text} AND {1 = 1|(hashtext(j.lane)::bigint & 2147483647) % $6 = $7} \
      AND j.due_at <= {now} - $8"
));
pub(crate) static CLAIM_LANE: Sql = Sql::new(claim!("{open in lane j} AND j.lane = $5", ""));

pub(crate) static OLDEST_LANE: Sql = Sql::new(concat!(
    "SELECT j.lane FROM outbox_jobs j WHERE ",
    claimable!(
        "j.state = 0",
        "{now} - $3",
        " AND j.lane NOT IN {rows $4: lane text} AND {1 = 1|(hashtext(j.lane)::bigint & 2147483647) % $5 = $6}"
    ),
    " ORDER BY j.due_at, j.seq LIMIT 1 {lock j}"
));

pub(crate) static FULL_LANE: Sql = Sql::new(concat!(
    "SELECT j.lane FROM outbox_jobs j WHERE ",
    claimable!(
        "j.state = 0",
        "{now}",
        " AND j.lane NOT IN {rows $4: lane text} AND {1 = 1|(hashtext(j.lane)::bigint & 2147483647) % $5 = $6}"
    ),
    " GROUP BY j.lane HAVING count(*) >= $3 ORDER BY min(j.due_at) LIMIT 1"
));

/// After the clock was set back, what was to wait for a while waits as long as it still should, counted from now;
/// what the host wanted at a certain time keeps that time.
pub(crate) static HEAL_JOBS: Sql = Sql::new(
    "UPDATE outbox_jobs SET due_at = {greatest}(run_at, {now} + (due_at - set_at)), set_at = {now} \
     WHERE state = 0 AND set_at > {now} + $2 AND due_at > {now}",
);
pub(crate) static HEAL_PAUSES: Sql = Sql::new(
    "UPDATE outbox_pauses SET until_at = {now} + (until_at - set_at), set_at = {now} \
     WHERE set_at > {now} + $2 AND until_at > {now}",
);

/// A claimed row, in the order of `RETURNING` in [`CLAIM`].
type Row = (
    i64,
    i64,
    i64,
    i64,
    String,
    Option<String>,
    String,
    String,
    i64,
    i64,
    Option<String>,
    String,
);

impl Outbox {
    /// Claims jobs of `queue`, in a transaction of its own. An empty answer means that nothing is claimable now.
    ///
    /// Claimable is what is due, in no paused lane and in none that the request leaves out, first in its line, and held by nobody, or by somebody whose lease
    /// has lapsed. Each claim counts as an attempt and gets a new fence, oldest jobs first.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn claim(&self, queue: &str, request: &ClaimRequest) -> Result<Vec<Claimed>> {
        let mut tx = self.inner.db.begin().await?;
        let claimed = self.claim_in(&mut tx, queue, request).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// As [`Outbox::claim`], within the host's transaction: completing one batch and claiming the next then cost one commit.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn claim_in(
        &self,
        tx: &mut Tx,
        queue: &str,
        request: &ClaimRequest,
    ) -> Result<Vec<Claimed>> {
        if request.limit == 0 {
            return Ok(Vec::new());
        }
        let pauses = self.look(tx).await?;
        if pauses > 0 {
            self.park(tx, queue).await?;
        }
        let engine = tx.engine();
        let mut rows: Vec<Row> = match request.batch {
            Batch::Mixed => {
                let (text, lanes) = (CLAIM.on(engine), Lanes::of(request)?);
                on_tx!(tx, conn => {
                    sqlx::query_as(text)
                        .bind(self.now_bind())
                        .bind(queue)
                        .bind(i64::from(request.limit))
                        .bind(ms(request.lease))
                        .bind(lanes.except)
                        .bind(lanes.parts)
                        .bind(lanes.part)
                        .bind(ms(request.overdue))
                        .fetch_all(conn)
                        .await
                })?
            }
            Batch::OneLane { gather } => {
                let Some(lane) = self.choose_lane(tx, queue, request, gather).await? else {
                    return Ok(Vec::new());
                };
                let text = CLAIM_LANE.on(engine);
                on_tx!(tx, conn => {
                    sqlx::query_as(text)
                        .bind(self.now_bind())
                        .bind(queue)
                        .bind(i64::from(request.limit))
                        .bind(ms(request.lease))
                        .bind(lane)
                        .fetch_all(conn)
                        .await
                })?
            }
        };
        rows.sort_unstable_by_key(|row| row.1);
        Ok(rows.into_iter().map(claimed).collect())
    }

    /// Notices a clock that was set back, and says how many pauses there are.
    async fn look(&self, tx: &mut Tx) -> Result<i64> {
        let text = LOOK.on(tx.engine());
        let (now, pauses): (i64, i64) = on_tx!(tx, conn => {
            sqlx::query_as(text).bind(self.now_bind()).fetch_one(conn).await
        })?;
        let before = self.inner.last_now.load(Ordering::Relaxed);
        // The first time nobody knows what the clock did while we were away.
        if before == 0 || now < before - CLOCK_SLACK_MS {
            self.heal(tx).await?;
            // Not before the healing is committed: after a rollback the next claim must heal again.
            let inner = Arc::clone(&self.inner);
            tx.once_kept(move || inner.last_now.store(now, Ordering::Relaxed));
        } else {
            self.inner.last_now.store(now, Ordering::Relaxed);
        }
        Ok(pauses)
    }

    async fn heal(&self, tx: &mut Tx) -> Result<()> {
        let engine = tx.engine();
        let mut healed = 0;
        for text in [HEAL_JOBS.on(engine), HEAL_PAUSES.on(engine)] {
            healed += on_tx!(tx, conn => {
                sqlx::query(text)
                    .bind(self.now_bind())
                    .bind(CLOCK_SLACK_MS)
                    .execute(conn)
                    .await
                    .map(|done| done.rows_affected())
            })?;
        }
        if healed > 0 {
            tracing::warn!(
                healed,
                "the store's clock was set back; jobs and pauses that waited for a later time were moved with it"
            );
        }
        Ok(())
    }

    async fn park(&self, tx: &mut Tx, queue: &str) -> Result<()> {
        let text = PARK.on(tx.engine());
        for _ in 0..PARK_ROUNDS {
            let parked = on_tx!(tx, conn => {
                sqlx::query(text)
                    .bind(self.now_bind())
                    .bind(queue)
                    .bind(PARK_WINDOW)
                    .execute(conn)
                    .await
                    .map(|done| done.rows_affected())
            })?;
            if i64::try_from(parked).unwrap_or(i64::MAX) < PARK_WINDOW {
                break;
            }
        }
        Ok(())
    }

    async fn choose_lane(
        &self,
        tx: &mut Tx,
        queue: &str,
        request: &ClaimRequest,
        gather: Duration,
    ) -> Result<Option<String>> {
        let engine = tx.engine();
        let lanes = Lanes::of(request)?;
        let waited = ms(gather + request.overdue);
        let oldest = self
            .lane_by(tx, OLDEST_LANE.on(engine), queue, waited, &lanes)
            .await?;
        if oldest.is_some() || gather.is_zero() || !request.overdue.is_zero() {
            return Ok(oldest);
        }
        let full = i64::from(request.limit);
        self.lane_by(tx, FULL_LANE.on(engine), queue, full, &lanes)
            .await
    }

    async fn lane_by(
        &self,
        tx: &mut Tx,
        text: &'static str,
        queue: &str,
        bound: i64,
        lanes: &Lanes,
    ) -> Result<Option<String>> {
        Ok(on_tx!(tx, conn => {
            sqlx::query_scalar(text)
                .bind(self.now_bind())
                .bind(queue)
                .bind(bound)
                .bind(&*lanes.except)
                .bind(lanes.parts)
                .bind(lanes.part)
                .fetch_optional(conn)
                .await
        })?)
    }
}

/// Which lanes a claim is for, as parameters.
struct Lanes {
    except: String,
    parts: i64,
    part: i64,
}

impl Lanes {
    fn of(request: &ClaimRequest) -> Result<Self> {
        let except: Vec<(&str,)> = request.except.iter().map(|lane| (&**lane,)).collect();
        Ok(Self {
            except: json(&except)?,
            parts: i64::from(request.share.parts.max(1)),
            part: i64::from(request.share.part),
        })
    }
}

fn claimed(row: Row) -> Claimed {
    let (
        id,
        _,
        fence,
        attempts,
        key,
        order_key,
        lane,
        second_lane,
        created_at,
        lapsed,
        note,
        payload,
    ) = row;
    // One that cannot be read fails at `parse`, where its host deals with it; here it would keep all others from being claimed.
    let payload = serde_json::from_str(&payload).unwrap_or_default();
    Claimed {
        held: Held {
            id: JobId(id),
            fence,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        },
        key,
        order_key,
        lane,
        second_lane,
        enqueued_at: time(created_at),
        lapsed: lapsed != 0,
        note,
        payload,
    }
}
