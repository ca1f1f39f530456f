#!/bin/sh
# Writes the password file from the environment, as Mosquitto keeps only hashes, and becomes Mosquitto. With a certificate in
# /mosquitto/tls there is a second listener, with TLS, whose accounts are in the dynamic-security plugin: query-api
# keeps them there, one for each credential of a device.
set -eu
umask 077
data=/mosquitto/data
file=$data/passwords
: >"$file"
mosquitto_passwd -b "$file" bridge "$MQTT_BRIDGE_PASSWORD"
mosquitto_passwd -b "$file" device "$MQTT_DEVICE_PASSWORD"
mosquitto_passwd -b "$file" operator "$MQTT_OPERATOR_PASSWORD"

conf=$data/mosquitto.conf
cat /mosquitto/config/mosquitto.conf >"$conf"
if [ -e /mosquitto/tls/tls.crt ]; then
  cp /mosquitto/tls/tls.crt /mosquitto/tls/tls.key $data/ # Mosquitto reads them as its own user
  accounts=$data/dynamic-security.json
  if [ ! -s "$accounts" ]; then # the plugin changes it from now on
    hash=$data/account
    : >"$hash"
    mosquitto_passwd -b "$hash" query-api "$MQTT_DYNSEC_PASSWORD"
    encoded=$(cut -d : -f 2- "$hash")
    rm "$hash"
    case $encoded in
    '$7$'*) # Mosquitto 2.0: $7$ and the iterations, the salt and the hash
      password=$(printf '%s' "$encoded" | awk -F '$' '{printf "\"iterations\": %s, \"salt\": \"%s\", \"password\": \"%s\"", $3, $4, $5}') ;;
    *) password="\"encoded_password\": \"$encoded\"" ;;
    esac
    cat >"$accounts" <<END
{
  "defaultACLAccess": {"publishClientSend": false, "publishClientReceive": false, "subscribe": false, "unsubscribe": true},
  "clients": [{"username": "query-api", "textname": "keeps the accounts of devices", "roles": [{"rolename": "keeper"}], $password}],
  "groups": [],
  "roles": [{"rolename": "keeper", "acls": [
    {"acltype": "publishClientSend", "topic": "\$CONTROL/dynamic-security/v1", "allow": true},
    {"acltype": "publishClientReceive", "topic": "\$CONTROL/dynamic-security/v1/response", "allow": true},
    {"acltype": "subscribeLiteral", "topic": "\$CONTROL/dynamic-security/v1/response", "allow": true}
  ]}]
}
END
  fi
  for plugin in /usr/lib/mosquitto_dynamic_security.so /usr/lib/*/mosquitto_dynamic_security.so; do
    [ ! -e "$plugin" ] || break
  done
  cat >>"$conf" <<END

listener 8883
allow_anonymous false
certfile $data/tls.crt
keyfile $data/tls.key
tls_version tlsv1.2
plugin $plugin
plugin_opt_config_file $accounts
END
fi
chown -R mosquitto $data 2>/dev/null || true # where the container is not root it is the owner already
exec mosquitto -c "$conf"
