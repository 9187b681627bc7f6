//! Shared code of the adapters' tests: an adapter connected to a mock server.

use mis_wonde::{ConnectContext, Connection, Descriptor, Mis, wonde::Client};
use secrecy::SecretString;
use wiremock::MockServer;

/// Connects an adapter with its guard to a school on this server. Failed requests are not retried.
pub(crate) async fn connect(
    server: &MockServer,
    descriptor: &'static Descriptor,
    context: ConnectContext,
) -> Mis {
    let connection = open(server, context).await;
    descriptor.connect(connection.into_context()).await.unwrap()
}

/// Opens a connection to a school on this server. Failed requests are not retried.
pub(crate) async fn open(server: &MockServer, context: ConnectContext) -> Connection {
    let client = Client::builder(SecretString::from("token"))
        .base_url(format!("{}/v1.0", server.uri()))
        .read_retries(0)
        .build()
        .unwrap();
    Connection::open(&client, context).await.unwrap()
}
