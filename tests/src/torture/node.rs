//! A `markback serve` process that can be killed, frozen and resumed.

use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use super::Env;
use crate::program::serve;

/// A node, running or not.
#[derive(Debug)]
pub struct Node {
    program: String,
    child: Option<Child>,
    address: Option<String>,
}

impl Node {
    /// Creates a node that is not running.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            child: None,
            address: None,
        }
    }

    /// Its base URL, while it runs.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Starts the node and waits until it listens. While the database is unavailable, the start is repeated.
    ///
    /// # Panics
    /// If the program cannot be run.
    pub async fn start(&mut self, env: &Env) {
        let (settings, log) = (env.settings_path(), env.path("log"));
        while self.address.is_none() {
            self.try_start(Command::new(&self.program), &settings, &log)
                .await;
            if self.address.is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Starts the node with this command, to which the arguments are added. [`Node::address`] tells whether it listens.
    ///
    /// # Panics
    /// If the program cannot be run.
    pub async fn try_start(&mut self, command: Command, settings: &Path, log: &Path) {
        let (child, address) = serve(command, settings, "info", log).await;
        self.child = Some(child);
        if address.starts_with("http://127.0.0.1:") {
            self.address = Some(address);
        } else {
            self.end();
        }
    }

    /// Kills the process with SIGKILL.
    pub fn end(&mut self) {
        self.address = None;
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends SIGSTOP, which freezes the process.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Sends SIGCONT, which resumes the process.
    ///
    /// # Panics
    /// If the signal cannot be sent.
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
