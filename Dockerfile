# The lottery image: Node and the built command in /app, on the PATH as `lottery`. It runs as an
# unprivileged user. The root file system can be read-only if /data is a volume and /tmp a tmpfs.
# Mount a folder with books at /lottery/.data, where clients look for them.
#   docker build --tag lottery . && docker run --rm lottery demo
#   docker run --publish 12345-12346:12345-12346 --volume lottery:/data lottery server
#
# The base image is pinned by digest. Update it together with the Node version in package-lock.json:
#   docker buildx imagetools inspect node:VERSION-bookworm-slim   # prints the digest

FROM node:26.10.0-bookworm-slim@sha256:662933cf47f013bc8e4beb31a6116448427a82057ba7c42c97e4c5ba766504c2 AS build
WORKDIR /build
# Copied before the sources, so that changes to the sources do not invalidate the npm layer.
COPY package.json package-lock.json ./
COPY runtime runtime
RUN npm ci --ignore-scripts
COPY build.ts ./
COPY src src
# The link is inside a folder because COPY follows a link that is copied by itself.
RUN node build.ts \
  && rm dist/.npmignore \
  && mkdir -p image/usr/local/bin data \
  && mv dist image/app \
  && ln -s ../../../app/lottery.cjs image/usr/local/bin/lottery

FROM node:26.10.0-bookworm-slim@sha256:662933cf47f013bc8e4beb31a6116448427a82057ba7c42c97e4c5ba766504c2
LABEL org.opencontainers.image.title="lottery" \
  org.opencontainers.image.description="The server of a national lottery, and the clients of its agencies"
COPY --from=build /build/image/ /
# A new volume inherits this folder's owner. A numeric user needs no entry in /etc/passwd, and
# Kubernetes' runAsNonRoot can verify that it is not root.
COPY --from=build --chown=10001:10001 /build/data/ /data/
ENV NODE_ENV=production LOTTERY_STORE=sqlite:/data/lottery.db
WORKDIR /lottery
USER 10001:10001
EXPOSE 12345 12346
STOPSIGNAL SIGTERM
# No shell: Node is process 1, receives the signal and shuts down cleanly.
ENTRYPOINT ["node", "/app/lottery.cjs"]
