#!/bin/sh
# Gives Mosquitto's dynamic-security plugin the accounts of the environment, with the rights of the file acl, and becomes
# Mosquitto. What else is in the plugin's file, the accounts of devices that query-api made, stays.
set -eu
umask 077
config=/mosquitto/config data=/mosquitto/data
accounts=$data/dynamic-security.json
for plugin in /usr/lib/mosquitto_dynamic_security.so /usr/lib/*/mosquitto_dynamic_security.so; do
  [ ! -e "$plugin" ] || break
done
chown -R mosquitto: $data 2>/dev/null || true # where the container is not root it is the owner already

# The plugin's file is changed by the plugin: by a Mosquitto that only this script reaches, with an account that is gone with it.
# commands prints what it is to do.
commands() {
  echo '{"commands": [{"command": "setDefaultACLAccess", "acls": [{"acltype": "publishClientSend", "allow": false},
    {"acltype": "publishClientReceive", "allow": false}, {"acltype": "subscribe", "allow": false}, {"acltype": "unsubscribe", "allow": true}]}'
  awk '
    function allow(type, topic) { acls = acls comma "{\"acltype\": \"" type "\", \"topic\": \"" topic "\", \"allow\": true}"; comma = ", " }
    function done() {
      if (user == "") return
      print ", {\"command\": \"deleteClient\", \"username\": \"" user "\"}, {\"command\": \"deleteRole\", \"rolename\": \"" user "\"}"
      password = ENVIRON["MQTT_" (user == "query-api" ? "DYNSEC" : toupper(user)) "_PASSWORD"]
      if (password == "") return
      gsub(/[\\"]/, "\\\\&", password)
      print ", {\"command\": \"createRole\", \"rolename\": \"" user "\", \"acls\": [" acls "]}"
      print ", {\"command\": \"createClient\", \"username\": \"" user "\", \"password\": \"" password "\", \"roles\": [{\"rolename\": \"" user "\"}]}"
    }
    $1 == "user" { done(); user = $2; acls = comma = "" }
    $1 == "topic" && $2 ~ /write/ { allow("publishClientSend", $3) }
    $1 == "topic" && $2 ~ /read/ { allow("publishClientReceive", $3); allow("subscribePattern", $3); allow("subscribePattern", "$share/telltale/" $3) }
    END { done() }' "$config/acl"
  echo ']}'
}

setup=$data/setup
rm -rf "$setup"
mkdir "$setup"
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
: >"$setup/passwords"
mosquitto_passwd -b "$setup/passwords" setup "$password"
cat >"$setup/acl" <<END
user setup
topic readwrite \$CONTROL/#
END
[ -s "$accounts" ] || echo '{}' >"$accounts"
cat >"$setup/mosquitto.conf" <<END
listener 1882 127.0.0.1
allow_anonymous false
password_file $setup/passwords
acl_file $setup/acl
plugin $plugin
plugin_opt_config_file $accounts
log_type error
END
[ "$(id -u)" != 0 ] || echo "user root" >>"$setup/mosquitto.conf" # which this script may end
chown -R mosquitto: "$setup" "$accounts" 2>/dev/null || true
mosquitto -c "$setup/mosquitto.conf" &
setup() { mosquitto_pub -h 127.0.0.1 -p 1882 -u setup -P "$password" -q 1 "$@" 2>/dev/null; }
tries=100
until setup -t none -n; do
  [ $((tries -= 1)) -gt 0 ] || { echo "the dynamic-security plugin cannot be set up" >&2; exit 1; }
  sleep 0.1
done
commands | tr '\n' ' ' | setup -t '$CONTROL/dynamic-security/v1' -s
kill $!
wait $! || true
rm -rf "$setup" "$data/passwords" # which an earlier version had

cp "$config/mosquitto.conf" "$data/mosquitto.conf"
cat >>"$data/mosquitto.conf" <<END

plugin $plugin
plugin_opt_config_file $accounts
END
if [ -e /mosquitto/tls/tls.crt ]; then
  cp /mosquitto/tls/tls.crt /mosquitto/tls/tls.key $data/ # Mosquitto reads them as its own user
  cat >>"$data/mosquitto.conf" <<END

listener 8883
certfile $data/tls.crt
keyfile $data/tls.key
tls_version tlsv1.2
END
fi
chown mosquitto: $data/* 2>/dev/null || true
exec mosquitto -c "$data/mosquitto.conf"
