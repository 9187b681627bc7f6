//! Prints the OpenAPI document of the API, for `cargo xtask codegen`.

fn main() {
    println!("{:#}", markback_http::document());
}
