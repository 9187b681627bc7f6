//! One `markback serve`: started, killed, frozen and woken.

use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use super::Env;
use crate::program::serve;

/// A place for a node, with or without one in it.
#[derive(Debug)]
pub struct Node {
    program: String,
    child: Option<Child>,
    address: Option<String>,
}

impl Node {
    /// An empty place.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            child: None,
            address: None,
        }
    }

    /// Where it listens, while there is one.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Starts one and waits until it listens. It does not while the store is away: then it is tried again until it does.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub async fn start(&mut self, env: &Env) {
        let (settings, log) = (env.settings(), env.path("log"));
        while self.address.is_none() {
            self.try_start(Command::new(&self.program), &settings, &log)
                .await;
            if self.address.is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Starts one by this command, which is given its arguments. Whether it listens, [`Node::address`] says.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub async fn try_start(&mut self, command: Command, settings: &Path, log: &Path) {
        let (child, address) = serve(command, settings, "info", log).await;
        self.child = Some(child);
        if address.starts_with("http://127.0.0.1:") {
            self.address = Some(address);
        } else {
            self.end();
        }
    }

    /// `kill -9`.
    pub fn end(&mut self) {
        self.address = None;
        if let Some(mut child) = self.child.take() {
            // Gone already, if it ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP: it stands still wherever it is.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: it goes on as if nothing had been.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn wake(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            let sent = Command::new("kill")
                .args([signal, &child.id().to_string()])
                .status();
            assert!(sent.unwrap().success());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}
