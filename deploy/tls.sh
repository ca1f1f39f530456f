#!/bin/sh
# Makes what Mosquitto shows to devices on 8883: an authority of this checkout, in .tls, and a certificate that it has signed, in
# .tls/server, for the names in TLS_NAMES (.env). The authority stays, as devices know it; the certificate is made again a
# month before it ends, and for other names. deploy/env.sh runs it. Put files of your own into .tls/server, and they stay.
set -eu
umask 022
cd "$(dirname "$0")/.."
names="localhost,127.0.0.1,mosquitto,mqtt,$(uname -n)${TLS_NAMES:+,$TLS_NAMES}"

dir=.tls/server
if [ -e $dir/tls.crt ] && [ ! -e .tls/ca.key ]; then
  exit # of one's own
fi
if ! command -v openssl >/dev/null; then
  [ -e $dir/tls.crt ] || echo "openssl is not here, so that devices have no TLS: install it, or put tls.crt and tls.key into $dir" >&2
  exit
fi
mkdir -p $dir
if [ ! -e .tls/ca.key ]; then
  (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out .tls/ca.key)
  openssl req -x509 -new -key .tls/ca.key -days 7300 -subj "/CN=Telltale of $(uname -n)" -out $dir/ca.crt
fi
if [ ! -e $dir/tls.crt ] || [ "$(cat .tls/names)" != "$names" ] || ! openssl x509 -checkend 2592000 -noout -in $dir/tls.crt >/dev/null; then
  [ -e $dir/tls.key ] || (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out $dir/tls.key)
  {
    echo "basicConstraints=critical,CA:false"
    echo "keyUsage=critical,digitalSignature"
    echo "extendedKeyUsage=serverAuth"
    printf 'subjectAltName='
    echo "$names" | tr , '\n' | sed 's/^[0-9.]*$/IP:&/; /^IP:/!s/.*:.*/IP:&/; /^IP:/!s/^/DNS:/' | paste -s -d , -
  } >.tls/extensions
  openssl req -new -key $dir/tls.key -subj "/CN=$(uname -n)" |
    openssl x509 -req -CA $dir/ca.crt -CAkey .tls/ca.key -set_serial "0x$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')" -days 397 -extfile .tls/extensions -out $dir/tls.crt 2>/dev/null
  printf '%s' "$names" >.tls/names
fi
