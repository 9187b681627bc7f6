//! Servers that violate HTTP: they cut the connection, do not respond, or announce an excessive length.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A server that reads a request, sends these bytes, and then cuts the connection or holds it open.
pub(crate) struct Wire {
    pub(crate) base: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy)]
pub(crate) enum Then {
    Cut,
    Silence,
}

impl Wire {
    pub(crate) async fn start(bytes: &'static str, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1.0", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                read_request(&mut stream).await;
                counter.fetch_add(1, Ordering::SeqCst);
                stream.write_all(bytes.as_bytes()).await.unwrap();
                match then {
                    Then::Cut => drop(stream),
                    Then::Silence => open.push(stream),
                }
            }
        });
        Self {
            base,
            requests,
            task,
        }
    }

    /// The number of requests.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the head and the body, so that the complete request was sent before the cut.
async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(read > 0, "the request ended in its head");
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(0, |length| length.trim().parse().unwrap());
        if body.len() >= length {
            return;
        }
    }
}
