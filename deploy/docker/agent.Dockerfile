# The Tributary agent: reads sensors, keeps every reading, forwards to a hub.
# Build from the root of the repository:
#   docker build -f deploy/docker/agent.Dockerfile -t tributary-agent:0.1.0 .
# The root file system may be read-only; data stands in /var/lib/tributary-agent.

FROM node:24.21.0-bookworm-slim AS build
WORKDIR /opt/tributary
# First what npm needs, so that a change of the sources installs nothing again.
COPY package.json package-lock.json .npmrc ./
COPY shared/package.json shared/
COPY shared/bin shared/bin/
COPY agent/package.json agent/
COPY agent/bin agent/bin/
RUN ["npm", "ci", "--omit=dev", "--ignore-scripts", "--workspace=@tributary/agent"]
COPY shared shared/
COPY agent agent/
COPY deploy/production-tree.ts deploy/
RUN ["node", "deploy/production-tree.ts"]

FROM node:24.21.0-bookworm-slim
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tributary-agent" \
      org.opencontainers.image.description="Reads sensors over MQTT or a serial line, keeps every reading safe, forwards signed batches to a hub." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT"
# npm is of no use to a running agent, only to an intruder.
RUN rm -rf /usr/local/lib/node_modules \
 && groupadd --gid 10002 tributary-agent \
 && useradd --uid 10002 --gid 10002 --no-create-home --home-dir /var/lib/tributary-agent --shell /usr/sbin/nologin tributary-agent \
 && install -d -o 10002 -g 10002 -m 0700 /var/lib/tributary-agent
WORKDIR /opt/tributary
COPY --from=build /opt/tributary/node_modules node_modules/
COPY --from=build /opt/tributary/shared shared/
COPY --from=build /opt/tributary/agent agent/
COPY LICENSE package.json ./
ENV PATH=/opt/tributary/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NODE_ENV=production \
    NODE_COMPILE_CACHE=/var/lib/tributary-agent/compile-cache \
    NODE_OPTIONS=--max-semi-space-size=2 \
    TRIBUTARY_DATA_DIR=/var/lib/tributary-agent/data
USER 10002:10002
VOLUME ["/var/lib/tributary-agent"]
EXPOSE 1883
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.TRIBUTARY_HEALTH_PORT ?? 9108}/readyz`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tributary-agent"]
CMD ["run"]
