//! Shared by the tests of adapters: a school behind an adapter, on a server that answers as the test says.

use mis_wonde::{ConnectContext, Connection, Descriptor, Mis, wonde::Client};
use secrecy::SecretString;
use wiremock::MockServer;

/// The school of the context on this server, through this adapter and its guard. Failed requests are not repeated.
pub(crate) async fn connect(
    server: &MockServer,
    descriptor: &'static Descriptor,
    context: ConnectContext,
) -> Mis {
    let client = Client::builder(SecretString::from("token"))
        .base_url(format!("{}/v1.0", server.uri()))
        .read_retries(0)
        .build()
        .unwrap();
    let connection = Connection::open(&client, context).await.unwrap();
    descriptor.connect(connection.into_context()).await.unwrap()
}
