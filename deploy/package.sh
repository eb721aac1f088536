#!/bin/sh
# Makes tributary-PROGRAM-VERSION-PLATFORM.tar.gz: everything that a machine needs to run it, its own Node included.
set -eu
usage='usage: sh deploy/package.sh agent|hub [FOLDER]

Packs the last commit of this clone for machines of this platform, into FOLDER (default: the current one), and prints the path.
Needs git, npm and a registry; the machine that the package is installed on needs none of them: see docs/install.md.'

case ${1-} in
  agent | hub) program=$1 ;;
  -h | --help) printf '%s\n' "$usage"; exit 0 ;;
  *) printf '%s\n' "$usage" >&2; exit 2 ;;
esac
into=$(cd "${2-.}" && pwd)
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive HEAD LICENSE CHANGELOG.md README.md package.json package-lock.json .npmrc shared "$program" deploy docs | tar -x -C "$work"
(cd "$work" && npm ci --silent --omit=dev --ignore-scripts --include-workspace-root "--workspace=@tributary/$program") >&2
"$work/node_modules/.bin/node" "$work/deploy/production-tree.ts" "$work" >&2
find "$work/shared" "$work/$program" -name '*.test.ts' -delete

platform=$("$work/node_modules/.bin/node" -p 'process.platform + "-" + process.arch')
version=$("$work/node_modules/.bin/node" -p 'require(process.argv[1]).version' "$work/package.json")
name=tributary-$program-$version
# The same commit gives the same names, times and owners.
tar -C "$work" --transform "s,^\.,$name,S" --sort=name --owner=0 --group=0 --numeric-owner --mode=go-w,a+rX \
  --mtime="$(git log -1 --format=%cI)" -czf "$into/$name-$platform.tar.gz" .
printf '%s\n' "$into/$name-$platform.tar.gz"
