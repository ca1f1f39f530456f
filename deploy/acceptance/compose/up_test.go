package compose

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// needsDocker returns a checkout with servers in the place of docker-compose.yml.
func needsDocker(t *testing.T, servers string) *checkout {
	t.Helper()
	if os.Getenv("TEST_COMPOSE") != "1" {
		t.Skip("TEST_COMPOSE is not 1")
	}
	c := newCheckout(t)
	c.write("docker-compose.yml", servers)
	c.mustRun("docker", "compose", "down", "--volumes", "--remove-orphans", "--timeout", "1") // what an interrupted test left
	t.Cleanup(func() { c.mustRun("docker", "compose", "down", "--volumes", "--remove-orphans", "--timeout", "1") })
	return c
}

func TestNewEnvOnOldVolumes(t *testing.T) {
	c := needsDocker(t, "services: {mongo: {image: 'redis:8', volumes: ['mongo:/data']}}\nvolumes: {mongo: {}}\n")
	c.mustRun("docker", "compose", "create")
	c.refuses(project+"_mongo has a password of the .env that it was made with", "sh", "deploy/env.sh")
	if _, err := os.Stat(filepath.Join(c.dir, ".env")); err == nil {
		t.Error("there is a new .env now, and the second attempt would find nothing wrong")
	}
	c.mustRun("sh", "deploy/env.sh", "new") // as make clean does
}

func TestPortIsTaken(t *testing.T) {
	const servers = "services: {redis: {image: 'redis:8', ports: ['127.0.0.1:${REDIS_PORT:-6379}:6379']}}\n"
	t.Run("by a program", func(t *testing.T) {
		c := needsDocker(t, servers)
		c.mustRun("sh", "deploy/env.sh")
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
		c.write(".env", c.read(".env")+"REDIS_PORT="+port+"\n")
		c.refuses("port "+port+" is taken: stop what has it, or set REDIS_PORT in .env", "sh", "deploy/up.sh")
	})
	t.Run("by a container of another profile", func(t *testing.T) {
		c := needsDocker(t, servers)
		c.mustRun("sh", "deploy/env.sh")
		c.write("docker-compose.yml", strings.ReplaceAll(servers, "${REDIS_PORT:-6379}", "")) // Docker chooses
		c.mustRun("sh", "deploy/up.sh")
		_, port, _ := strings.Cut(strings.TrimSpace(c.mustRun("docker", "compose", "port", "redis", "6379")), ":")
		c.write("docker-compose.yml", strings.ReplaceAll(servers, "{redis:", "{other:"))
		c.env = append(c.env, "REDIS_PORT="+port)
		c.refuses("port "+port+" is taken by "+project+"-redis-1, of another profile: make down first", "sh", "deploy/up.sh")
	})
}

func TestUnhealthyService(t *testing.T) {
	const service = `
  cache-updater:
    image: ${IMAGE_REGISTRY:-telltale}/cache-updater:${IMAGE_TAG:-dev}
    restart: always
    healthcheck: {test: [CMD, /service, --health], interval: 1s, retries: 2}
`
	t.Run("what it is not ready for is in its line", func(t *testing.T) {
		c := needsDocker(t, "services:"+service+`    environment: {REDIS_URL: "redis://nowhere:6379", KAFKA_BROKERS: "127.0.0.1:1"}`)
		c.mustRun("sh", "deploy/env.sh")
		c.refuses("cache-updater is not ready: kafka (cache-updater) failed", "sh", "deploy/up.sh")
		c.refuses(";redis failed", "sh", "deploy/up.sh")
	})
	t.Run("what it ended with is in its line", func(t *testing.T) {
		c := needsDocker(t, "services:"+service+`    environment: {LATEST_TTL: soon}`)
		c.mustRun("sh", "deploy/env.sh")
		c.refuses(`cache-updater ends with code 2: cache-updater: LATEST_TTL="soon"`, "sh", "deploy/up.sh")
	})
	t.Run("a server that keeps an old password", func(t *testing.T) {
		c := needsDocker(t, `services: {api: {image: 'redis:8', healthcheck: {interval: 1s, start_period: 5m,
		  test: [CMD-SHELL, 'echo "503 Service Unavailable: [-]mysql failed: Access denied for user"; exit 1']}}}`)
		c.mustRun("sh", "deploy/env.sh")
		c.refuses("Access denied for user (a server keeps the password of its first start: put that into .env, or delete all data with make clean)", "sh", "deploy/up.sh")
	})
}

