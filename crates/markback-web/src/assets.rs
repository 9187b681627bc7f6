//! Style, script and icon. The name of each has a hash of its content, so browsers keep it for good.

use std::{fmt::Write as _, sync::LazyLock};

use axum::{
    Router,
    extract::Path,
    http::header,
    response::{IntoResponse as _, Response},
    routing::get,
};
use markback::service::Markback;
use sha2::{Digest as _, Sha256};

use crate::error::{ErrorKind, PageError};

/// So many bytes of the hash are in a name.
const HASH_BYTES: usize = 8;

/// A file that pages load.
#[derive(Debug)]
pub struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn name(&self) -> String {
        let hash = Sha256::digest(self.bytes);
        let mut name = format!("{}-", self.stem);
        for byte in hash.iter().take(HASH_BYTES) {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        format!("{name}.{}", self.extension)
    }
}

static ASSETS: [Asset; 3] = [
    Asset {
        stem: "markback",
        extension: "css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../assets/markback.css"),
    },
    Asset {
        stem: "markback",
        extension: "js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../assets/markback.js"),
    },
    Asset {
        stem: "icon",
        extension: "svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../assets/icon.svg"),
    },
];

static NAMES: LazyLock<[String; 3]> = LazyLock::new(|| ASSETS.each_ref().map(Asset::name));

/// The addresses of the assets.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The style.
    pub style: &'static str,
    /// The module that freshens pages.
    pub script: &'static str,
    /// The icon of the pages.
    pub icon: &'static str,
}

/// The addresses of the assets.
pub fn addresses() -> Addresses {
    static PATHS: LazyLock<[String; 3]> =
        LazyLock::new(|| NAMES.each_ref().map(|name| format!("/assets/{name}")));
    let [style, script, icon] = &*PATHS;
    Addresses {
        style,
        script,
        icon,
    }
}

/// They need no visitor: the sign-in loads them too.
pub(crate) fn routes() -> Router<Markback> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    let found = ASSETS
        .iter()
        .zip(NAMES.iter())
        .find(|(_, own)| **own == name);
    match found {
        Some((asset, _)) => (
            [
                (header::CONTENT_TYPE, asset.content_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.bytes,
        )
            .into_response(),
        None => PageError::new(ErrorKind::NotFound).into_response(),
    }
}
