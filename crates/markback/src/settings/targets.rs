//! Which addresses on the network the service may be told to call.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which addresses the service may call when somebody tells it to, as for webhooks. Addresses of the public internet are
/// called over https; private ones are not, because whoever names an address could reach the service's own network
/// through it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
#[schemars(rename = "Targets")]
pub struct TargetSettings {
    /// Networks that may be called although they are not public, such as "10.1.2.0/24" or "fd00:1::/64".
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<IpNet>,
    /// Whether this machine itself may be called, without encryption too: `http://127.0.0.1:8080/`. For tests, and for a
    /// host on the same machine.
    pub loopback: bool,
}
