//! Generated from `proto/rpc.proto` by [`build.rs`](../build.rs).
#![allow(missing_docs, clippy::all)]

tonic::include_proto!("etcdserverpb");
