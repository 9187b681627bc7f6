//! Starting and stopping a sandbox.

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cut::{CuttableListener, Wire};
use crate::direct::Handle;
use crate::error::Error;
use crate::inner::Inner;
use crate::options::SandboxOptions;
use crate::rounds;
use crate::server;
use crate::webhooks;

/// The time that pending requests have when the sandbox stops.
const STOPPING: Duration = Duration::from_secs(2);

/// A running sandbox. Dropping it stops it immediately; [`Sandbox::stop`] finishes pending requests first.
#[derive(Debug)]
pub struct Sandbox {
    handle: Handle,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    helpers: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts a sandbox on loopback: the main address, and one of another region.
    ///
    /// # Errors
    /// Returns an error if an option is out of range or the port is taken.
    pub async fn start(options: SandboxOptions) -> Result<Self, Error> {
        let (hooks, hooks_end) = webhooks::line();
        let webhook_url = options.webhook_url.clone();
        let port = options.port;
        let inner = Arc::new(Inner::new(options, webhook_url.is_some().then_some(hooks))?);
        let mut listeners = Vec::new();
        let mut domains = Vec::new();
        for port in [port, 0] {
            let (listener, domain) = listen(port).await?;
            listeners.push(listener);
            domains.push(domain);
        }
        inner.set_domains(domains);
        let (stop, stopping) = watch::channel(false);
        let servers = listeners
            .into_iter()
            .enumerate()
            .map(|(region, listener)| {
                tokio::spawn(serve(
                    Arc::clone(&inner),
                    region,
                    listener,
                    stopping.clone(),
                ))
            })
            .collect();
        let helpers = match webhook_url {
            Some(url) => vec![
                tokio::spawn(rounds::send_webhooks(Arc::clone(&inner), url, hooks_end)),
                tokio::spawn(rounds::settle_writebacks(Arc::clone(&inner))),
            ],
            None => Vec::new(),
        };
        Ok(Self {
            handle: Handle { inner },
            stop,
            servers,
            helpers,
        })
    }

    /// Returns a handle that can be cloned.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops accepting requests and waits a short time for pending ones.
    pub async fn stop(mut self) {
        // Without a receiver the servers have already stopped.
        let _ = self.stop.send(true);
        for server in std::mem::take(&mut self.servers) {
            let abort = server.abort_handle();
            if tokio::time::timeout(STOPPING, server).await.is_err() {
                abort.abort();
            }
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for task in self.servers.iter().chain(&self.helpers) {
            task.abort();
        }
    }
}

impl Deref for Sandbox {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

async fn listen(port: u16) -> Result<(CuttableListener, String), Error> {
    let fail = |source| Error::Listen { port, source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((CuttableListener(listener), address.to_string()))
}

async fn serve(
    inner: Arc<Inner>,
    region: usize,
    listener: CuttableListener,
    mut stopping: watch::Receiver<bool>,
) {
    let service = server::router(inner, region).into_make_service_with_connect_info::<Wire>();
    let stopped = async move {
        // An error means that the sandbox is gone, which is a reason to stop as well.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, service)
        .with_graceful_shutdown(stopped)
        .await
    {
        tracing::error!(%error, "the sandbox stopped serving");
    }
}
