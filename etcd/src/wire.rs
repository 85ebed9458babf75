//! What [`build.rs`](../build.rs) makes of `proto/rpc.proto`.
#![allow(missing_docs, clippy::all)]

tonic::include_proto!("etcdserverpb");
