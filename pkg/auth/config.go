package auth

// Config is the setting that all listeners share.
type Config struct {
	Mode Mode `env:"AUTH" default:"auto" help:"Who needs credentials: auto (a listener on a loopback address is open, every other needs them), on (loopback too), off (nobody), or warn (decides as on, lets everybody through, and lists who would have been refused)."`
}
