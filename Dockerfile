# Two images: `convene`, the default, has the server and the client; `etcd-node` has etcd and the client.
#
#     docker build --tag convene .
#     docker build --tag convene-etcd-node --target etcd-node .

ARG RUST_VERSION=1.95
ARG ETCD_VERSION=v3.6.16

FROM gcr.io/etcd-development/etcd:${ETCD_VERSION} AS etcd


FROM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /src
COPY . .
# The caches are not part of a layer, so the binaries are copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --profile dist --locked --bins \
    && mkdir /out \
    && cp target/dist/convene target/dist/convene-server /out/


FROM debian:bookworm-slim AS base
COPY --chmod=0755 deploy/http-ready.sh /usr/local/bin/http-ready
COPY --from=build /out/convene /usr/local/bin/
# What the administrator gives the nodes: their discovery URL and their join token.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/convene-node


FROM base AS etcd-node
COPY --from=etcd /usr/local/bin/etcd /usr/local/bin/etcdctl /usr/local/bin/
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/etcd
# A folder in the volume, because `convene run` renames data that it sets aside, and a mount point can't be renamed.
ENV ETCD_DATA_DIR=/var/lib/etcd/data \
    ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380 \
    ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379
USER 10001:10001
WORKDIR /
VOLUME /var/lib/etcd
EXPOSE 2379 2380
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=6 CMD ["http-ready", "127.0.0.1", "2382"]
# Arguments of the container are etcd's.
ENTRYPOINT ["convene", "run", "--", "etcd"]
LABEL org.opencontainers.image.title="convene-etcd-node" \
      org.opencontainers.image.description="etcd under convene run" \
      org.opencontainers.image.licenses="Apache-2.0"


FROM base AS convene
COPY --chmod=0755 deploy/join-files.sh /usr/local/bin/join-files
COPY --from=build /out/convene-server /usr/local/bin/
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/convene
ENV CONVENE_LISTEN=0.0.0.0:8087 \
    CONVENE_DATABASE_URL=sqlite:/var/lib/convene/convene.db
USER 10001:10001
WORKDIR /
VOLUME /var/lib/convene
EXPOSE 8087
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["http-ready", "127.0.0.1", "8087"]
ENTRYPOINT ["convene-server"]
LABEL org.opencontainers.image.title="convene" \
      org.opencontainers.image.description="A self-hosted discovery service for etcd" \
      org.opencontainers.image.licenses="Apache-2.0"
