package settings

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStrays(t *testing.T) {
	for name, meant := range map[string]string{
		"MQTT_LISTN_ADDR": "MQTT_LISTEN_ADDR", "MQTT_LSITEN_ADDR": "MQTT_LISTEN_ADDR", "MQTT_LISTENADDR": "MQTT_LISTEN_ADDR", "MQTTLISTENADDR": "MQTT_LISTEN_ADDR",
		"KAFKA_BROKER": "KAFKA_BROKERS", "KAFKA_BORKERS": "KAFKA_BROKERS", "MONGODB_URL": "MONGODB_URI", "DATABASE_URI": "DATABASE_URL", "REDIS_ULR": "REDIS_URL",
		"LOG_LEVL": "LOG_LEVEL", "LATEST_TTLL": "LATEST_TTL", "OPS_ADR": "OPS_ADDR", "HTTP_ADRESS": "", "mqtt_listen_addr": "MQTT_LISTEN_ADDR",
		"DATABASE_URL_FIL": "DATABASE_URL_FILE", "DATABSE_URL_FILE": "DATABASE_URL_FILE", "KAFKA_PASWORD": "KAFKA_PASSWORD",
		"TELLTALE_MQTT_URL": "MQTT_URL", "TELLTALE_LOG_LEVL": "LOG_LEVEL", "TELTALE_HTTP_ADDR": "HTTP_ADDR", "TellTale_Http_Addr": "HTTP_ADDR",
	} {
		var want []Stray
		if meant != "" {
			want = []Stray{{name, meant}}
		}
		if diff := cmp.Diff(want, Strays([]string{"HOME=/", name + "=a secret"})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	t.Run("one with the prefix is one too where nothing is like it", func(t *testing.T) {
		if diff := cmp.Diff([]Stray{{"TELLTALE_COLOUR", ""}}, Strays([]string{"TELLTALE_COLOUR=red"})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("what is read, and what is others', is none", func(t *testing.T) {
		for _, name := range []string{
			"MQTT_LISTEN_ADDR", "DATABASE_URL_FILE", "KAFKA_CA_FILE", "REDIS_URL", "SIM_RATE", // known to one program at least
			"HOME", "PATH", "USER", "TERM", "TMP", "TTY", "LANG", "LC_ALL", "TZ", "PWD", "SHLVL", "HOSTNAME", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "SSL_CERT_FILE", "SSL_CERT_DIR",
			"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "INVOCATION_ID", "NOTIFY_SOCKET", "LISTEN_FDS", "JOURNAL_STREAM", "XDG_DATA_DIRS", "SSH_CLIENT",
			"KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_HOME", "KAFKA_PORT", "KAFKA_HOST", "KAFKA_USER", "KAFKA_NODE_ID", "KAFKA_LISTENERS", "KAFKA_LOG_DIRS",
			"MONGO_PORT", "MONGO_URL", "MONGO_INITDB_ROOT_USERNAME", "REDIS_PORT", "REDIS_HOST", "MYSQL_PASSWORD", "MYSQL_DATABASE", "POSTGRES_DB", "PGDATA",
			"HTTP_PORT", "HTTP_BIND", "HTTP_HOST", "MQTT_PORT", "MQTT_BIND", "MQTT_HOST", "OPS_PORT", "API_ADDR", "APP_ADDR", "POD_ADDR", "GRPC_ADDR", "POD_IP",
			"SMTP_URL", "AMQP_URL", "HTTP_URL", "APP_URL", "DATA_FILE", "LOG_FILE", "LOG_FORMAT", "LOG_DIR", "TEST_REDIS_URL", "COMPOSE_PROFILES",
			"KUBERNETES_SERVICE_HOST", "QUERY_API_SERVICE_HOST", "QUERY_API_PORT", "REDIS_PORT_6379_TCP_ADDR", "TELLTALE_SERVICE_HOST", "TELLTALE_PORT",
			"TELLTALE_PORT_8000_TCP_ADDR", "TELLTALE_SERVICE_PORT_HTTP",
		} {
			if strays := Strays([]string{name + "=x"}); len(strays) > 0 {
				t.Errorf("%+v", strays)
			}
		}
	})
	t.Run("an empty one counts as not set", func(t *testing.T) {
		if strays := Strays([]string{"MQTT_LISTN_ADDR="}); len(strays) > 0 {
			t.Errorf("%+v", strays)
		}
	})
}