// TestProfiles looks at what each profile would start.
func TestProfiles(t *testing.T) {
	if os.Getenv("TEST_COMPOSE") != "1" {
		t.Skip("TEST_COMPOSE is not 1")
	}
	c := newCheckout(t)
	c.mustRun("sh", "deploy/env.sh")
	for profile, want := range map[string]string{
		"mysql":    "cache-updater ingest-writer kafka mongo mosquitto mqtt-bridge mysql query-api redis",
		"postgres": "cache-updater ingest-writer kafka mongo mosquitto mqtt-bridge postgres query-api-postgres redis",
		"listen":   "cache-updater ingest-writer kafka mongo mqtt-bridge-listen mysql query-api-listen redis",
		"infra":    "kafka mongo mosquitto mysql postgres redis",
	} {
		got := c.mustRun("sh", "-c", "docker compose --profile "+profile+" config --services | sort | xargs")
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %s, want %s", profile, got, want)
		}
	}
}

// TestAddresses looks at which addresses of this machine the containers get.
func TestAddresses(t *testing.T) {
	if os.Getenv("TEST_COMPOSE") != "1" {
		t.Skip("TEST_COMPOSE is not 1")
	}
	c := newCheckout(t)
	c.mustRun("sh", "deploy/env.sh")
	const all = "COMPOSE_PROFILES=infra,mysql,postgres,listen,demo,observe docker compose config --format json"
	hosts := func() map[string]map[string]string { return published(t, c.mustRun("sh", "-c", all)) }
	for service, ports := range hosts() {
		for port, host := range ports {
			if !strings.HasPrefix(host, "127.0.0.1:") {
				t.Errorf("%s: %s is on %s without anybody having asked for it", service, port, host)
			}
			if port == "9100" && host != "127.0.0.1:" {
				t.Errorf("%s: a second replica has no port: %s is on %s", service, port, host)
			}
		}
	}
	c.write(".env", c.read(".env")+"MQTT_BIND=0.0.0.0\nHTTP_BIND=192.0.2.1\nHTTP_PORT=8000-8002\nBRIDGE_OPS_PORT=9101\n")
	got := hosts()
	for service, want := range map[string]struct{ port, host string }{
		"mosquitto":          {"1883", "0.0.0.0:1883"},
		"mqtt-bridge-listen": {"1883", "0.0.0.0:1883"},
		"mqtt-bridge":        {"9100", "127.0.0.1:9101"},
		"query-api":          {"8000", "192.0.2.1:8000-8002"},
		"query-api-postgres": {"8000", "192.0.2.1:8000-8002"},
		"query-api-listen":   {"8000", "192.0.2.1:8000-8002"},
	} {
		if host := got[service][want.port]; host != want.host {
			t.Errorf("%s: %s is on %s, want %s", service, want.port, host, want.host)
		}
	}
}

// TestImagesStay builds twice: another image of the same code would have `make up` replace containers.
func TestImagesStay(t *testing.T) {
	if os.Getenv("TEST_COMPOSE") != "1" {
		t.Skip("TEST_COMPOSE is not 1")
	}
	c := checkout{T: t, dir: "../../.."}
	build := func() string {
		c.mustRun("make", "images")
		return c.mustRun("sh", "-c", ". deploy/images/images.env; for name in mqtt-bridge ingest-writer cache-updater query-api simulator; do "+
			`docker image inspect -f "$name {{.Id}}" $IMAGE_REGISTRY/$name:$IMAGE_TAG; done`)
	}
	if first, second := build(), build(); first != second {
		t.Errorf("built\n%sand then\n%s", first, second)
	}
}
