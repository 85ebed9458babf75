//! Makes Rust of `proto/rpc.proto`, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["proto/rpc.proto"], ["proto"])?;
    // Requests and answers of `Authenticate` hold secrets: without `Debug` nobody logs them by accident.
    tonic_prost_build::configure().skip_debug(["AuthenticateRequest", "AuthenticateResponse"]).compile_fds(files)?;
    Ok(())
}
