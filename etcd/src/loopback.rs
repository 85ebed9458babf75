use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// Resolves host names to loopback addresses only, so that a connection in clear text does not leave this machine.
#[derive(Clone, Debug)]
pub(crate) struct LoopbackResolver;

impl Service<Name> for LoopbackResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let loopback: Vec<SocketAddr> = found.filter(|found| is_loopback(found.ip())).collect();
            match loopback.is_empty() {
                true => Err(io::Error::other(format!("{} is not this machine", name.as_str()))),
                false => Ok(loopback.into_iter()),
            }
        })
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_loopback_addresses_are_found() {
        let found = LoopbackResolver.call("localhost".parse().unwrap()).await.unwrap();
        assert!(found.into_iter().all(|found| found.ip().is_loopback()));
        assert!(LoopbackResolver.call("no-such-host.invalid".parse().unwrap()).await.is_err());
    }
}
