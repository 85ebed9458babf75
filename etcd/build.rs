//! Compiles `proto/rpc.proto` to Rust, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["proto/rpc.proto"], ["proto"])?;
    // The messages of `Authenticate` have secrets. Without `Debug` they cannot be logged by accident.
    tonic_prost_build::configure()
        .skip_debug(["AuthenticateRequest", "AuthenticateResponse"])
        .codec_path("crate::codec::SmallBuffers")
        .compile_fds(files)?;
    Ok(())
}
