# The gateway on a distroless base: glibc, CA certificates and one binary. No shell, no package manager.
FROM rust:1.95-bookworm AS build
WORKDIR /src
# The toolchain file brings the wasm target that the bundled plugins are built for.
COPY rust-toolchain.toml ./
RUN rustup toolchain install
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package riposte \
 && install -D target/release/riposte /out/usr/local/bin/riposte \
 && install -d -o 65532 -g 65532 -m 0700 /out/var/lib/riposte

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/usr/local/bin/riposte /usr/local/bin/riposte
COPY --from=build --chown=65532:65532 /out/var/lib/riposte /var/lib/riposte
# By number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /var/lib/riposte
EXPOSE 8080
LABEL org.opencontainers.image.source="https://github.com/riposte-dev/riposte" \
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["/usr/local/bin/riposte"]
CMD ["serve", "--config", "/etc/riposte/riposte.yaml"]
