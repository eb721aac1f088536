# The Tributary hub: takes batches from agents, stores every reading once.
# With DATABASE_URL (or database.url) it uses that Postgres; without, it runs its own in its data volume.
# Build from the root of the repository:
#   docker build -f deploy/docker/hub.Dockerfile -t tributary-hub:0.1.0 .
# The root file system may be read-only; data stands in /var/lib/tributary-hub.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /opt/tributary
# First what npm needs, so that a change of the sources installs nothing again.
COPY package.json package-lock.json .npmrc ./
COPY shared/package.json shared/
COPY shared/bin shared/bin/
COPY hub/package.json hub/
COPY hub/bin hub/bin/
RUN ["npm", "ci", "--omit=dev", "--ignore-scripts", "--workspace=@tributary/hub"]
COPY shared shared/
COPY hub hub/
COPY deploy/production-tree.ts deploy/
RUN ["node", "deploy/production-tree.ts"]

FROM node:24.21.0-bookworm-slim
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tributary-hub" \
      org.opencontainers.image.description="Takes signed batches from agents, stores every reading once, detects anomalies, serves a REST API." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT"
# npm is of no use to a running hub, only to an intruder.
RUN rm -rf /usr/local/lib/node_modules \
 && groupadd --gid 10001 tributary-hub \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tributary-hub --shell /usr/sbin/nologin tributary-hub \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/tributary-hub
WORKDIR /opt/tributary
COPY --from=build /opt/tributary/node_modules node_modules/
COPY --from=build /opt/tributary/shared shared/
COPY --from=build /opt/tributary/hub hub/
COPY LICENSE package.json ./
ENV PATH=/opt/tributary/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NODE_ENV=production \
    NODE_COMPILE_CACHE=/var/lib/tributary-hub/compile-cache \
    TRIBUTARY_DATA_DIR=/var/lib/tributary-hub/data \
    TRIBUTARY_HUB_HOST=0.0.0.0 \
    TRIBUTARY_HUB_URL=http://127.0.0.1:8080
USER 10001:10001
VOLUME ["/var/lib/tributary-hub"]
EXPOSE 8080
STOPSIGNAL SIGTERM
# Where the hub serves HTTPS, set TRIBUTARY_HUB_URL, and NODE_EXTRA_CA_CERTS for a certificate of your own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`${process.env.TRIBUTARY_HUB_URL}/readyz`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tributary-hub"]
CMD ["serve"]
