//! Clients that treat the API badly: they read slowly, break off, send byte by byte, or send too much.
//!
//! The benchmark runs them beside a flow of events, and a test of the whole system checks what they are answered.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// The receive buffer of a client, small so that the service's answers soon wait in its own.
const BUFFER: u32 = 4 * 1024;
/// How long a client waits before it connects again, so that a service that refuses it is not asked all the time.
const AGAIN: Duration = Duration::from_millis(50);
/// How often a slow client reads or sends a little.
const PACE: Duration = Duration::from_millis(200);
/// How much a slow reader reads at once.
const SIP: usize = 64;
/// How long a client reads nothing before it connects again: longer than the service waits for it.
const READS_NOTHING_FOR: Duration = Duration::from_secs(45);
/// The body that is announced by those who send slowly or break off.
const BODY: usize = 100_000;
/// The body that is announced by those who send too much.
const LARGE_BODY: usize = 64 * 1024 * 1024;
/// The longest head of an answer.
const HEAD_MAX: usize = 16 * 1024;
/// How long an answer to a whole request may take; the service allows itself less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whom the clients ask.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the service listens.
    pub address: SocketAddr,
    /// A key of the API.
    pub key: String,
    /// The id of a school of its settings.
    pub school: String,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Asks for a long answer and reads it a little at a time.
    ReadsSlowly,
    /// Follows the feed and reads nothing.
    ReadsNothing,
    /// Announces a body, sends half of it, and closes the connection.
    BreaksOff,
    /// Announces a body and sends it byte by byte.
    Trickles,
    /// Sends a body that is far too large.
    SendsTooMuch,
}

const HABITS: [Habit; 5] = [
    Habit::ReadsSlowly,
    Habit::ReadsNothing,
    Habit::BreaksOff,
    Habit::Trickles,
    Habit::SendsTooMuch,
];

/// What the clients met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// How often they connected.
    pub connections: u64,
    /// The answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Connections that were closed before an answer, by the service or by the client.
    pub unanswered: u64,
    /// Answers with the status 429 or 503 and without the header `Retry-After`.
    pub without_retry_after: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.unanswered += other.unanswered;
        self.without_retry_after += other.without_retry_after;
        for (status, count) in &other.answers {
            *self.answers.entry(*status).or_default() += count;
        }
    }

    fn answered(&mut self, head: Option<&Head>) {
        let Some(head) = head else {
            self.unanswered += 1;
            return;
        };
        *self.answers.entry(head.status).or_default() += 1;
        if matches!(head.status, 429 | 503) && !head.has_retry_after {
            self.without_retry_after += 1;
        }
    }
}

/// Running clients.
#[derive(Debug)]
pub struct Hostile {
    clients: JoinSet<Tally>,
    stop: watch::Sender<bool>,
}

impl Hostile {
    /// Starts so many clients, of each kind as many. Each connects again when its connection ends.
    pub fn start(target: Target, count: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let target = Arc::new(target);
        let mut clients = JoinSet::new();
        for habit in HABITS.into_iter().cycle().take(count) {
            clients.spawn(run(target.clone(), habit, stopped.clone()));
        }
        Self { clients, stop }
    }

    /// Stops them.
    pub async fn end(mut self) -> Tally {
        self.stop.send_replace(true);
        let mut all = Tally::default();
        while let Some(one) = self.clients.join_next().await {
            all.add(&one.unwrap_or_default());
        }
        all
    }
}

async fn run(target: Arc<Target>, habit: Habit, mut stop: watch::Receiver<bool>) -> Tally {
    let mut tally = Tally::default();
    while !*stop.borrow() {
        tally.connections += 1;
        let mut head = None;
        tokio::select! {
            // A connection that breaks is what many of these clients want.
            _ = visit(&target, habit, &mut head) => tally.answered(head.as_ref()),
            _ = stop.changed() => {
                if head.is_some() {
                    tally.answered(head.as_ref());
                }
                break;
            }
        }
        tokio::select! {
            () = sleep(AGAIN) => {}
            _ = stop.changed() => {}
        }
    }
    tally
}

/// The start of an answer.
#[derive(Debug)]
struct Head {
    status: u16,
    has_retry_after: bool,
}

/// One connection. Fills in the answer as soon as its head is there.
async fn visit(target: &Target, habit: Habit, head: &mut Option<Head>) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER)?;
    let mut stream = socket.connect(target.address).await?;
    let events = format!("/v1/schools/{}/events", target.school);
    match habit {
        Habit::ReadsSlowly => {
            let path = format!("{events}?limit=1000");
            ask(&mut stream, target, "GET", &path, None).await?;
            *head = read_head(&mut stream).await?;
            let mut sip = [0; SIP];
            while stream.read(&mut sip).await? > 0 {
                sleep(PACE).await;
            }
        }
        Habit::ReadsNothing => {
            ask(&mut stream, target, "GET", "/v1/feed/stream?after=f0", None).await?;
            *head = read_head(&mut stream).await?;
            // The end of the connection cannot be seen either.
            sleep(READS_NOTHING_FOR).await;
        }
        Habit::BreaksOff => {
            ask(&mut stream, target, "POST", &events, Some(BODY)).await?;
            stream.write_all(&vec![b' '; BODY / 2]).await?;
            if timeout(PACE, stream.readable()).await.is_ok() {
                *head = read_head(&mut stream).await?;
            }
        }
        Habit::Trickles => {
            ask(&mut stream, target, "POST", &events, Some(BODY)).await?;
            loop {
                stream.write_all(b" ").await?;
                if timeout(PACE, stream.readable()).await.is_ok() {
                    *head = read_head(&mut stream).await?;
                    break;
                }
            }
        }
        Habit::SendsTooMuch => {
            ask(&mut stream, target, "POST", &events, Some(LARGE_BODY)).await?;
            let (mut reader, mut writer) = stream.split();
            let send = async {
                let part = vec![b' '; 64 * 1024];
                for _ in 0..LARGE_BODY / part.len() {
                    if writer.write_all(&part).await.is_err() {
                        break;
                    }
                }
                // The answer is still to come, or the connection was closed.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                answer = timeout(PATIENCE, read_head(&mut reader)) => {
                    *head = answer.map_err(|_| io::ErrorKind::TimedOut)??;
                }
                () = send => {}
            }
        }
    }
    Ok(())
}

async fn ask(
    stream: &mut TcpStream,
    target: &Target,
    method: &str,
    path: &str,
    length: Option<usize>,
) -> io::Result<()> {
    let length = length.map_or_else(String::new, |length| {
        format!("content-length: {length}\r\n")
    });
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: markback\r\nauthorization: Bearer {}\r\n{length}\r\n",
        target.key
    );
    stream.write_all(request.as_bytes()).await
}

/// Reads the head of an answer; `None` if the connection ends before it.
async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Option<Head>> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if read.len() > HEAD_MAX || stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        read.extend(byte);
    }
    let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(status.map(|status| Head {
        status,
        has_retry_after: text.contains("\r\nretry-after:"),
    }))
}
