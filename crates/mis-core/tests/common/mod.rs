//! What the tests of adapters share: a school behind an adapter, at a server that answers as the test says.

use mis_core::{
    ConnectOptions, Connection, Descriptor, Mis,
    wonde::{Client, SchoolId},
};
use secrecy::SecretString;
use wiremock::MockServer;

/// School A1 of this server, through this adapter and its guard. What fails is not asked for again.
pub(crate) async fn connect(
    server: &MockServer,
    descriptor: &'static Descriptor,
    options: ConnectOptions,
) -> Mis {
    let client = Client::builder(SecretString::from("token"))
        .base_url(format!("{}/v1.0", server.uri()))
        .read_retries(0)
        .build()
        .unwrap();
    let connection = Connection::open(&client, &SchoolId::from("A1"), options)
        .await
        .unwrap();
    Mis::new((descriptor.connect)(connection))
}
