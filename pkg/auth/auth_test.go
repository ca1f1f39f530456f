package auth

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestPolicy(t *testing.T) {
	loopback, other := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4zero}
	tests := []struct {
		mode     Mode
		listener net.Addr
		moved    bool
		want     Policy
	}{
		{Auto, loopback, false, Open},
		{Auto, loopback, true, Open},
		{Auto, &net.TCPAddr{IP: net.IPv6loopback}, false, Open},
		{Auto, other, false, Required},
		{Auto, &net.TCPAddr{}, false, Required},
		{Auto, &net.UnixAddr{}, false, Required},
		{Auto, other, true, Warning},
		{On, loopback, false, Required},
		{On, other, true, Required},
		{Off, other, false, Open},
		{Warn, loopback, false, Warning},
		{Warn, other, false, Warning},
	}
	for _, tt := range tests {
		if got := tt.mode.Policy(tt.listener, tt.moved); got != tt.want {
			t.Errorf("%s on %v, moved %v: %v, want %v", tt.mode, tt.listener, tt.moved, got, tt.want)
		}
	}
	var mode Mode
	if err := mode.UnmarshalText([]byte("On")); err == nil || !strings.Contains(err.Error(), "auto, on, off or warn") {
		t.Errorf("%v; want what it may be", err)
	}
}

func TestSecrets(t *testing.T) {
	one, other := NewSecret(TokenPrefix), NewSecret(TokenPrefix)
	if one == other || len(one) != len(TokenPrefix)+43 || !strings.HasPrefix(one, TokenPrefix) {
		t.Errorf("%q and %q", one, other)
	}
	if hash := Hash(one); hash == Hash(other) || hash != Hash(one) {
		t.Error("a hash is not that of its secret")
	}
}

func TestPasswords(t *testing.T) {
	const password = "correct horse battery staple"
	hash, err := HashPassword(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := HashPassword(t.Context(), password); again == hash {
		t.Error("two hashes of a password have the same salt")
	}
	if strings.Contains(hash, password) || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%q", hash)
	}
	if err := CheckPassword(t.Context(), hash, password); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"", "Correct horse battery staple", password + " "} {
		if err := CheckPassword(t.Context(), hash, wrong); !errors.Is(err, ErrWrongPassword) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if err := CheckPassword(t.Context(), "", password); !errors.Is(err, ErrWrongPassword) {
		t.Errorf("without a hash: %v", err)
	}
	for _, broken := range []string{"x", hash[:len(hash)-50], strings.Replace(hash, "argon2id", "argon2i", 1), strings.Replace(hash, "p=1", "p=0", 1), strings.Replace(hash, "t=2", "t=0", 1)} {
		if err := CheckPassword(t.Context(), broken, password); err == nil || errors.Is(err, ErrWrongPassword) {
			t.Errorf("%q: %v", broken, err)
		}
	}
}
