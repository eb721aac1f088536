#!/bin/sh
# Makes what compose.yaml needs and no repository may hold: the database's password, the hub's key and its certificate.
#   prepare.sh DATABASE-FOLDER KEY-FOLDER CERTIFICATE-FOLDER NAME…
# What is there already stays. The certificate signs itself and holds for the names given: agents trust it, and it alone, by
# hub.ca_file. Who reads what is decided by who mounts which folder; the key is for the group that this runs as.
set -eu
umask 027
database=$1 key=$2 certificate=$3
shift 3

if [ ! -s "$database/password" ]; then
  openssl rand -hex 32 >"$database/password.new"
  chmod 0444 "$database/password.new"
  mv "$database/password.new" "$database/password"
fi

if [ ! -s "$key/hub.key" ] || [ ! -s "$certificate/hub.crt" ]; then
  common=$1 names=
  for name; do
    case $name in
      *[!0-9.]*) names=$names,DNS:$name ;;
      *) names=$names,IP:$name ;;
    esac
  done
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 -subj "/CN=$common" \
    -addext "subjectAltName=${names#,}" -keyout "$key/hub.key.new" -out "$certificate/hub.crt.new"
  chmod 0640 "$key/hub.key.new"
  chmod 0444 "$certificate/hub.crt.new"
  mv "$key/hub.key.new" "$key/hub.key"
  mv "$certificate/hub.crt.new" "$certificate/hub.crt"
fi
