package mongodb

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/dns"

	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// resolve makes the driver ask lookUp for the servers of mongodb+srv URIs until t ends.
func resolve(t *testing.T, lookUp func() ([]*net.SRV, error)) {
	original := *dns.DefaultResolver
	t.Cleanup(func() { *dns.DefaultResolver = original })
	dns.DefaultResolver.LookupSRV = func(string, string, string) (string, []*net.SRV, error) {
		servers, err := lookUp()
		return "", servers, err
	}
	dns.DefaultResolver.LookupTXT = func(string) ([]string, error) { return nil, nil }
}

const srvURI = "mongodb+srv://iot:secret@db.example.invalid/iot?tls=false&timeoutMS=1000"

func TestServersThatDNSNames(t *testing.T) {
	away := &net.DNSError{Err: "server misbehaving", Name: "_mongodb._tcp.db.example.invalid", IsTemporary: true}

	t.Run("while DNS is away every call fails, and one is made when it is back", func(t *testing.T) {
		var back atomic.Bool
		resolve(t, func() ([]*net.SRV, error) {
			if !back.Load() {
				return nil, away
			}
			return []*net.SRV{{Target: "a.example.invalid.", Port: 27017}}, nil
		})
		db, err := Open(srvURI, tlsfiles.Files{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Database(t.Context()); !errors.As(err, new(*net.DNSError)) || db.Check(t.Context()) == nil {
			t.Errorf("while DNS is away: %v", err)
		}
		back.Store(true)
		database, err := db.Database(t.Context())
		if err != nil || database.Name() != "iot" {
			t.Fatalf("when it is back: %v, %v", database, err)
		}
		if again, err := db.Database(t.Context()); again != database {
			t.Errorf("another client is made the next time: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a lookup that takes long makes calls fail in time, and is not repeated meanwhile", func(t *testing.T) {
		var lookups atomic.Int32
		release := make(chan struct{})
		resolve(t, func() ([]*net.SRV, error) {
			if lookups.Add(1) > 1 {
				<-release
			}
			return nil, away
		})
		db, err := Open(srvURI, tlsfiles.Files{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 2 {
			if db.Check(t.Context()) == nil {
				t.Error("no error")
			}
		}
		if took := time.Since(start); took > 10*time.Second || lookups.Load() != 2 {
			t.Errorf("it took %v and %d lookups", took, lookups.Load())
		}
		close(release)
		if err := db.Close(); err != nil { // waits for the lookup
			t.Error(err)
		}
	})
	t.Run("a URI that makes no sense is refused while DNS is away too", func(t *testing.T) {
		resolve(t, func() ([]*net.SRV, error) { return nil, away })
		for _, uri := range []string{
			"mongodb+srv://iot:secret@db.example.invalid", "mongodb+srv://iot:secret@db.example.invalid:27017/iot",
			"mongodb+srv://iot:secret/@db.example.invalid/iot", "mongodb+srv://",
		} {
			if db, err := Open(uri, tlsfiles.Files{}); err == nil {
				t.Errorf("%s is opened", uri)
				_ = db.Close()
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", uri, err)
			}
		}
	})
}
