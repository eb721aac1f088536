#!/bin/sh
# Installs an unpacked package (deploy/package.sh) as a service of systemd. Run again it comes to the same; run from a newer package
# it upgrades; run from an older one it goes back. Data and configuration are never touched.
set -eu
usage='usage: sudo sh deploy/install.sh agent|hub [--dry-run] [--no-start]

Run it in the folder that the package was unpacked into.
  --dry-run    say what would be done, and do nothing
  --no-start   install, but start nothing: to edit the configuration first
  DESTDIR=DIR  in the environment: install below DIR, without accounts and without starting anything'

fail() { printf 'install.sh: %s\n' "$1" >&2; exit "${2-1}"; }

program='' dry='' start=yes
for argument; do
  case $argument in
    agent | hub) program=$argument ;;
    --dry-run) dry=yes ;;
    --no-start) start='' ;;
    -h | --help) printf '%s\n' "$usage"; exit 0 ;;
    *) fail "$argument is not understood
$usage" 2 ;;
  esac
done
[ -n "$program" ] || fail "say which: agent or hub
$usage" 2

here=$(cd "$(dirname "$0")/.." && pwd)
node=$here/node_modules/.bin/node
[ -x "$node" ] && [ -f "$here/$program/src/main.ts" ] ||
  fail "$here is not an unpacked package of the $program. Make one in a clone with: sh deploy/package.sh $program"
version=$("$node" -p 'require(process.argv[1]).version' "$here/package.json") ||
  fail "the package is not for this machine ($(uname -sm)): its Node does not run"
to=${DESTDIR-}
[ -n "$to" ] || [ "$(id -u)" = 0 ] || [ -n "$dry" ] ||
  fail "this needs root: sudo sh deploy/install.sh $program. To look first: --dry-run. To stage into a folder: DESTDIR=DIR"

account=tributary-$program
home=/opt/tributary
tree=$home/$program-$version
config=/etc/tributary/$program.yaml
umask 022

do_it() { # what is done, command…
  printf '%s\n' "$1"
  shift
  [ -n "$dry" ] || "$@"
}

make_account() {
  getent passwd "$account" >/dev/null ||
    do_it "account $account" useradd --system --user-group --no-create-home --home-dir "/var/lib/$account" \
      --shell /usr/sbin/nologin "$account"
}

# Whole under its name, or not there.
copy_tree() {
  rm -rf "$to$tree.new" && mkdir -p "$to$tree.new" && cp -R "$here/." "$to$tree.new" &&
    rm -rf "$to$tree" && mv "$to$tree.new" "$to$tree"
}

point_to_tree() {
  ln -sfn "$program-$version" "$to$home/$program.new" && mv -T "$to$home/$program.new" "$to$home/$program"
}

write_config() {
  mkdir -p "$to/etc/tributary" &&
    sed "s|^data_dir: .*|data_dir: /var/lib/$account|" "$here/$program/$program.example.yaml" >"$to$config"
}

write_unit() {
  mkdir -p "$to/etc/systemd/system" && cp "$here/deploy/systemd/$account.service" "$to/etc/systemd/system/"
}

# As the service's account, so that no file of root appears among its data.
write_command() {
  variable=TRIBUTARY_CONFIG
  [ "$program" = agent ] || variable=TRIBUTARY_HUB_CONFIG
  mkdir -p "$to/usr/local/bin"
  cat >"$to/usr/local/bin/$account" <<EOF
#!/bin/sh
# $account as the service runs it: with its configuration, its data and, for root, its account.
export $variable=\${$variable-$config} TRIBUTARY_DATA_DIR=/var/lib/$account
set -- $home/$program/node_modules/.bin/node $home/$program/$program/src/main.ts "\$@"
[ "\$(id -u)" != 0 ] || set -- runuser -u $account -- env NODE_COMPILE_CACHE=/var/cache/$account "\$@"
exec "\$@"
EOF
  chmod 0755 "$to/usr/local/bin/$account"
}

start_service() {
  systemctl daemon-reload
  systemctl enable "$account"
  systemctl restart "$account"
}

[ -n "$to" ] || make_account
[ "$here" = "$to$tree" ] || do_it "program $to$tree" copy_tree
do_it "in use $to$home/$program -> $program-$version" point_to_tree
[ -e "$to$config" ] || do_it "configuration $to$config" write_config
do_it "service $to/etc/systemd/system/$account.service" write_unit
do_it "command $to/usr/local/bin/$account" write_command

if [ -z "$start" ] || [ -n "$to" ]; then
  exit 0
elif [ -d /run/systemd/system ]; then
  do_it "start $account" start_service
else
  printf 'systemd does not run here; start it by hand: %s\n' "$(sed -n 's/^ExecStart=//p' "$here/deploy/systemd/$account.service")"
fi
